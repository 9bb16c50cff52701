"""Compression on the way to a server and on the way back, with an error memory at each end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from algorithms.blocks.error_memory import ErrorMemory
from algorithms.blocks.server import ServerForm, collect_mean, distribute, server_rows
from algorithms.compressors import Compressor, Message
from algorithms.network import Network
from algorithms.state import Block


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
        if self.server == "replicated":
            mean = network.mean(self.up.compress(value, up, network.draw("up"))).repeat(len(value), 1)
            at_server = replace(network.draw("down"), nodes=[network.n] * len(value))
            return self.down.compress(mean, down, at_server).dense()
        nodes, here = range(network.n - 1), torch.zeros(len(value), dtype=torch.bool)
        here[server_rows(network)] = True
        mean = collect_mean(self.up.compress(value, up, network.draw("up"), sent=~here), nodes, network)
        answer = self.down.compress(mean, down, network.draw("down"), sent=here)
        return distribute(answer, nodes, network, others=torch.zeros_like(value))

    def rescale(self, factor: float) -> None:
        """Multiply all errors."""
        self.up.lost = factor * self.up.lost
        self.down.lost = factor * self.down.lost


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
