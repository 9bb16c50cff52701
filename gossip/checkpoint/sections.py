"""What a checkpoint has of each node, in sections: the states of algorithm, oracle and network, and the model."""

from __future__ import annotations

from collections.abc import Sequence

from gossip.network.network import InProcessNetwork


def nodes_of_sections(network: InProcessNetwork, auxiliary: int) -> dict[str, Sequence[int]]:
    """Section -> the local nodes that it is of: an oracle knows those with data, which the last ones have not.

    Args:
        network: Links the nodes.
        auxiliary: How many nodes, the last ones, have no data.
    """
    nodes = network.nodes
    with_data = [node for node in nodes if node < network.n - auxiliary]
    return {"algorithm": nodes, "oracle": with_data, "network": nodes, "model": nodes}
