"""One schedule of what several processes have recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from heapq import heapify, heappop, heappush

import numpy as np

from gossip.drivers.schedule import Record, Schedule


def merged(
    parts: Sequence[Schedule], began: Sequence[Sequence[int]], rank_of: dict[int, int], past: Schedule
) -> tuple[Schedule, list[list[int]]]:
    """One schedule of those that processes have recorded, by time, but every message after the event that sent it; and
    of each process, which numbers its events have there.

    Its `clocks` are the times that the processes have recorded, which their programs have seen.

    Args:
        parts: Of each process, what happened to its nodes until each mark; causes of messages are numbers of the
            sender's process.
        began: When the times of each begin, in nanoseconds, for what happened before each mark.
        rank_of: The process of each node that is left. What lost ones sent has no cause.
        past: What had happened to all nodes before. Numbers of events go on from there in all processes.
    """
    before: list[tuple[int, ...]] = [()] * len(past)
    columns = []
    for part in parts:
        arrays = part.times, part.kinds, part.nodes, part.senders, part.causes
        columns.append(before + list(zip(*(array.tolist() for array in arrays), strict=True)))
    numbers = [list(range(len(past))) for _ in parts]
    record = Record(past.n)
    record.resume(past)
    for mark, offsets in enumerate(zip(*began, strict=True)):
        ends = [len(past) + int(part.marks[mark]) for part in parts]
        _merge(record, columns, numbers, ends, [offset - min(offsets) for offset in offsets], rank_of)
        record.mark()
    schedule = record.schedule()
    clocks = np.zeros(len(schedule), np.int64)
    clocks[: len(past)] = past.seen
    for part, places in zip(parts, numbers, strict=True):
        here = places[len(past) :]
        clocks[here] = part.times[: len(here)]
    return replace(schedule, clocks=clocks), numbers


def _merge(
    record: Record,
    columns: Sequence[Sequence[tuple[int, ...]]],
    numbers: Sequence[list[int]],
    ends: Sequence[int],
    offsets: Sequence[int],
    rank_of: dict[int, int],
) -> None:
    """Record the events of the processes up to these ends, and note which numbers they get."""
    parked: list[list[int]] = [[] for _ in columns]  # processes whose next event waits for one of this process
    now = record.last().time if len(record) else 0

    def following(rank: int) -> list[tuple[int, int]]:
        """When the next event of a process was, if there is one."""
        place = len(numbers[rank])
        return [(columns[rank][place][0] + offsets[rank], rank)] if place < ends[rank] else []

    queue = [each for rank in range(len(columns)) for each in following(rank)]
    heapify(queue)
    while queue:
        moment, rank = heappop(queue)
        _, kind, node, sender, cause = columns[rank][len(numbers[rank])]
        source = rank_of.get(sender, rank)  # what a lost rank did is not known
        cause = cause if sender in rank_of else -1
        if cause >= len(numbers[source]):
            parked[source].append(rank)
            continue
        now = max(now, moment)
        numbers[rank].append(len(record))
        record.add((now, kind, node, sender, -1 if cause < 0 else numbers[source][cause]))
        going_on, parked[rank] = [rank, *parked[rank]], []
        for other in going_on:
            for each in following(other):
                heappush(queue, each)
