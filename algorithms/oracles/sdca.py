"""Stochastic dual coordinate ascent: what a node's own examples do to the model by way of their dual variables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, cast, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.checks import check, positive
from algorithms.oracles.oracle import Oracle, OracleState, ShardedWorkload, name_of
from algorithms.randomness import generator

PURPOSE = "dual steps"  # of the draws
LOSSES = ("half square", "logistic", "hinge")


@runtime_checkable
class HasDual(Protocol):
    """What a linear model gives whose dual is solved: f_i(x) = mean_j loss(a_j . x, y_j) + l2/2 |x|^2."""

    @property
    def l2(self) -> float:
        """Weight of the squared norm."""

    @property
    def loss_name(self) -> str:
        """Of a prediction z: "half square", (z - y)^2 / 2; "logistic", log(1 + exp(-y z)); "hinge", max(0, 1 - y z);
        or another one, of which no dual is known."""

    def features_and_targets(self, node: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(m, d) and (m,): the examples of a node. Not to be changed."""


@dataclass
class SdcaState(OracleState):
    """The dual variables of the local nodes.

    Attributes:
        dual: (m,) float64 for each node.
    """

    dual: list[Tensor]


@dataclass(frozen=True)
class Sdca(Oracle[SdcaState]):
    """Stochastic dual coordinate ascent: what a node's own examples do to the model by way of their dual variables.

    Shalev-Shwartz & Zhang, "Stochastic Dual Coordinate Ascent Methods for Regularized Loss Minimization", JMLR 14,
    2013, arXiv 1209.1873; as the local solver of CoCoA+: Ma, Smith, Jaggi, Jordan, Richtarik, Takac, "Adding vs.
    Averaging in Distributed Primal-Dual Optimization", ICML 2015, arXiv 1502.03508. For `Acpd` alone: what it gives is
    no gradient.

    Node k of K has m examples (a_j, y_j) and a dual variable alpha_j of each, 0 at the start. The whole dual is

        D(alpha) = (1/K) sum_k mean_j -conjugate(-alpha_j) - l2/2 |w(alpha)|^2
        w(alpha) = (1/K) sum_k v_k,   v_k = mean_j alpha_j a_j / l2

    Asked at x, a node draws `steps` of its examples, and one after the other sets beta_j, alpha_j at first, to where

        -conjugate(-beta_j) - beta_j a_j . (x + sigma gamma (v_k(beta) - v_k)) - q/2 (beta_j - its last value)^2

    is largest, with q = sigma gamma |a_j|^2 / (l2 m); for the half square, beta_j += (y_j - beta_j - z) / (1 + q) with
    z the inner product. Then alpha += gamma (beta - alpha). What it gives is minus the change of v_k, of which 1/K is
    that of w(alpha). sigma gamma K is the paper's sigma', which is safe with sigma = 1: gamma = 1 adds the nodes'
    changes (CoCoA+), gamma = 1/K averages them (CoCoA). With one node and gamma = 1 it is SDCA.

    The loss of a sample is the node's part of the duality gap at x, before its steps: mean_j loss_j +
    conjugate(-alpha_j) + alpha_j a_j . x. The mean of these over all nodes at one x is the gap there less l2/2 |x -
    w(alpha)|^2. It takes a pass over the examples that is not counted among the gradients; of the steps each is one.

        >>> import numpy as np
        >>> import torch
        >>> from algorithms import Sdca
        >>> from gossip.workloads import LeastSquares
        >>> workload = LeastSquares(np.ones((1, 1, 1)), np.array([[4.0]]), l2=1.0).shard(1, seed=0)
        >>> x = torch.zeros(1, 1, dtype=torch.float64)
        >>> oracle = Sdca(steps=1)
        >>> state = oracle.start(workload, x, nodes=[0], seed=0)
        >>> sample = oracle.sample(state, workload, x, [0], step=0, seed=0)
        >>> float(x - sample.gradient), float(state.dual[0]), float(sample.loss)  # 2 minimises (x - 4)^2 / 2 + x^2 / 2
        (2.0, 2.0, 8.0)

    Args:
        steps: Dual variables that a node changes each time, H, >= 1; an example may be drawn again.
        gamma: How much of their changes is kept, in (0, 1].
        sigma: The paper's sigma' by gamma K, > 0. Below 1 steps are longer, and maybe too long.
    """

    gives: ClassVar[str] = "dual updates"

    steps: int = 100
    gamma: float = 1.0
    sigma: float = 1.0

    def __post_init__(self) -> None:
        check(self.steps >= 1, self, "steps", ">= 1")
        check(0 < self.gamma <= 1, self, "gamma", "in (0, 1]")
        check(positive(self.sigma), self, "sigma", "> 0")

    def least_batch(self, size: int) -> int:
        return 1

    def check_start(self, x: Tensor) -> None:
        if x.any():
            raise ValueError(
                "Sdca: the start must be 0, which is the model that dual variables of 0 make; leave it out"
            )

    def start(self, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], seed: int) -> SdcaState:
        name = name_of(workload)
        composite = getattr(workload, "l1", 0.0) != 0
        if not isinstance(workload, HasDual) or workload.loss_name not in LOSSES or composite:
            raise ValueError(
                f"Sdca: {name} gives no dual problem; linear models with the squared, logistic or hinge loss and "
                f"without an l1 term do"
            )
        if not workload.l2 > 0:
            raise ValueError(f"Sdca: the dual problem of {name} needs l2 > 0, and it is {workload.l2}")
        dual = [torch.zeros(workload.examples(node), dtype=torch.float64) for node in nodes]
        return SdcaState.start(len(nodes), dual=dual)

    def sample(
        self, state: SdcaState, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], step: int, seed: int
    ) -> Sample:
        from algorithms.numerics.dual_steps import KINDS, coordinate_steps, mean_gap

        if step == 0:
            self.check_start(x)
        problem = cast(HasDual, workload)
        kind, points = KINDS[problem.loss_name], np.ascontiguousarray(x.numpy(), dtype=np.float64)
        gaps, moved = np.empty(len(points)), np.zeros_like(points)
        for row, node in enumerate(nodes):
            data, dual = problem.features_and_targets(node), state.dual[row].numpy()
            m, best = len(dual), dual.copy()
            gaps[row] = mean_gap(data, dual, points[row], kind)
            examples = generator(seed, PURPOSE, node, step).integers(m, size=self.steps)
            parameters = kind, self.sigma * self.gamma / (problem.l2 * m)
            coordinate_steps(data, examples, best, points[row], moved[row], parameters)
            dual[:] = best if self.gamma == 1 else dual + self.gamma * (best - dual)
        state.gradients += self.steps
        return Sample(torch.from_numpy(moved / -self.sigma).to(x.dtype), torch.from_numpy(gaps).to(x.dtype))
