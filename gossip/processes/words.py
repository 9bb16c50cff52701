"""What is said of ranks that wait for each other."""

from __future__ import annotations

from collections.abc import Mapping

from gossip.processes.calls import SAME, Calls
from gossip.processes.communicator import listed


def grouped(places: Mapping[int, str]) -> list[tuple[list[int], str]]:
    """The ranks that have the same words, each once, in the order of their first ranks."""
    groups: dict[str, list[int]] = {}
    for rank, place in sorted(places.items()):
        groups.setdefault(place, []).append(rank)
    return [(ranks, place) for place, ranks in groups.items()]


def parted(left: Mapping[int, Calls], waiting: Mapping[int, Calls], size: int) -> str:
    """In one line: which ranks have left, and which wait for them where."""
    gone = [
        f"{listed(ranks)}{f' of {size}' if not i else ''} {'have' if len(ranks) > 1 else 'has'} left after {done}"
        for i, (ranks, done) in enumerate(grouped({rank: calls.done for rank, calls in left.items()}))
    ]
    there = [
        f"{listed(ranks)} {'wait' if len(ranks) > 1 else 'waits'} in {doing}"
        for ranks, doing in grouped({rank: calls.doing for rank, calls in waiting.items()})
    ]
    advice = next(iter(waiting.values())).advice
    return f"{' and '.join(gone)} while {' and '.join(there)}; {advice}"


def crossed(waiting: Mapping[int, str]) -> str:
    """In one line: ranks that wait for each other in different calls."""
    there = [f"{listed(ranks)} {'wait' if len(ranks) > 1 else 'waits'} in {doing}" for ranks, doing in grouped(waiting)]
    return f"{' while '.join(there)}: {SAME}"
