"""Compression on the way to a server and on the way back, with an error memory at each end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, Self

import torch
from torch import Tensor

from algorithms.blocks.error_memory import ErrorMemory
from algorithms.blocks.server import ServerForm, collect_mean, distribute, server_rows
from algorithms.compressors import Compressor, Message
from algorithms.network import Network
from algorithms.randomness import Draw
from algorithms.state import Block


class Pack(Protocol):
    """What makes a message of a stack (k, d), such as `Compressor.compress`."""

    def __call__(self, value: Tensor, /, *, draw: Draw, sent: Tensor | None = None) -> Message: ...


@dataclass
class TwoWay(Block):
    """The averages of what nodes send to a server, compressed up and down, with error feedback at both ends.

    Tang, Lian, Yu, Zhang, Liu, "DoubleSqueeze: Parallel Stochastic Gradient Descent with Double-pass Error-Compensated
    Compression", ICML 2019, arXiv 1905.05957. With the vectors v_i of m nodes, their errors e_i and the server's s:

        p_i = v_i + e_i;  c_i = C(p_i) is sent up;      e_i <- p_i - c_i
        p = (1/m) sum_i c_i + s;  c = C_s(p) is sent down;  s <- p - c

    All nodes get c. What they have got so far plus s + (1/m) sum_i e_i is always the sum of the averages of all v_i.

    The server is the last node of the network, or replicated: then all messages c_i go to all nodes, each of which does
    what the server would, with the same bits.

    Attributes:
        up: The errors e_i; the server's row counts for nothing.
        down: The error s: in the server's row, with zeros in the others, or in all rows where it is replicated.
        server: Whether the server is a "node" of its own, or "replicated" at all of them.
    """

    up: ErrorMemory
    down: ErrorMemory
    server: ServerForm

    @classmethod
    def start(cls, x: Tensor, up: Compressor, down: Compressor, server: ServerForm) -> Self:
        """Nothing lost so far, of vectors like those in the stack x (k, d), for the operators C and C_s."""
        return cls(ErrorMemory.start(x, up), ErrorMemory.start(x, down), server)

    def average(self, value: Tensor, up: Compressor, down: Compressor, network: Network) -> Tensor:
        """c at every local node, the server included, (k, d).

        Args:
            value: v, (k, d); the server's row counts for nothing.
            up: The operator C.
            down: The operator C_s.
            network: The nodes, and the server behind them if there is one.
        """
        pack_up, pack_down = partial(self.up.compress, compressor=up), partial(self.down.compress, compressor=down)
        return packed_average(value, pack_up, pack_down, network, self.server)

    def rescale(self, factor: float) -> None:
        """Multiply all errors."""
        self.up.lost = factor * self.up.lost
        self.down.lost = factor * self.down.lost


def packed_average(value: Tensor, up: Pack, down: Pack, network: Network, server: ServerForm) -> Tensor:
    """(k, d): what the server makes of the average of what the nodes make of their vectors, at every node.

    Sent: a message up by each node and one down to each; with a replicated server each node's message to all others.

    Args:
        value: (k, d); the server's row counts for nothing.
        up: Makes the messages of the nodes; their rows alone are sent.
        down: Makes the server's message of their average: of its row, or of all rows where it is replicated.
        network: The nodes, and the server behind them if there is one.
        server: Whether there is.
    """
    if server == "replicated":
        mean = network.mean(up(value, draw=network.draw("up"))).repeat(len(value), 1)
        at_server = replace(network.draw("down"), nodes=[network.n] * len(value))
        return down(mean, draw=at_server).dense()
    nodes, here = range(network.n - 1), torch.zeros(len(value), dtype=torch.bool)
    here[server_rows(network)] = True
    mean = collect_mean(up(value, draw=network.draw("up"), sent=~here), nodes, network)
    answer = down(mean, draw=network.draw("down"), sent=here)
    return distribute(answer, nodes, network, others=torch.zeros_like(value))


def average_at_server(value: Tensor | Message, network: Network, server: ServerForm) -> Tensor:
    """(k, d), in equal rows of their own: the average of what all nodes but the server have, which goes down as it is.

    Sent: a vector or message up by each node, and a vector down to each. With a replicated server vectors go along the
    tree of `network.mean`, and messages to all nodes.

    Args:
        value: (k, d), or packed; the server's row counts for nothing.
        network: The nodes, and the server behind them if there is one.
        server: Whether there is.
    """
    if server == "replicated":
        return network.mean(value).repeat(len(network.nodes), 1)
    nodes = range(network.n - 1)
    average = collect_mean(value, nodes, network)
    return distribute(average, nodes, network, others=average)
