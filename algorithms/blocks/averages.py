"""Exact averages of what compression leaves of the nodes' vectors: those of data-parallel methods."""

from __future__ import annotations

from torch import Tensor

from algorithms.compressors import Compressor
from algorithms.compressors.linear import LinearCompressor
from algorithms.network import Network
from algorithms.randomness import Draw
from algorithms.state import Block


def compressed_mean(
    value: Tensor, compressor: Compressor, network: Network, draw: Draw, memory: Block | None = None
) -> Tensor:
    """(1/n) sum_i C(v_i), (d,), the same on every rank.

    Sent: where the operators of all nodes are one linear map, an average of projections, up and down a binary tree over
    the nodes: an all-reduce in the compressed domain. Otherwise each node's message to all others, along that tree: an
    all-gather.

    Args:
        value: v, (k, d).
        compressor: The operator C.
        network: Averages; every rank must call this.
        draw: The operator's random streams.
        memory: What the operator remembers of such vectors, which is brought up to date.
    """
    if isinstance(compressor, LinearCompressor) and compressor.linear:
        return compressor.mean(value, network, draw, memory)
    return network.mean(compressor.compress(value, draw, memory))


def compressed_mean_and_own(
    value: Tensor, compressor: Compressor, network: Network, draw: Draw, memory: Block | None = None
) -> tuple[Tensor, Tensor]:
    """(what `compressed_mean` gives, (d,); C(v_i) of the local nodes, (k, d), for those who keep it in mind)."""
    if isinstance(compressor, LinearCompressor) and compressor.linear:
        return compressor.mean_and_own(value, network, draw, memory)
    message = compressor.compress(value, draw, memory)
    return network.mean(message), message.dense()
