"""Simulated networks with hosts, and with other speeds than they have."""

from __future__ import annotations

from dataclasses import replace

from gossip.errors import UsageError
from gossip.network import SimulatedNetwork
from gossip.network.simulation.description import SECOND, Level

INSIDE = (2e-6, 5e10)  # seconds of latency and bytes per second within a host, where a network says nothing of hosts


def on_hosts(network: SimulatedNetwork, nodes: int, hosts: int | None) -> SimulatedNetwork:
    """The network with so many nodes on so many hosts, each of which has one link of the lowest level to others.

    A graph says itself who shares which links.

    Raises:
        UsageError: The network has hosts of its own, of another size.
    """
    if hosts is None or hosts == nodes or network.graph is not None:
        return network
    together = nodes // hosts
    if len(network.levels) > 1:
        members = network.levels[0].members
        if members != together:
            raise UsageError(
                f"--network has {members} nodes on a host, --nodes {nodes} --hosts {hosts} makes {together}: "
                f"leave --hosts out, or give a network that has as many"
            )
        return network
    latency, bandwidth = INSIDE
    return replace(network, levels=(Level(latency, bandwidth, members=together), *network.levels))


def hosts_of(network: SimulatedNetwork, nodes: int, hosts: int | None) -> int | None:
    """How many hosts, or sites, there are: as given, or as the network's lowest level says; None if it says nothing."""
    members = network.levels[0].members if network.levels else None
    if hosts is not None or members is None or members <= 1:
        return hosts
    return -(-nodes // members)


def altered(network: SimulatedNetwork, *, latency: float = 1.0, bandwidth: float = 1.0) -> SimulatedNetwork:
    """The same with so many times the latency and the bandwidth of all links."""
    if network.graph is not None:
        links = tuple(
            link._replace(latency=link.latency * latency, bandwidth=link.bandwidth * bandwidth)
            for link in network.graph.links
        )
        return replace(network, graph=replace(network.graph, links=links))
    levels = tuple(
        replace(
            level,
            latency=level.latency * latency,
            bandwidth=level.bandwidth * bandwidth,
            up=None if level.up is None else level.up * bandwidth,
            down=None if level.down is None else level.down * bandwidth,
        )
        for level in network.levels
    )
    return replace(network, levels=levels)


def paced(network: SimulatedNetwork, nodes: int, times: float) -> SimulatedNetwork:
    """The same where every gradient takes so many times as long."""
    slow = {node: times * network.compute.slow.get(node, 1.0) for node in range(nodes)}
    return replace(network, compute=replace(network.compute, slow=slow))


def computing(network: SimulatedNetwork, nodes: int) -> float:
    """Seconds that a gradient takes, on average over the nodes, in the first step."""
    return float(network.compute.nanoseconds(nodes, 0, 0).mean()) / SECOND


def differs(network: SimulatedNetwork) -> bool:
    """Whether steps take some nodes longer than others, or sometimes longer."""
    compute, failures = network.compute, network.failures
    uneven = compute.jitter != "none" or compute.trace is not None or len(compute.slow) > 0
    return uneven or failures.rate > 0 or len(failures.outages) > 0
