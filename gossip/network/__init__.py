"""The networks that carry what algorithms send: in one process, or between MPI processes."""

from __future__ import annotations

from gossip.network.communicator import Communicator
from gossip.network.in_process import InProcessNetwork
from topologies import Schedule


def connect(topology: Schedule, communicator: Communicator, seed: int = 0) -> InProcessNetwork:
    """The network of this topology over these processes.

    Raises:
        ValueError: if there are more processes than nodes.
    """
    if communicator.size == 1:
        return InProcessNetwork(topology, seed)
    from gossip.network.mpi import MpiCommunicator
    from gossip.network.peer_to_peer import PeerToPeerNetwork

    assert isinstance(communicator, MpiCommunicator)
    return PeerToPeerNetwork(topology, communicator, seed)
