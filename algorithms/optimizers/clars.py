"""CLARS: LARS with the mean of the gradients' norms instead of the norm of the mean gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.checks import check, positive
from algorithms.network import Network
from algorithms.optimizers.layerwise import ORDERS, Layerwise, Order, ratios
from algorithms.optimizers.weight_decay import check_weight_decay, with_weight_decay
from algorithms.state import Block


@dataclass
class ClarsMemory(Block):
    """What CLARS remembers.

    Attributes:
        momentum: Of what is accumulated.
        norms: (k, L) float64, the means over all nodes of the norms of the last gradients, with equal rows.
    """

    momentum: Momentum
    norms: Tensor


@dataclass(frozen=True)
class Clars(Layerwise[ClarsMemory]):
    """CLARS: LARS with the mean of the gradients' norms instead of the norm of the mean gradient.

    Huo, Gu, Huang, "Large Batch Optimization for Deep Learning Using New Complete Layer-Wise Adaptive Rate Scaling",
    AAAI 2021, arXiv 2002.01576; released code slowbull/largebatch.

    For each tensor w with gradient g, which is the mean of B parts g_j:

        scale = min(limit, trust |w| / ((1/B) sum_j |g_j|))                       1 where a norm is 0
        v <- momentum v + g + weight_decay w;   w <- w - lr scale v               "accumulate-then-scale", as released
        v <- momentum v + lr scale (g + weight_decay w);   w <- w - v             "scale-then-accumulate"

    The paper's parts are the samples of the batches of all nodes: `over` "samples", with the oracle
    Minibatch(microbatch=1). A microbatch of more examples makes coarser parts; the nodes' whole batches, which cost no
    further gradients, are the parts `over` "nodes". One part in all is LARS without weight decay in the norm. The
    paper's formula has no limit; its code has 0.1, adds 1e-6 to norms below a fraction, and estimates the mean from 64
    microbatches of 8 examples of their own.

    Sent: the norms of the tensors, L numbers, averaged exactly over all nodes in each iteration, which so ends a round.

    Args:
        trust: Length of a step with lr = 1, without momentum and with equal gradients, as a share of the norm of the
            parameters, > 0.
        momentum: In [0, 1).
        weight_decay: Multiple of the parameters that is added to their gradient, >= 0; the norms are without.
        order: Whether the momentum buffer holds what has been scaled, or is scaled where it is used.
        limit: Largest scale, > 0.
        over: What the mean of norms is over: the gradients of the "nodes", or those of all their "samples".
    """

    trust: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 0.0
    order: Order = "accumulate-then-scale"
    limit: float = math.inf
    over: Literal["nodes", "samples"] = "nodes"

    def __post_init__(self) -> None:
        check(positive(self.trust), self, "trust", "> 0")
        check_momentum(self, self.momentum)
        check_weight_decay(self, self.weight_decay)
        check(self.order in ORDERS, self, "order", f"one of {', '.join(ORDERS)}")
        check(self.limit > 0, self, "limit", "> 0")
        check(self.over in ("nodes", "samples"), self, "over", '"nodes" or "samples"')

    @property
    def communicates(self) -> bool:
        return True

    @property
    def takes_norms(self) -> bool:
        return self.over == "samples"

    def start(self, x: Tensor) -> ClarsMemory:
        return ClarsMemory(Momentum.start(x, self.momentum), torch.zeros_like(self.norms(x)))

    def observe(self, x: Tensor, memory: ClarsMemory, sample: Sample, network: Network) -> None:
        average = network.mean(self._norms_of(sample).to(sample.gradient.dtype)).double()
        memory.norms = average.expand(len(x), -1)

    def update(self, x: Tensor, memory: ClarsMemory, gradient: Tensor, lr: float) -> tuple[float, Tensor]:
        scales = ratios(self.trust * self.norms(x), memory.norms).clamp(max=self.limit)
        decayed = with_weight_decay(gradient, self.weight_decay, x)
        return self.momentum_update(memory.momentum, decayed, lr, scales, self.order)

    def _norms_of(self, sample: Sample) -> Tensor:
        """(k, L): of the gradients of the nodes, or the means of those of their samples."""
        if self.over == "nodes":
            return self.norms(sample.gradient)
        if sample.norms is None:
            raise ValueError("Clars: over = 'samples' needs samples with norms, of Minibatch(microbatch=1)")
        return sample.norms[:, self.chosen(sample.gradient.shape[1])]
