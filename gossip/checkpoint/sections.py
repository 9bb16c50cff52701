"""What a checkpoint has of each node, in sections: the states of algorithm, oracle and network, and the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from algorithms import Block, Method
from gossip.network import RunNetwork


@dataclass
class NetworkSection(Block):
    """What a checkpoint has of the network."""

    round: int
    """The rounds that are over."""

    bytes: Tensor
    """(k,), sent so far by each local node."""

    messages: Tensor
    """(k,), sent so far by each local node."""


@dataclass
class ModelSection(Block):
    """What a checkpoint has of the models."""

    x: Tensor
    """(k, d), what the algorithm outputs at the local nodes but servers."""


def nodes_of_sections(network: RunNetwork, algorithm: Method) -> dict[str, Sequence[int]]:
    """Section -> the local nodes that it is of: an oracle knows those with data, and a model is of no server.

    Args:
        network: Links the nodes.
        algorithm: Says how many of them, the last ones, have no data, and are servers.
    """
    nodes, n = network.nodes, network.n
    with_data = [node for node in nodes if node < n - algorithm.without_data]
    with_model = [node for node in nodes if node < n - algorithm.servers]
    return {"algorithm": nodes, "oracle": with_data, "network": nodes, "model": with_model}
