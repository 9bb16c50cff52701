"""SPARQ-SGD: local steps and event-triggered, compressed gossip, without momentum.

Singh, Data, George, Diggavi, "SPARQ-SGD: Event-Triggered and Compressed Communication in Decentralized Stochastic
Optimization", IEEE Transactions on Automatic Control, arXiv 1910.14280.

SQuARM-SGD (`algorithms.compressed.squarm`) with beta = 0, the theory's gamma included. The paper's learning rates
decrease, lr_t = O(1 / t), and its thresholds grow with c_t <= c_0 t^(1 - epsilon).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from algorithms.compressed.squarm import SquarmSGD


@dataclass(frozen=True)
class SparqSGD(SquarmSGD):
    """SPARQ-SGD.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        period: Iterations H from one exchange to the next, >= 1.
        threshold: c_t >= 0, in squared gradients, or a schedule of it; with 0 all nodes fire, with infinity none does.
        gamma: Consensus step size, in (0, 1], smaller for stronger compression; "theory" for the one that is guaranteed
            to work, "auto" for the best one of a short measured search.
        compressor: The compression operator C.
    """

    momentum: float = field(default=0.0, init=False)
