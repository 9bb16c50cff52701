"""What happened to whom in an asynchronous run, in which order."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from struct import Struct
from typing import Any, Literal, NamedTuple
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gossip.errors import DataError

SECOND = 10**9  # nanoseconds
FORMAT = 1  # of files

Kind = Literal["start", "gradient", "message", "timer", "loss"]
KINDS: tuple[Kind, ...] = ("start", "gradient", "message", "timer", "loss")
START, GRADIENT, MESSAGE, TIMER, LOSS = range(len(KINDS))
WIDTH = 5  # numbers of an event

packed = Struct(f"={WIDTH}q").pack
"""The bytes of an event: time, kind, node, sender, cause."""


class Event(NamedTuple):
    """Something that happened to a node."""

    time: int
    """When, in nanoseconds since the start."""
    node: int
    """To whom."""
    kind: Kind
    """What."""
    sender: int
    """Who sent the message, or was lost; the node itself if it is another event."""
    cause: int
    """The number of the event in which the gradient or timer was asked for, or the message sent; -1 if there is none:
    of starts and losses, and of messages of a lost process, whose events are not known."""


@dataclass(frozen=True, eq=False)
class Schedule:
    """All events of a run, in their order: (events,) each. Events have numbers, from 0.

    It holds what replaying takes beside programs and data: what a program is told, and what it sends, follows from the
    order alone, as what a node sends to another arrives in the order of sending.

    A run may pause at marks, for evaluation or checkpoints: where `advance` of its driver has come to an end. What
    comes after a mark does so for all nodes, and the time of the pause is not counted. On real processes nothing is
    under way at a mark. So a replay has the models of the run at the marks; between two of them, it may have some that
    no moment of the run had, as different processes do things at the same time.

    Attributes:
        n: The number of nodes.
        times: int64, nanoseconds since the start.
        kinds: int8, places in `KINDS`.
        nodes: int32, to whom it happened.
        senders: int32, who sent a message, or was lost; of other events the node itself.
        causes: int64, in which event this one was caused; -1 if in none.
        marks: (marks,) int64, how many events there were at each mark, ascending.
        clocks: int64, what the node's own process took for the time of each event, which its program saw; none where
            that is `times`.
        of: What has been run, as JSON, if whoever ran it has noted that.
    """

    n: int
    times: NDArray[np.int64]
    kinds: NDArray[np.int8]
    nodes: NDArray[np.int32]
    senders: NDArray[np.int32]
    causes: NDArray[np.int64]
    marks: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    clocks: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    of: str = ""

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, event: int) -> Event:
        time, node, kind = int(self.times[event]), int(self.nodes[event]), KINDS[self.kinds[event]]
        return Event(time, node, kind, int(self.senders[event]), int(self.causes[event]))

    def __iter__(self) -> Iterator[Event]:
        return map(self.__getitem__, range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Schedule):
            return NotImplemented
        names = [field.name for field in fields(self)]
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in names)

    @property
    def seconds(self) -> float:
        """The time of the last event."""
        return int(self.times[-1]) / SECOND if len(self) else 0.0

    @property
    def updates_per_second(self) -> float:
        """Gradients of all nodes, by the time of the last event."""
        gradients = np.count_nonzero(self.kinds == GRADIENT)
        return gradients / self.seconds if gradients else 0.0

    @property
    def seen(self) -> NDArray[np.int64]:
        """(events,): the time of each event as the program saw it, in nanoseconds since the start."""
        return self.clocks if len(self.clocks) else self.times

    def until(self, events: int, marks: int) -> Schedule:
        """The first so many events and marks of it."""
        arrays = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in ("n", "marks", "of")}
        first = {name: array[:events] for name, array in arrays.items()}
        return replace(self, **first, marks=self.marks[:marks])

    def staleness(self) -> NDArray[np.int64]:
        """(gradients,): of each gradient, how many others all nodes had got since it was asked for, in order."""
        happened = self.kinds == GRADIENT
        before = np.concatenate([[0], np.cumsum(happened)])  # gradients before each event
        here = np.flatnonzero(happened)
        return np.asarray(before[here] - before[self.causes[here] + 1], np.int64)

    def averagings(self) -> NDArray[np.int64]:
        """(gradients,): of each gradient, how many messages its own node had got since it was asked for, in order."""
        heard = np.zeros(self.n, np.int64)
        since = np.zeros(self.n, np.int64)  # as `heard` was when each node asked
        found = []
        asks = np.zeros(len(self), bool)
        asks[self.causes[self.kinds == GRADIENT]] = True
        events = zip(self.kinds.tolist(), self.nodes.tolist(), asks.tolist(), strict=True)
        for kind, node, asked in events:
            heard[node] += kind == MESSAGE
            if kind == GRADIENT:
                found.append(heard[node] - since[node])
            if asked:
                since[node] = heard[node]
        return np.array(found, np.int64)

    def idle_seconds(self) -> NDArray[np.float64]:
        """(n,): how long each node had no gradient to compute until the last event, or one that has not ended."""
        here = np.flatnonzero(self.kinds == GRADIENT)
        busy = np.zeros(self.n, np.int64)
        np.add.at(busy, self.nodes[here], self.times[here] - self.times[self.causes[here]])
        return np.asarray((int(self.times[-1]) - busy) / SECOND) if len(self) else np.zeros(self.n)

    def by_node(self, nodes: Sequence[int]) -> list[Tensor]:
        """(events, 6) int64 of each of these nodes: number, time, as it was and as the program saw it, kind, sender and
        cause of what happened to it."""
        columns = np.arange(len(self)), self.times, self.seen, self.kinds, self.senders, self.causes
        table = np.stack([column.astype(np.int64) for column in columns], axis=1)
        order = np.argsort(self.nodes, kind="stable")
        ends = np.cumsum(np.bincount(self.nodes, minlength=self.n))
        parts = np.split(table[order], ends[:-1])
        return [torch.from_numpy(parts[node].copy()) for node in nodes]

    @classmethod
    def of_nodes(cls, n: int, tables: Sequence[Tensor], marks: Sequence[int]) -> Schedule:
        """What all nodes have of it, in their order, put together again; see `by_node`."""
        nodes = np.repeat(np.arange(n), [len(table) for table in tables])
        table = torch.cat(list(tables)).numpy()
        order = np.argsort(table[:, 0])
        if not np.array_equal(table[order, 0], np.arange(len(table))):
            raise ValueError("events are missing")
        _, times, seen, kinds, senders, causes = table[order].T
        narrow = kinds.astype(np.int8), nodes[order].astype(np.int32), senders.astype(np.int32)
        clocks = seen[:0] if np.array_equal(times, seen) else seen
        return cls(n, times.copy(), *narrow, causes.copy(), np.array(marks, np.int64), clocks.copy())

    def save(self, file: Path) -> None:
        """Write it to a file, in NumPy's format."""
        arrays: dict[str, Any] = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}
        # As differences, which are small, and so few bytes when they are compressed.
        arrays["times"] = np.diff(self.times, prepend=0)
        arrays["causes"] = np.arange(len(self)) - self.causes
        with file.open("wb") as out:
            np.savez_compressed(out, format=np.array(FORMAT), **arrays)

    @classmethod
    def load(cls, file: Path) -> Schedule:
        """What `save` wrote.

        Raises:
            DataError: It cannot be read, or is none.
        """
        try:
            with np.load(file, allow_pickle=False) as saved:
                arrays = dict(saved)
        except OSError as error:
            raise DataError(f"cannot read the schedule {file} ({error.strerror or error})") from error
        except (ValueError, BadZipFile, EOFError) as error:
            raise DataError(f"{file} is no schedule of a run") from error
        names = {field.name for field in fields(cls)} | {"format"}
        if not names <= {*arrays} or int(arrays["format"]) != FORMAT:
            raise DataError(f"{file} is no schedule of a run, or one of another version")
        times, causes = np.cumsum(arrays["times"]), np.arange(len(arrays["times"])) - arrays["causes"]
        others = {name: arrays[name] for name in ("kinds", "nodes", "senders", "marks", "clocks")}
        return cls(int(arrays["n"]), times, causes=causes, of=str(arrays["of"]), **others)


class Record:
    """A schedule as it is being recorded.

    Args:
        n: The number of nodes.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._numbers, self._marks = array("q"), array("q")
        self.add = self._numbers.extend
        """The next event, (time, kind, node, sender, cause); see `Schedule`."""
        self.add_packed = self._numbers.frombytes
        """The next event as `packed` gives it, in half of the time."""

    def __len__(self) -> int:
        return len(self._numbers) // WIDTH

    def mark(self) -> None:
        """Here the run pauses; see `Schedule`."""
        self._marks.append(len(self))

    def resume(self, schedule: Schedule) -> None:
        """Go on after what this says."""
        columns = schedule.times, schedule.kinds, schedule.nodes, schedule.senders, schedule.causes
        self._numbers[:] = array("q", np.stack([column.astype(np.int64) for column in columns], axis=1).tobytes())
        self._marks[:] = array("q", schedule.marks.astype(np.int64).tobytes())

    def last(self) -> Event:
        """The last event."""
        time, kind, node, sender, cause = self._numbers[-WIDTH:]
        return Event(time, node, KINDS[kind], sender, cause)

    def schedule(self) -> Schedule:
        """What has been recorded so far; a copy."""
        # A view, not to copy all numbers one by one; nothing can be added while there is one.
        times, kinds, nodes, senders, causes = np.asarray(self._numbers).reshape(-1, WIDTH).T
        narrow = kinds.astype(np.int8), nodes.astype(np.int32), senders.astype(np.int32)
        return Schedule(self._n, times.copy(), *narrow, causes.copy(), np.array(self._marks, np.int64))
