"""Zeroth-order methods: any oracle on gradient estimates that are made of function values only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.checks import check, positive
from algorithms.oracles.estimates import CoordinateEstimates, GaussianEstimates
from algorithms.oracles.minibatch import Minibatch
from algorithms.oracles.oracle import HasLosses, Oracle, OracleState, ShardedWorkload, name_of


@dataclass(frozen=True)
class ZerothOrder(Oracle[OracleState]):
    """Zeroth-order methods: another oracle on gradient estimates that are made of function values only.

    Huang, Gu, Huo, Chen, Huang, "Faster Gradient-Free Proximal Stochastic Methods for Nonconvex Nonsmooth
    Optimization", AAAI 2019, arXiv 1902.06158. `algorithms.oracles.estimates` has the formulas of CooSGE and GauSGE.
    With a proximal algorithm,

        ZO-ProxSGD    ZerothOrder(Minibatch(b))
        ZO-ProxSVRG   ZerothOrder(Svrg(b, period))
        ZO-ProxSAGA   ZerothOrder(Saga(b))

    Minibatches and full gradients draw new directions in every iteration. SVRG uses those of the snapshot in all its
    terms until the next one, since the difference of two estimates along different directions does not vanish. SAGA
    uses those of the table's entries for the difference, and draws new ones for the entries that it replaces.

    Function values asked for, with m examples at a node and c = 2 d for each estimate with CooSGE, c = q + 1 with
    GauSGE: SVRG c (m + 2 b period) per period; SAGA c m at the start, and per iteration c b with CooSGE, 2 c b with
    GauSGE.

    Directions follow from seed, node, example and step; nothing of them is stored. Learning rates for GauSGE are
    smaller by a factor of about d.

        >>> import numpy as np
        >>> import torch
        >>> from algorithms import Full, ZerothOrder
        >>> from gossip.workloads import LeastSquares
        >>> workload = LeastSquares(np.tile(np.eye(2), (2, 1, 1)), np.array([[1.0, 2.0], [3.0, 4.0]])).shard(2, seed=0)
        >>> x = torch.zeros(2, 2, dtype=torch.float64)
        >>> oracle = ZerothOrder(Full())
        >>> state = oracle.start(workload, x, nodes=[0, 1], seed=0)
        >>> oracle.sample(state, workload, x, [0, 1], step=0, seed=0).gradient.round(decimals=6).tolist()
        [[-0.5, -1.0], [-1.5, -2.0]]
        >>> state.queries.tolist()  # 2 d values for each of 2 examples
        [8, 8]

    Args:
        oracle: What combines the estimates.
        estimator: "coordinate", CooSGE, 2 d function values for each; or "gaussian", GauSGE, 1 + `directions` values.
        smoothing: mu, > 0, the length of the differences. Too small a one is lost in rounding: the best are around
            1e-5 in float64 and 5e-3 in float32 (the cube root of the precision) for CooSGE.
        directions: q >= 1, the random directions whose mean an estimate of GauSGE is; 1 in the paper. Not for CooSGE.
    """

    oracle: Oracle = field(default_factory=Minibatch)
    estimator: Literal["coordinate", "gaussian"] = "coordinate"
    smoothing: float = 1e-3
    directions: int = 1

    def __post_init__(self) -> None:
        check(not isinstance(self.oracle, ZerothOrder), self, "oracle", "an oracle that is not zeroth-order itself")
        check(self.estimator in ("coordinate", "gaussian"), self, "estimator", '"coordinate" or "gaussian"')
        check(positive(self.smoothing), self, "smoothing", "> 0")
        check(self.directions >= 1, self, "directions", ">= 1")
        random = self.estimator == "gaussian"
        check(random or self.directions == 1, self, "directions", '1 with estimator = "coordinate", which draws none')

    def queries_of_an_estimate(self, d: int) -> int:
        """Function values of one example that its estimate takes, for d parameters."""
        return 2 * d if self.estimator == "coordinate" else 1 + self.directions

    def least_batch(self, size: int) -> int:
        return 1  # it asks for the losses of single examples

    def start(self, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], seed: int) -> OracleState:
        if not isinstance(workload, HasLosses):
            raise ValueError(
                f"ZerothOrder needs the losses of single examples, and {name_of(workload)} does not give these"
            )
        state = self.oracle.start(self._estimates(workload, 0, seed), x, nodes, seed)
        return self._counted(state, x)

    def sample(
        self, state: OracleState, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], step: int, seed: int
    ) -> Sample:
        sample = self.oracle.sample(state, self._estimates(workload, step, seed), x, nodes, step, seed)
        self._counted(state, x)
        return sample

    def _estimates(self, workload: ShardedWorkload, step: int, seed: int) -> ShardedWorkload:
        """The workload as the other oracle sees it in this iteration."""
        if self.estimator == "coordinate":
            return CoordinateEstimates(workload, self.smoothing)
        return GaussianEstimates(workload, self.smoothing, self.directions, torch.tensor(step), seed)

    def _counted(self, state: OracleState, x: Tensor) -> OracleState:
        """The component gradients that the other oracle counted, as the function values that they were made of."""
        state.queries += self.queries_of_an_estimate(x.shape[1]) * state.gradients
        state.gradients.zero_()
        return state
