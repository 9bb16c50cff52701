"""Prox-LEAD: LEAD for composite objectives (1/n) sum_i f_i(x) + r(x)."""

from __future__ import annotations

from dataclasses import dataclass, field

from algorithms.algorithm import Sample
from algorithms.compressed.lead import Lead, LeadState
from algorithms.compressors import Compressor, InfinityNorm
from algorithms.network import Network
from algorithms.proximal import L1, Proximal
from algorithms.schedules.learning_rate import learning_rate


@dataclass(frozen=True)
class ProxLead(Lead):
    """Prox-LEAD: LEAD for composite objectives (1/n) sum_i f_i(x) + r(x).

    Li, Liu, Tang, Yan, Yuan, "Decentralized Composite Optimization with Compression", arXiv 2108.04448.

    With V the models of LEAD (see `Lead`):

        X_1 = prox_{lr r}(X_0 - lr G(X_0)), then
        V   = X - lr G(X) - lr D                          with the D that LEAD makes of what is sent
        X   = prox_{lr r}(V)

    Without compression and for gamma = 1 this is proximal exact diffusion,

        Z <- (I + W) / 2 (Z + X - X_old - lr (G - G_old)),    X = prox_{lr r}(Z),

    not the proximal form of NIDS, which goes another way to the same optimum. The variance-reduced methods of the paper
    are this one with the oracles `LooplessSvrg` and `Saga`; lr = 1 / (2 L) is the authors' for full gradients and 1 /
    (6 L) for these. They quantize to 2 bits in blocks of 256.

    Sent: one compressed vector to each out-neighbour, per round; nothing in the first step. W must be symmetric and the
    same in all rounds; what is said of the ranges of `Lead` holds here too.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        gamma: Step size of the dual, > 0 and at most 2 / (1 - least eigenvalue of W).
        alpha: Step size of the public copies, in (0, 1].
        compressor: The compression operator Q, unbiased.
        prox: The regularizer r.
    """

    compressor: Compressor = field(default_factory=lambda: InfinityNorm(bits=2, bucket=256))
    prox: Proximal = field(default_factory=L1)

    def step(self, state: LeadState, sample: Sample, network: Network) -> None:
        lr = learning_rate(self.lr, state.step)
        state.x = self.prox.prox(self.descend(state, sample.gradient, lr, network), lr)
