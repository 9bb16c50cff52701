"""What compressed methods share that keep copies which a whole neighbourhood knows.

A node's public copy h_i is what its neighbours know of it. Instead of a copy of each neighbour's, a node keeps
s_i = sum_j w_ij h_j. Both follow from the messages: where h_i takes up c q_i, s_i takes up c sum_j w_ij q_j. That
needs a W that is the same in all rounds.
"""

from __future__ import annotations

from torch import Tensor

from algorithms.compressors import Compressor
from algorithms.network import Network


def publish(x: Tensor, compressor: Compressor, network: Network, purpose: str = "compression") -> tuple[Tensor, Tensor]:
    """Compress a stack x (k, d) and send it: (q, W q), both (k, d), with q as every receiver decodes it.

    Args:
        purpose: Of the random draws; each message of a round needs one of its own.
    """
    message = compressor.compress(x, network.draw(purpose))
    return message.dense(), network.mix(message)
