"""PG-EXTRA: EXTRA for losses with a regularizer."""

from __future__ import annotations

from dataclasses import dataclass, field

from algorithms.algorithm import Sample
from algorithms.decentralized.extra import Extra, ExtraState, extra_step
from algorithms.network import Network
from algorithms.proximal import L1, Proximal, check_prox, proximal_step
from algorithms.schedules.learning_rate import learning_rate


@dataclass(frozen=True)
class PgExtra(Extra):
    """PG-EXTRA: EXTRA for losses with a regularizer.

    Shi, Ling, Wu, Yin, "A Proximal Gradient Algorithm for Decentralized Composite Optimization", IEEE TSP 63(22), 2015,
    arXiv 1506.01239. With W' = (I + W) / 2:

        z(1)   = W x(0) - lr g(0)
        z(t+1) = W x(t) + z(t) - W' x(t-1) - lr (g(t) - g(t-1))
        x(t)   = prox_{lr r}(z(t))

    Added up over t, as in EXTRA, z(t+1) = W x(t) - lr g(t) + c(t), where c(0) = 0 and c(t+1) = c(t) + (W - I) x(t) / 2.

    Sent, and what W and lr must be: as in EXTRA (`algorithms.Extra`). Here all nodes have the same r,
    while the paper allows each its own.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        prox: The regularizer r to be minimised along with the losses; None makes it EXTRA.
    """

    prox: Proximal | None = field(default_factory=L1)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_prox(self, self.prox)

    def step(self, state: ExtraState, sample: Sample, network: Network) -> None:
        lr = learning_rate(self.lr, state.step)
        state.x = proximal_step(self.prox, extra_step(state, lr, sample.gradient, network), lr)
