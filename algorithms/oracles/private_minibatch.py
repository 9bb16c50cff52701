"""DP-SGD: gradients of single examples are clipped, summed, and noised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.checks import check
from algorithms.numerics.sums import add_scaled
from algorithms.oracles.batches import uniform_batch
from algorithms.oracles.oracle import HasClippedGradients, Oracle, OracleState, ShardedWorkload, name_of
from algorithms.privacy.spending import Spending, check_mechanism
from algorithms.randomness import generator

SAMPLINGS = ("poisson", "without replacement")
NOISE, EXAMPLES = "privacy noise", "privacy batch"  # purposes of the draws


@dataclass(frozen=True)
class PrivateMinibatch(Oracle[OracleState]):
    """The estimates of DP-SGD, with which any method is private for single examples of each node.

    Abadi, Chu, Goodfellow, McMahan, Mironov, Talwar, Zhang, "Deep Learning with Differential Privacy", CCS 2016,
    arXiv 1607.00133. With the gradients g_j of the examples of a random batch B of a node

        g = (1 / batch) (sum_{j in B} min(1, clip / |g_j|) g_j + N(0, (noise_multiplier clip)^2))

    Each node adds its own noise, so that what it sends, to neighbours or a server, is private, and so is whatever
    follows from that. How B is drawn decides what an accountant may say of it:

        "poisson"               each example is in B with probability batch / m, of the m that the node has, so the size
                                of B varies; neighbours: one of two data sets has an example more
        "without replacement"   B has `batch` examples; neighbours: one example is another one, so that the sum changes
                                by up to 2 clip

    Batches that go through shuffled data, as those of `Minibatch`, have no such amplification. The numbers of
    examples are taken to be public. The losses of the samples are those of B, without noise: the sum over `batch`.

    Each iteration counts as `batch` gradients of examples, the expected number.

    Args:
        batch: Examples of each node that are expected in an iteration, >= 1, and at most as many as each has.
        clip: The norm to which the gradient of an example is clipped, > 0, and infinite only without noise.
        noise_multiplier: >= 0.
        sampling: "poisson" or "without replacement".
        delta: For which a run tells epsilon, in (0, 1): far below 1 over the number of examples of a node.
    """

    batch: int = 32
    clip: float = 1.0
    noise_multiplier: float = 1.0
    sampling: Literal["poisson", "without replacement"] = "poisson"
    delta: float = 1e-5

    def __post_init__(self) -> None:
        check(self.batch >= 1, self, "batch", ">= 1")
        amplifies = "poisson or without replacement: of other batches it is not known how much they amplify privacy"
        check(self.sampling in SAMPLINGS, self, "sampling", amplifies)
        check_mechanism(self, self.clip, self.noise_multiplier, self.delta)

    def least_batch(self, size: int) -> int:
        return 1

    def start(self, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], seed: int) -> OracleState:
        if not isinstance(workload, HasClippedGradients):
            raise ValueError(
                f"PrivateMinibatch clips gradients of single examples, which {name_of(workload)} does not give; linear "
                f"models do, and torch models without dropout and without buffers that the training changes"
            )
        for node in nodes:
            size = workload.examples(node)
            check(self.batch <= size, self, "batch", f"at most {size}, the number of examples of node {node}")
        return OracleState.start(len(nodes))

    def sample(
        self, state: OracleState, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], step: int, seed: int
    ) -> Sample:
        assert isinstance(workload, HasClippedGradients)
        state.gradients += self.batch
        gradient, loss = torch.zeros_like(x), torch.zeros_like(x[:, 0])
        for row, node in enumerate(nodes):
            examples = torch.from_numpy(self.examples(workload.examples(node), node, step, seed))
            if len(examples):  # which differ in number: one node at a time
                found = workload.clipped_gradient(x[row : row + 1], [node], examples[None], self.clip)
                share = len(examples) / self.batch
                gradient[row], loss[row] = found.gradient[0] * share, found.loss[0] * share
        if not self.noise_multiplier:
            return Sample(gradient, loss)
        noise = [generator(seed, NOISE, node, step).standard_normal(x.shape[1]) for node in nodes]
        deviation = self.noise_multiplier * self.clip / self.batch
        return Sample(add_scaled(gradient, deviation, torch.from_numpy(np.stack(noise)).to(x.dtype)), loss)

    def examples(self, size: int, node: int, step: int, seed: int) -> NDArray[np.int64]:
        """Which of its `size` examples this node uses in this iteration, ascending."""
        if self.sampling == "without replacement":
            return uniform_batch(size, self.batch, node, step, seed, EXAMPLES)
        return np.flatnonzero(generator(seed, EXAMPLES, node, step).random(size) < self.batch / size)

    def spent_on(self, examples: int, gradients: int) -> Spending:
        """See `PrivateOracle`."""
        uses, sample = gradients // self.batch, None if self.batch == examples else (self.batch, examples)
        if self.sampling == "poisson":
            return Spending(self.noise_multiplier, uses, "add or remove", sample)
        return Spending(self.noise_multiplier / 2, uses, "replace", sample)
