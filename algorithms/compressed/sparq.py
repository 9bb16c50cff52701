"""SPARQ-SGD: local steps and event-triggered, compressed gossip, without momentum."""

from __future__ import annotations

from dataclasses import dataclass, field

from algorithms.compressed.squarm import SquarmSGD


@dataclass(frozen=True)
class SparqSGD(SquarmSGD):
    """SPARQ-SGD: local steps and event-triggered, compressed gossip, without momentum.

    Singh, Data, George, Diggavi, "SPARQ-SGD: Event-Triggered and Compressed Communication in Decentralized Stochastic
    Optimization", IEEE Transactions on Automatic Control, arXiv 1910.14280.

    Every node keeps a public copy h_i of its model that its neighbours know too. In iteration t = 0, 1, ...

        y = x - lr g(x);  x+ = y, unless H divides t + 1:

        q = C(y - h) where |y - h|^2 > c_t lr^2, else 0;  h+ = h + q;  x+ = y + gamma (W - I) h+

    This is `SquarmSGD` with beta = 0, the theory's gamma and what is recorded included. The paper's learning rates
    decrease, lr_t = O(1 / t), and its thresholds grow with c_t <= c_0 t^(1 - epsilon).

    Sent, every H iterations: one compressed vector to each out-neighbour by nodes that fire, one byte by others; with
    gamma = "auto" also some hundred vectors in the first round, by the search.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        period: Iterations H from one exchange to the next, >= 1, or a controller.
        threshold: c_t >= 0, in squared gradients, or a schedule of it; with 0 all nodes fire, with infinity none does.
        gamma: Consensus step size, in (0, 1], smaller for stronger compression; or "auto", the best one of a short
            measured search at the start; or "theory", the one that is guaranteed to work, 100 to 1000 times smaller.
            Where W varies with time it must be a number.
        compressor: The compression operator C, a contraction.
    """

    momentum: float = field(default=0.0, init=False)
