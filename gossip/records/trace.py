"""A timeline of a run: what each rank computes, copies and compresses when, and for whom it waits.

While a trace is taken, the functions of interest are replaced by ones that look at the clock; otherwise they are left
alone, so that a run without a trace pays nothing. The file is in Chrome's trace event format, which Perfetto
(ui.perfetto.dev) and chrome://tracing show: a process for each rank, in it a lane for what the rank does and one for
each rank that it waits for.
"""

from __future__ import annotations

import json
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np

from algorithms import Algorithm, Compressor, Message, Oracle
from gossip.errors import DataError, GossipError
from gossip.network.network import InProcessNetwork
from gossip.processes.communicator import Communicator

EVENTS = 1 << 19  # of a rank that are kept, the last ones
DOING = 0  # lane of what a rank does; for rank r it waits in lane r + 1


class Trace:
    """What this rank has done: (name, category, began, ended, lane), in ns."""

    def __init__(self) -> None:
        self.events: deque[tuple[str, str, int, int, int]] = deque(maxlen=EVENTS)
        self._replaced: list[tuple[type, str, Any]] = []

    def time(self, kind: type, method: str, name: str, category: str) -> None:
        """Let a class's method be timed, where the class has it; {} in the name stands for the object's own class."""
        if hasattr(kind, method):
            original, add = getattr(kind, method), self.events.append

            @wraps(original)
            def timed(*arguments: Any, **options: Any) -> Any:
                began = time.perf_counter_ns()
                try:
                    return original(*arguments, **options)
                finally:
                    add((name.format(type(arguments[0]).__name__), category, began, time.perf_counter_ns(), DOING))

            self.replace(kind, method, timed)

    def replace(self, kind: type, method: str, by: Callable[..., Any]) -> None:
        """Use another function until `restore`."""
        self._replaced.append((kind, method, vars(kind).get(method)))
        setattr(kind, method, by)

    def restore(self) -> None:
        """Put the functions back."""
        for kind, method, original in reversed(self._replaced):
            if original is None:
                delattr(kind, method)
            else:
                setattr(kind, method, original)

    def time_waits(self) -> None:
        """Let waits for other ranks be timed, each rank's by itself where it can be told."""
        from gossip.network.transports.shared_memory.board import Board
        from gossip.processes.mpi import MpiCommunicator

        poll, sleep, add = MpiCommunicator.poll, Board._wait, self.events.append

        def timed_poll(
            communicator: MpiCommunicator, done: Callable[[], bool], awaited: Callable[[], Sequence[int]] | None = None
        ) -> None:
            began = time.perf_counter_ns()
            if awaited is None:
                poll(communicator, done)
                add(("wait for all", "wait", began, time.perf_counter_ns(), DOING))
                return
            since = dict.fromkeys(awaited(), began)

            def look() -> bool:
                finished = done()
                still = () if finished else awaited()
                now = time.perf_counter_ns()
                for rank in since.keys() - set(still):
                    add((f"wait for rank {rank}", "wait", since.pop(rank), now, rank + 1))
                for rank in still:
                    since.setdefault(rank, now)
                return finished

            poll(communicator, look, awaited)

        def timed_wait(board: Board, rank: int, word: int, value: int) -> None:
            began = time.perf_counter_ns()
            sleep(board, rank, word, value)
            add((f"wait for rank {rank}", "wait", began, time.perf_counter_ns(), rank + 1))

        self.replace(MpiCommunicator, "poll", timed_poll)
        self.replace(Board, "_wait", timed_wait)

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


@contextmanager
def traced(
    file: str | Path | None, processes: Communicator, algorithm: Algorithm, oracle: Oracle, workload: object
) -> Iterator[None]:
    """Write a timeline of what happens meanwhile on all ranks into this file; collective. None for no trace.

    Raises:
        DataError: the file cannot be written.
    """
    if file is None:
        yield
        return
    path = Path(file)
    processes.from_root(lambda: _write(path, []))
    trace = Trace()
    trace.time(type(oracle), "sample", "gradients", "compute")
    trace.time(type(workload), "evaluate", "evaluate", "compute")
    trace.time(type(algorithm), "start", "start", "compute")
    trace.time(type(algorithm), "step", "step", "compute")
    trace.time(InProcessNetwork, "_sum", "sum of rows", "compute")
    for kind in _below(Compressor):
        if "compress" in vars(kind):
            trace.time(kind, "compress", "compress with {}", "compress")
    for kind in _below(Message):
        for method in ("pack", "received", "dense", "add_to"):
            if method in vars(kind):
                trace.time(kind, method, method + " {}", "compress")
    if processes.size > 1:
        from gossip.network.transports.peer_to_peer.transport import Channel, PeerToPeerNetwork
        from gossip.network.transports.shared_memory.transport import SharedMemoryNetwork

        trace.time(SharedMemoryNetwork, "_sum", "sum of rows", "compute")
        trace.time(SharedMemoryNetwork, "_find_or_stage", "copy to shared memory", "copy")
        trace.time(SharedMemoryNetwork, "_stage_message", "copy to shared memory", "copy")
        trace.time(Channel, "start", "copy and send", "copy")
        trace.time(PeerToPeerNetwork, "_message_link", "pack and send", "copy")
        trace.time_waits()
    one_host = len(np.unique(processes.hosts)) == 1
    processes.barrier()
    now = time.perf_counter_ns()
    origin = processes.broadcast(now) if one_host else now  # hosts have clocks of their own
    try:
        yield
    except GossipError:  # raised alike on all ranks
        trace.restore()
        _merge(path, trace, processes, origin)
        raise
    except BaseException:
        trace.restore()
        raise
    trace.restore()
    _merge(path, trace, processes, origin)


def _merge(path: Path, trace: Trace, processes: Communicator, origin: int) -> None:
    parts = processes.collect(trace.packed(processes.rank, origin))
    processes.from_root(lambda: _write(path, parts))


def _write(path: Path, parts: Sequence[bytes]) -> None:
    try:
        with path.open("wb") as file:
            file.write(b'{"displayTimeUnit": "ms", "traceEvents": [' + b",\n".join(parts) + b"]}\n")
    except OSError as error:
        raise DataError(f"cannot write the trace {path} ({error.strerror}); choose another file") from error


def _below(kind: type) -> Iterator[type]:
    """A class and all that derive from it, each once."""
    seen: set[type] = set()
    kinds = [kind]
    while kinds:
        kind = kinds.pop()
        if kind not in seen:
            seen.add(kind)
            kinds += kind.__subclasses__()
            yield kind
