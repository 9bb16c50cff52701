"""Latency and bandwidth between all pairs of ranks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossip.doctor.findings import Finding
from gossip.network import Communicator

SHORT, LONG = 8, 1 << 20  # bytes of a message
LAST, MORE = 1, 0  # first byte of a message
TAG = 1
OUTLIER = 5  # times worse than the median of its kind
SLOW = 0.5e9  # bytes/s between hosts: clusters have more
MOST = 16  # ranks, or else hosts, of which the matrix is shown


@dataclass(frozen=True)
class LinkTimes:
    """What was measured between pairs of ranks, (n, n) with NaN on the diagonal and where there was no time for it.

    Attributes:
        latency: Seconds one way of a short message; symmetric.
        bandwidth: Bytes/s of a long one; symmetric.
        hosts: Name of the host of each rank.
    """

    latency: NDArray[np.float64]
    bandwidth: NDArray[np.float64]
    hosts: Sequence[str]


def rounds(size: int) -> list[list[int]]:
    """Who is whose partner in each round (-1: nobody), such that every pair meets once, as in a tournament."""
    even = size + size % 2
    schedule = []
    for turn in range(even - 1):
        circle = [0, *((turn + i) % (even - 1) + 1 for i in range(even - 1))]
        partners = [-1] * even
        for one, other in zip(circle[: even // 2], reversed(circle), strict=False):
            partners[one], partners[other] = other, one
        schedule.append([partner if partner < size else -1 for partner in partners[:size]])
    return schedule


def measure(processes: Communicator, hosts: Sequence[str], seconds: float) -> LinkTimes:
    """Let pairs send each other messages, half of the ranks at the same time; collective.

    Every pair has its share of the seconds; when they are over, the rounds that are left are left out.
    """
    n = processes.size
    latency, bandwidth = np.full((2, n), np.nan)
    schedule = rounds(n)
    began = time.perf_counter()
    for partners in schedule:
        partner = partners[processes.rank]
        if partner >= 0:
            share = seconds / len(schedule) / 2
            latency[partner] = _one_way(processes, partner, SHORT, share)
            bandwidth[partner] = LONG / _one_way(processes, partner, LONG, share)
        if processes.first_rank_where(time.perf_counter() - began > seconds) is not None:
            break
    everyone = np.array(processes.gather((latency, bandwidth)))
    # The one with the lower number has timed it.
    latencies, bandwidths = (np.triu(each) + np.triu(each).T for each in (everyone[:, 0], everyone[:, 1]))
    return LinkTimes(latencies, bandwidths, hosts)


def _one_way(processes: Any, partner: int, size: int, seconds: float) -> float:
    """Half of the time there and back: the fastest, as all else is somebody's interruption."""
    message, reply = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    leads = processes.rank < partner
    fastest = np.inf
    until = time.perf_counter() + seconds
    while True:
        began = time.perf_counter()
        if leads:
            message[0] = LAST if fastest < np.inf and began >= until else MORE
            processes.wait([processes.mpi.Isend(message, partner, TAG), processes.mpi.Irecv(reply, partner, TAG)])
            fastest = min(fastest, time.perf_counter() - began)
        else:
            processes.wait([processes.mpi.Irecv(reply, partner, TAG)])
            processes.wait([processes.mpi.Isend(reply, partner, TAG)])
        if (message if leads else reply)[0] == LAST:
            return fastest / 2


def examine(links: LinkTimes, crowded: bool) -> list[Finding]:
    """A line for pairs on the same host and one for pairs on different ones.

    Args:
        links: What was measured.
        crowded: Whether ranks share cores, so that times hold the wait for a core.
    """
    hosts = np.array(links.hosts)
    same = hosts[:, None] == hosts
    once = np.triu(np.ones_like(same), 1)
    found = (
        _judge("links on a host", same & once, links, crowded, least=0.0),
        _judge("links between hosts", ~same & once, links, crowded, least=SLOW),
    )
    return [finding for finding in found if finding is not None]


def _judge(subject: str, pairs: NDArray[np.bool_], links: LinkTimes, crowded: bool, least: float) -> Finding | None:
    """The finding on these pairs, (n, n), of which the median should reach `least` bytes/s; None if there are none."""
    measured = pairs & ~np.isnan(links.latency)
    if not measured.any():
        return None
    latency, bandwidth = np.median(links.latency[measured]), np.median(links.bandwidth[measured])
    count = str(pairs.sum()) if (measured == pairs).all() else f"{measured.sum()} of {pairs.sum()}"
    text = f"{_pair(latency, bandwidth)}, the median of {count} pair{'s' if pairs.sum() > 1 else ''}"
    if crowded:
        return Finding(subject, f"{text}; this includes waiting for a core")
    slow = measured & ((links.latency > OUTLIER * latency) | (links.bandwidth < bandwidth / OUTLIER))
    if slow.any():
        i, j = max(np.argwhere(slow).tolist(), key=lambda pair: links.latency[*pair] / links.bandwidth[*pair])
        return Finding(
            subject,
            f"{text}; {_pair(links.latency[i, j], links.bandwidth[i, j])} between rank {i} ({links.hosts[i]}) and rank "
            f"{j} ({links.hosts[j]}), the slowest of {slow.sum()} that are far behind",
            "run it again; what stays slow may be a host to leave out: srun --exclude",
        )
    if bandwidth < least:
        return Finding(subject, text, "if there is a faster network, use the cluster's own MPI library, built for it")
    return Finding(subject, text)


def matrix(links: LinkTimes) -> list[str]:
    """The lines of a table between ranks, or between hosts if there are many; none if there are many of these too.

    Latency is above the diagonal and bandwidth below it; between hosts both are the median.
    """
    names = [str(rank) for rank in range(len(links.hosts))]
    latency, bandwidth = links.latency, links.bandwidth
    kind = "ranks"
    if len(names) > MOST:
        kind, names = "hosts", list(dict.fromkeys(links.hosts))
        if not 1 < len(names) <= MOST:
            return []
        members = [np.array(links.hosts) == name for name in names]
        latency, bandwidth = (
            np.array([[_median(values[np.ix_(one, other)]) for other in members] for one in members])
            for values in (latency, bandwidth)
        )
    texts = [
        [
            _cell(latency[i, j], 1e-6, 0) if i < j else _cell(bandwidth[i, j], 1e9, 2) if i > j else ""
            for j in range(len(names))
        ]
        for i in range(len(names))
    ]
    width = max(len(text) for text in [*names, *(text for row in texts for text in row)])
    first = max(map(len, names))
    title = f"between {kind}, above the diagonal latency in us, below it bandwidth in GB/s:"
    return [title, " " * first + "".join(f"  {name:>{width}}" for name in names)] + [
        f"{name:>{first}}" + "".join(f"  {text:>{width}}" for text in row)
        for name, row in zip(names, texts, strict=True)
    ]


def _pair(latency: float, bandwidth: float) -> str:
    return f"{latency * 1e6:,.0f} us and {bandwidth / 1e9:.2f} GB/s"


def _median(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else np.nan


def _cell(value: float, unit: float, digits: int) -> str:
    return "-" if np.isnan(value) else f"{value / unit:,.{digits}f}"
