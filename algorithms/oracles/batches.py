"""Which examples the variance-reduced oracles use, and what each then counts for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.checks import check
from algorithms.oracles.oracle import HasSmoothness, ShardedWorkload, name_of
from algorithms.randomness import generator

Sampling = Literal["uniform", "importance"]


class Sampled(Protocol):
    """The fields of an oracle that draws its examples in this way."""

    @property
    def batch(self) -> int:
        """Examples per node and iteration."""

    @property
    def sampling(self) -> Sampling:
        """How they are drawn."""


@dataclass(frozen=True)
class Batch:
    """Examples drawn with probabilities p; mean_j weights_j z_j over them estimates the mean of all z without bias.

    Attributes:
        examples: (k, batch) int64.
        weights: (k, batch) float64, 1 / (m p_j) with m the node's number of examples; None if all are 1.
    """

    examples: Tensor
    weights: Tensor | None


def uniform_batch(size: int, batch: int, node: int, step: int, seed: int, purpose: str = "batch") -> NDArray[np.int64]:
    """(batch,): a uniformly random subset of the `size` examples of a node, in ascending order."""
    return np.sort(generator(seed, purpose, node, step).choice(size, batch, replace=False))


def importance_batch(
    probabilities: NDArray[np.float64], batch: int, node: int, step: int, seed: int, purpose: str = "batch"
) -> NDArray[np.int64]:
    """(batch,): examples of a node drawn independently of each other, each with these probabilities (m,)."""
    return generator(seed, purpose, node, step).choice(len(probabilities), batch, p=probabilities)


def check_sampling(oracle: Sampled) -> None:
    """Refuse a batch below 1, and unknown ways of sampling."""
    check(oracle.batch >= 1, oracle, "batch", ">= 1")
    check(oracle.sampling in ("uniform", "importance"), oracle, "sampling", '"uniform" or "importance"')


def example_probabilities(oracle: Sampled, workload: ShardedWorkload, nodes: Sequence[int]) -> list[Tensor] | None:
    """With importance sampling, those of each node's examples, (m,) float64; None where all examples are alike.

    Raises:
        ValueError: A node has fewer examples than a batch; or the workload does not tell how smooth they are.
    """
    for node in nodes:
        size = workload.examples(node)
        check(oracle.batch <= size, oracle, "batch", f"at most {size}, the number of examples of node {node}")
    if oracle.sampling == "uniform":
        return None
    if not isinstance(workload, HasSmoothness):
        raise ValueError(
            f"{type(oracle).__name__}: importance sampling needs the smoothness constant of every example, which "
            f"{name_of(workload)} does not tell; linear models do"
        )
    return [_probabilities(workload.smoothness(node)) for node in nodes]


def draw_batch(
    batch: int,
    probabilities: Sequence[Tensor] | None,
    workload: ShardedWorkload,
    nodes: Sequence[int],
    *,
    step: int,
    seed: int,
    purpose: str = "batch",
) -> Batch:
    """The examples of this iteration: a function of the seed, the purpose, the node and the step.

    Args:
        batch: How many of each node.
        probabilities: What `example_probabilities` gave.
        workload: Tells how many examples a node has.
        nodes: The nodes.
        step: The number of the iteration.
        seed: What the draws follow from.
        purpose: Of the draws.
    """
    if probabilities is None:
        chosen = [uniform_batch(workload.examples(node), batch, node, step, seed, purpose) for node in nodes]
        return Batch(torch.from_numpy(np.stack(chosen)), None)
    all_ = [each.numpy() for each in probabilities]
    chosen = [importance_batch(p, batch, node, step, seed, purpose) for p, node in zip(all_, nodes, strict=True)]
    weights = [1 / (len(p) * p[examples]) for p, examples in zip(all_, chosen, strict=True)]
    return Batch(torch.from_numpy(np.stack(chosen)), torch.from_numpy(np.stack(weights)))


def mean_gradient(workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], batch: Batch) -> Sample:
    """The weighted means of the batch's gradients and losses at x (k, d)."""
    if batch.weights is None:
        return workload.gradient(x, nodes, batch.examples)
    gradient, loss = torch.zeros_like(x), torch.zeros_like(x[:, 0])
    for examples, weights in zip(batch.examples.T, batch.weights.to(x.dtype).T, strict=True):
        alone = workload.gradient(x, nodes, examples[:, None].contiguous())
        gradient += weights[:, None] * alone.gradient
        loss += weights * alone.loss
    size = batch.examples.shape[1]
    return Sample(gradient / size, loss / size)


def _probabilities(smoothness: Tensor) -> Tensor:
    """In proportion to these constants (m,); all the same where they are all 0."""
    values = smoothness.numpy()
    total = values.sum()
    return torch.from_numpy(values / total if total > 0 else np.full(len(values), 1 / len(values)))
