"""The networks that carry what algorithms send: in one process, or between MPI processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from gossip.errors import UsageError
from gossip.network.clock import NodeTimes as NodeTimes
from gossip.network.clock import SimulatedClock as SimulatedClock
from gossip.network.clocked import ClockedNetwork
from gossip.network.mail import AllMail, NoMail
from gossip.network.network import Network as Network
from gossip.network.run_network import RunNetwork as RunNetwork
from gossip.network.run_network import mix_beside as mix_beside
from gossip.network.simulation.description import SimulatedNetwork as SimulatedNetwork
from gossip.network.simulation.times import NetworkTimes
from gossip.network.transport import MakeTransport as MakeTransport
from gossip.network.transport import Site as Site
from gossip.network.transport import Transport as Transport
from gossip.network.transports.one_process import OneProcess
from gossip.processes.communicator import Communicator as Communicator
from gossip.spans import NO_SPANS, Spans
from topologies import Schedule
from topologies.placement import blocks

TransportName = Literal["auto", "shared-memory", "peer-to-peer", "neighbor-collective"]


def connect(
    topology: Schedule,
    communicator: Communicator,
    seed: int = 0,
    transport: TransportName | MakeTransport = "auto",
    hosted: Sequence[Sequence[int]] | None = None,
    *,
    clock: SimulatedClock | SimulatedNetwork | None = None,
    auxiliary: int = 0,
    spans: Spans = NO_SPANS,
) -> RunNetwork:
    """The network of this topology over these processes.

    Args:
        topology: The mixing matrix of each round.
        communicator: The processes.
        seed: Seed of the random draws.
        transport: How rows go from rank to rank: through "shared-memory" on a host and by "peer-to-peer" messages
            between hosts, by such messages everywhere, or by MPI's neighbourhood collectives. "auto" is shared
            memory where a host has several ranks. The results are the same bits. A function that makes a
            `gossip.network.transport.Transport` may be given in the place of these names.
        hosted: The nodes that each rank hosts, ascending, as `topologies.placement.place` gives them; contiguous
            blocks by default. The results are the same bits.
        clock: Tells a simulated time in the place of the real one.
        auxiliary: How many nodes, the last ones, compute nothing in that simulated time.
        spans: Is told how long sums, copies and waits take.

    Raises:
        ValueError: if there are more processes than nodes.
        UsageError: (a ValueError) if there is no transport of this name.
    """
    check_transport(transport)
    hosted = blocks(topology.n, communicator.size) if hosted is None else hosted
    site = Site(communicator, hosted, spans)
    made = make_transport(transport, site) if isinstance(transport, str) else transport(site)
    network = Network(topology, site, made, seed)
    if clock is None:
        return network
    if isinstance(clock, SimulatedNetwork):
        return ClockedNetwork(network, NetworkTimes(clock, topology.n, auxiliary, seed))
    return ClockedNetwork(network, NodeTimes(clock, topology.n, auxiliary, seed))


def open_mail(
    communicator: Communicator, hosted: Sequence[Sequence[int]], *, survives: bool = False, progresses: bool = True
) -> AllMail:
    """What carries messages from node to node, one at a time, between these processes.

    Args:
        communicator: The processes.
        hosted: The nodes that each rank hosts, ascending.
        survives: Whether others go on when ranks are lost, with an MPI library that can (ULFM).
        progresses: Whether a thread may let MPI go on with long messages while a process computes.
    """
    if communicator.size == 1:
        return NoMail(len(hosted[0]))
    from gossip.network.transports.mpi_mail import MpiMail
    from gossip.processes.mpi import MpiCommunicator

    assert isinstance(communicator, MpiCommunicator)
    return MpiMail(communicator, hosted, survives=survives, progresses=progresses)


def check_transport(transport: object) -> None:
    """Refuse what is neither the name of a transport nor a function that may make one.

    Raises:
        UsageError: (a ValueError) with the names that there are.
    """
    if transport not in get_args(TransportName) and not callable(transport):
        raise UsageError(f"there is no transport {transport!r}; there are {', '.join(get_args(TransportName))}")


def make_transport(name: TransportName, site: Site) -> Transport:
    """The transport of this name between these processes; the same on all ranks, collective."""
    if site.communicator.size == 1:
        return OneProcess(site)
    from gossip.network.transports.peer_to_peer.transport import PeerToPeer
    from gossip.processes.mpi import MpiCommunicator

    communicator = site.communicator
    assert isinstance(communicator, MpiCommunicator)
    communicator.blocks = site.hosted
    if name == "auto":
        name = "shared-memory" if communicator.shares_hosts else "peer-to-peer"
    peer_to_peer = PeerToPeer(site, communicator)
    if name == "shared-memory":
        from gossip.network.transports.shared_memory.transport import SharedMemory

        return SharedMemory(site, communicator, peer_to_peer)
    if name == "neighbor-collective":
        from gossip.network.transports.neighbor_collective import NeighborCollective

        return NeighborCollective(communicator, peer_to_peer)
    return peer_to_peer
