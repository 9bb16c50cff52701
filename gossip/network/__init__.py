"""The networks that carry what algorithms send: in one process, or between MPI processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from gossip.network.communicator import Communicator
from gossip.network.in_process import InProcessNetwork
from gossip.network.memory import keep_freed_memory
from topologies import Schedule
from topologies.placement import blocks

Transport = Literal["auto", "shared-memory", "peer-to-peer", "neighbor-collective"]


def connect(
    topology: Schedule,
    communicator: Communicator,
    seed: int = 0,
    transport: Transport = "auto",
    hosted: Sequence[Sequence[int]] | None = None,
) -> InProcessNetwork:
    """The network of this topology over these processes.

    Args:
        topology: The mixing matrix of each round.
        communicator: The processes.
        seed: Seed of the random draws.
        transport: How rows go from rank to rank: through "shared-memory" on a host and by "peer-to-peer" messages
            between hosts, by such messages everywhere, or by MPI's neighbourhood collectives. "auto" is shared
            memory where a host has several ranks. The results are the same bits.
        hosted: The nodes that each rank hosts, ascending, as `topologies.placement.place` gives them; contiguous
            blocks by default. The results are the same bits.

    Raises:
        ValueError: if there are more processes than nodes.
    """
    keep_freed_memory()
    if communicator.size == 1:
        return InProcessNetwork(topology, seed)
    from gossip.network.mpi import MpiCommunicator

    hosted = blocks(topology.n, communicator.size) if hosted is None else hosted
    assert isinstance(communicator, MpiCommunicator)
    if transport == "auto":
        transport = "shared-memory" if communicator.shares_hosts else "peer-to-peer"
    if transport == "shared-memory":
        from gossip.network.shared_memory import SharedMemoryNetwork

        return SharedMemoryNetwork(topology, communicator, hosted, seed)
    if transport == "peer-to-peer":
        from gossip.network.peer_to_peer import PeerToPeerNetwork

        return PeerToPeerNetwork(topology, communicator, hosted, seed)
    from gossip.network.neighbor_collective import NeighborCollectiveNetwork

    return NeighborCollectiveNetwork(topology, communicator, hosted, seed)
