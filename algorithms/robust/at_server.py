"""Robust aggregates at a server, or at all nodes where it is replicated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from algorithms.blocks.server import ServerForm, collect, server_of, server_rows
from algorithms.compressors.message import Message, dense
from algorithms.network import Network
from algorithms.robust.aggregators import Aggregator


class Remembering(Protocol):
    """What a method's state has of its aggregates.

    Attributes:
        aggregate: (k, d), the last one, at the nodes that keep the server; 0 at the start.
        memory: What a rule remembers, see `memory_of`.
    """

    aggregate: Tensor
    memory: list[Tensor] | None


def memory_of(rule: Aggregator, x: Tensor, network: Network, server: ServerForm) -> list[Tensor] | None:
    """What a rule remembers at the start, for each local node: (clients, d) where the server is kept, (0, d) elsewhere.

    None of a rule that remembers nothing. With a replicated server every node has it all.

    Args:
        rule: The rule.
        x: (k, d), of which it has the type.
        network: The clients and the server.
        server: Its form.
    """
    if not rule.remembers:
        return None
    clients = network.n - int(server == "node")
    keeps = [server == "replicated" or node == server_of(network) for node in network.nodes]
    return [x.new_zeros(clients if kept else 0, x.shape[1]) for kept in keeps]


def aggregated(
    rule: Aggregator,
    sent: Tensor | Message,
    clients: Sequence[int],
    state: Remembering,
    network: Network,
    *,
    server: ServerForm,
) -> Tensor:
    """(s, d): what a rule makes of what these clients send, at the s local nodes that keep the server, the last ones.

    It becomes `state.aggregate` there, and `state.memory` what the rule remembers after it. Sent: one row by each of
    these clients to the server, or to all others with a replicated one.

    Args:
        rule: The rule.
        sent: (k, d), or packed if there is a server node, of which the rows of others stay where they are.
        clients: Ascending, the same on every rank.
        state: Of the method.
        network: The clients and the server.
        server: Its form.
    """
    if server == "replicated":
        rows, here = network.rows(dense(sent), clients), slice(0, len(state.aggregate))
    else:
        heard, here = collect(sent, clients, network), server_rows(network)
        if not heard:
            return state.aggregate[here]
        rows = torch.stack([heard[client] for client in clients])
    draw = replace(network.draw("aggregation"), nodes=[0])  # the same wherever it is drawn
    if state.memory is None:
        made = rule.aggregate(rows, state.aggregate[-1], draw)
    else:
        memory = state.memory[-1].clone()
        made, memory[list(clients)] = rule.recall(rows, memory[list(clients)], state.aggregate[-1], draw)
        state.memory[here] = [memory] * len(state.memory[here])
    state.aggregate[here] = made
    return state.aggregate[here]
