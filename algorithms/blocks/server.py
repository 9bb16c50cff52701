"""A server as the last node: what it hears of the clients that take part, and what these hear of it.

A network with m clients and a server has n = m + 1 nodes; the server is the last one and has no data. Only the clients
that take part send or receive anything.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Literal, Self, cast, get_args

import torch
from torch import Tensor

from algorithms.checks import check
from algorithms.compressors.message import Message, dense
from algorithms.network import Network
from algorithms.numerics.rows import placed
from algorithms.numerics.tree_sum import tree_sum
from algorithms.star import Star, from_server, to_server
from algorithms.state import Rows

ServerForm = Literal["node", "replicated"]
"""A server is a node of its own, or all nodes keep and do alike what it would."""

STARS = 16  # in each direction, kept for exchanges among the same clients

_up = lru_cache(maxsize=STARS)(to_server)
_down = lru_cache(maxsize=STARS)(from_server)


class HasServer:
    """What methods share that have a server, which may be replicated: this is a field of theirs."""

    server: ServerForm

    @property
    def servers(self) -> int:
        """See `algorithms.Algorithm`."""
        return int(self.server == "node")

    def replicated(self) -> Self:
        """See `algorithms.Algorithm`."""
        return cast(Self, replace(cast(Any, self), server="replicated"))

    def check_server(self) -> None:
        """Refuse another form."""
        forms = get_args(ServerForm)
        check(self.server in forms, self, "server", f"one of {', '.join(forms)}")


def _star(make: Callable[[int, int, Sequence[int]], Star], clients: Sequence[int], network: Network) -> Star:
    return make(network.n, server_of(network), tuple(clients))


def server_of(network: Network) -> int:
    """The node that is the server."""
    return network.n - 1


def server_rows(network: Network) -> slice:
    """Which of the local rows is the server's: the last one, or none."""
    k = len(network.nodes)
    return slice(k - (server_of(network) in network.nodes[-1:]), k)


def local_rows(clients: Sequence[int], network: Network) -> list[int]:
    """The local rows of these nodes, which are ascending."""
    nodes = network.nodes
    places = [bisect_left(nodes, client) for client in clients]
    return [row for row, client in zip(places, clients, strict=True) if row < len(nodes) and nodes[row] == client]


def collect(value: Tensor | Message, clients: Sequence[int], network: Network) -> dict[int, Tensor]:
    """The round up: what the server hears, client -> (d,); empty on ranks that do not host the server.

    Sent: one row by each of these clients.

    Args:
        value: What the local nodes send, (k, d) or packed; the rows of others than these clients stay where they are.
        clients: Ascending, the same on every rank.
        network: The clients and the server.
    """
    heard = network.neighbors(value, over=_star(_up, clients, network))[server_rows(network)]
    return {node: row for each in heard for node, row in zip(each.nodes, each.rows, strict=True)}


def collect_mean(
    value: Tensor | Message, clients: Sequence[int], network: Network, weights: Sequence[float] | None = None
) -> Tensor:
    """The round up, averaged: (k, d), at the server 1/m sum_i weights_i value_i, m the number of all clients; else 0.

    It is summed along the binary tree of `network.mean` and has the bits of that over m nodes without a server, of
    which those that do not take part have zeros.

    Args:
        value: See `collect`.
        clients: See `collect`.
        network: The clients and the server.
        weights: Of each of these clients; 1 by default.
    """
    return placed(mean_at_server(value, clients, network, weights), server_rows(network), len(network.nodes))


def mean_at_server(
    value: Tensor | Message, clients: Sequence[int], network: Network, weights: Sequence[float] | None = None
) -> Tensor:
    """The server's row of `collect_mean`: (1, d) on the rank that hosts it, (0, d) elsewhere."""
    heard = collect(value, clients, network)
    if heard and weights is not None:
        heard = {node: heard[node] * weight for node, weight in zip(clients, weights, strict=True)}
    d = value.d if isinstance(value, Message) else value.shape[1]
    here = range(len(network.nodes))[server_rows(network)]
    mean = torch.zeros(len(here), d, dtype=value.dtype, device=value.device)
    if heard:
        mean[0] = tree_sum(heard, network.n - 1) / (network.n - 1)
    return mean


def distribute(value: Tensor | Message, clients: Sequence[int], network: Network, others: Tensor) -> Tensor:
    """The round down: (k, d), the server's row of `value` at the server and these clients, and `others` elsewhere.

    Sent: one row to each of these clients.

    Args:
        value: (k, d) or packed, of which only the server's row travels.
        clients: Ascending, the same on every rank.
        network: The clients and the server.
        others: (k, d), what those keep who hear nothing.
    """
    received, here = others.clone(), server_rows(network)
    received[here] = dense(value)[here]
    rows, heard = hear(value, clients, network)
    received[rows] = heard
    return received


def hear(value: Tensor | Message, clients: Sequence[int], network: Network) -> tuple[list[int], Tensor]:
    """The round down, see `distribute`: the local rows of these clients, and what each of them hears, (rows, d)."""
    heard = network.neighbors(value, over=_star(_down, clients, network))
    rows = local_rows(clients, network)
    own = [heard[row].rows for row in rows]
    return rows, torch.cat(own) if own else dense(value)[:0]


def among(value: Tensor | Message, rows: Rows, k: int) -> Tensor | Message:
    """What these local rows have, as a stack or message of all k local nodes, of which the others have 0."""
    return value.among(rows, k) if isinstance(value, Message) else placed(value, rows, k)
