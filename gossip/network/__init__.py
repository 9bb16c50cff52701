"""The networks that carry what algorithms send: in one process, or between MPI processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from gossip.network.clock import NodeTimes as NodeTimes
from gossip.network.clock import SimulatedClock as SimulatedClock
from gossip.network.clocked import ClockedNetwork, clocked
from gossip.network.network import InProcessNetwork
from gossip.network.sums.memory import keep_freed_memory
from gossip.processes.communicator import Communicator
from topologies import Schedule
from topologies.placement import blocks

Transport = Literal["auto", "shared-memory", "peer-to-peer", "neighbor-collective"]


def connect(
    topology: Schedule,
    communicator: Communicator,
    seed: int = 0,
    transport: Transport = "auto",
    hosted: Sequence[Sequence[int]] | None = None,
    clock: SimulatedClock | None = None,
    auxiliary: int = 0,
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
        clock: Tells a simulated time in the place of the real one,
        auxiliary: in which the last so many nodes compute nothing.

    Raises:
        ValueError: if there are more processes than nodes.
    """
    keep_freed_memory()
    kind, *over = _kind(topology.n, communicator, transport, hosted)
    if clock is None:
        return kind(topology, *over, seed)
    make: Callable[..., ClockedNetwork] = clocked(kind)
    network = make(topology, *over, seed)
    network.start_clock(NodeTimes(clock, topology.n, auxiliary, seed))
    return network


def _kind(
    n: int, communicator: Communicator, transport: Transport, hosted: Sequence[Sequence[int]] | None
) -> tuple[Any, ...]:
    """The class of the network; if there are several, the processes and the nodes of each."""
    if communicator.size == 1:
        return (InProcessNetwork,)
    from gossip.processes.mpi import MpiCommunicator

    hosted = blocks(n, communicator.size) if hosted is None else hosted
    assert isinstance(communicator, MpiCommunicator)
    if transport == "auto":
        transport = "shared-memory" if communicator.shares_hosts else "peer-to-peer"
    if transport == "shared-memory":
        from gossip.network.transports.shared_memory.transport import SharedMemoryNetwork

        return SharedMemoryNetwork, communicator, hosted
    if transport == "peer-to-peer":
        from gossip.network.transports.peer_to_peer.transport import PeerToPeerNetwork

        return PeerToPeerNetwork, communicator, hosted
    from gossip.network.transports.neighbor_collective import NeighborCollectiveNetwork

    return NeighborCollectiveNetwork, communicator, hosted
