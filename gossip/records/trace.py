"""A timeline of a run: what each rank computes, copies and compresses when, and for whom it waits.

The processes, the network and whoever drives an algorithm tell it of what they do; where no trace is taken there is
nobody to tell, so that a run pays nothing. The file is in Chrome's trace event format, which Perfetto
(ui.perfetto.dev) and chrome://tracing show: a process for each rank, in it a lane for what the rank does and one for
each rank that it waits for.
"""

from __future__ import annotations

import json
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from algorithms.watching import watched_by
from gossip.errors import DataError, GossipError
from gossip.processes.communicator import Communicator
from gossip.records.logs import warn
from gossip.spans import DOING, NO_SPANS

EVENTS = 1 << 19  # of a rank that are kept, the last ones

Event = tuple[str, str, int, int, int]  # name, category, began, ended (both in ns), lane


class Trace:
    """What this rank has done. It is told so as `gossip.spans.Spans`."""

    def __init__(self) -> None:
        self.events: deque[Event] = deque(maxlen=EVENTS)

    def span(self, name: str, category: str, lane: int = DOING) -> AbstractContextManager[object]:
        """See `Spans`."""
        return _Timed(self.events, name, category, lane)

    def packed(self, rank: int, origin: int) -> bytes:
        """JSON of the events, separated by commas, with times from this one on."""
        lanes = sorted({DOING} | {event[4] for event in self.events})
        names = {lane: f"waits for rank {lane - 1}" if lane else "does" for lane in lanes}
        lines: list[dict[str, Any]] = [
            {
                "ph": "M",
                "name": "process_name",
                "pid": rank,
                "args": {"name": f"rank {rank} on {socket.gethostname()}"},
            },
            {"ph": "M", "name": "process_sort_index", "pid": rank, "args": {"sort_index": rank}},
        ]
        lines += [
            {"ph": "M", "name": "thread_name", "pid": rank, "tid": lane, "args": {"name": name}}
            for lane, name in names.items()
        ]
        lines += [
            {
                "ph": "X",
                "name": name,
                "cat": category,
                "ts": (began - origin) / 1e3,
                "dur": (ended - began) / 1e3,
                "pid": rank,
                "tid": lane,
            }
            for name, category, began, ended, lane in self.events
        ]
        return json.dumps(lines)[1:-1].encode()


class _Timed:
    """Becomes an event when it has ended."""

    def __init__(self, events: deque[Event], name: str, category: str, lane: int) -> None:
        self._events = events
        self._name, self._category, self._lane = name, category, lane

    def __enter__(self) -> None:
        self._began = time.perf_counter_ns()

    def __exit__(self, *error: object) -> None:
        self._events.append((self._name, self._category, self._began, time.perf_counter_ns(), self._lane))


@contextmanager
def traced(file: str | Path | None, processes: Communicator) -> Iterator[None]:
    """Write a timeline of what happens meanwhile on all ranks into this file; collective. None for no trace.

    Meanwhile `processes.spans` is told what happens; who is to tell it must be given it.

    Raises:
        DataError: the file cannot be written at first; at the end that is a warning.
    """
    if file is None:
        yield
        return
    path = Path(file)
    processes.from_root(lambda: _begin(path))
    trace = Trace()
    one_host = len(np.unique(processes.hosts)) == 1
    processes.barrier()
    now = time.perf_counter_ns()
    origin = processes.broadcast(now) if one_host else now  # hosts have clocks of their own
    processes.spans = trace
    try:
        with watched_by(trace):
            yield
    except GossipError:  # raised alike on all ranks
        processes.spans = NO_SPANS
        _merge(path, trace, processes, origin)
        raise
    finally:
        processes.spans = NO_SPANS
    _merge(path, trace, processes, origin)


def _merge(path: Path, trace: Trace, processes: Communicator, origin: int) -> None:
    parts = processes.collect(trace.packed(processes.rank, origin))
    processes.from_root(lambda: _end(path, parts))


def _begin(path: Path) -> None:
    try:
        _write(path, [])
    except OSError as error:
        raise DataError(f"cannot write the trace {path} ({error.strerror}); choose another file") from error


def _end(path: Path, parts: Sequence[bytes]) -> None:
    try:
        _write(path, parts)
    except OSError as error:  # of a run that has been made
        warn(f"cannot write the trace {path} ({error.strerror})")


def _write(path: Path, parts: Sequence[bytes]) -> None:
    with path.open("wb") as file:
        file.write(b'{"displayTimeUnit": "ms", "traceEvents": [' + b",\n".join(parts) + b"]}\n")
