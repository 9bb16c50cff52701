"""Starts ranks of jobs as copies of one process that has loaded torch and gossip already: forkserver.py SOCKET

A rank that starts anew takes two seconds of a core for that, and the tests start some hundreds. It is a process of its
own all the same: it runs what it is told as the main module, and Python ends it as it always does. Tests of how
processes start do without (`python(..., anew=True)`). All copies hash alike, unlike ranks that start anew, such as the
launches of tests/mpi/ranks.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import selectors
import signal
import socket
import sys
import warnings
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

LOADED = (  # what a run loads sooner or later, but for MPI and the module that is the program
    "gossip.bench.train gossip.bench.network.mix gossip.bench.network.scale gossip.bench.compression.frontier "
    "gossip.bench.compression.compressors gossip.checkpoint gossip.console.table gossip.execution.run gossip.optimizer "
    "gossip.optimizer.optimizer gossip.options.command_line gossip.records.recorder gossip.train gossip.workloads "
    "networkx numba scipy.sparse.linalg sklearn.datasets torch._dynamo torch.func"
).split()
MOST = 1 << 18  # bytes of what a rank is told


@dataclass
class Rank:
    """One that runs: its process, and whom to tell how it ends, until they are gone."""

    pid: int
    caller: socket.socket | None


class Server:
    """Copies this process for each caller at a socket, until its standard input ends."""

    def __init__(self, path: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(path)
        self._listener.listen(256)
        self._events = selectors.DefaultSelector()
        self._events.register(0, selectors.EVENT_READ, self._end)
        self._events.register(self._listener, selectors.EVENT_READ, self._accept)
        self._ranks: dict[int, Rank] = {}  # by the files that tell of their ends
        self._job: dict[str, Any] | None = None
        self._serving = True

    def serve(self) -> dict[str, Any] | None:
        """What a copy is to do, in the copy; None in this process, when nobody needs it any more."""
        while self._serving:
            for key, _ in self._events.select():
                key.data()
                if self._job is not None:
                    return self._job
        for rank in self._ranks.values():
            os.kill(rank.pid, signal.SIGKILL)
        return None

    def _end(self) -> None:
        self._serving = bool(os.read(0, 1))

    def _accept(self) -> None:
        caller, _ = self._listener.accept()
        self._events.register(caller, selectors.EVENT_READ, lambda: self._start(caller))

    def _start(self, caller: socket.socket) -> None:
        self._events.unregister(caller)
        said, files, *_ = socket.recv_fds(caller, MOST, 16)
        if not said:  # it was killed before it could say anything
            caller.close()
            return
        job = json.loads(said)
        pid = os.fork()
        if not pid:
            self._leave(caller)
            place(files, job["files"])
            self._job = job
            return
        for file in files:
            os.close(file)
        end = os.pidfd_open(pid)
        self._ranks[end] = rank = Rank(pid, caller)
        self._events.register(end, selectors.EVENT_READ, lambda: self._ended(end))
        self._events.register(caller, selectors.EVENT_READ, lambda: self._pass_on(rank))

    def _leave(self, *callers: socket.socket) -> None:
        """In a copy, close all that is the server's, but for its standard files, which are replaced."""
        self._events.close()
        for each in (self._listener, *callers, *(rank.caller for rank in self._ranks.values())):
            if each is not None:
                each.close()
        for end in self._ranks:
            os.close(end)

    def _pass_on(self, rank: Rank) -> None:
        """The launcher has sent a signal to the process that stands for this rank, or has killed it."""
        if rank.caller is None:  # the rank has just ended
            return
        said = rank.caller.recv(64)
        os.kill(rank.pid, int(said) if said else signal.SIGKILL)
        if not said:
            self._forget_caller(rank)

    def _ended(self, end: int) -> None:
        rank = self._ranks.pop(end)
        self._events.unregister(end)
        os.close(end)
        _, status = os.waitpid(rank.pid, 0)
        if rank.caller is not None:
            with suppress(BrokenPipeError):
                rank.caller.send(str(os.waitstatus_to_exitcode(status)).encode())
            self._forget_caller(rank)

    def _forget_caller(self, rank: Rank) -> None:
        assert rank.caller is not None
        self._events.unregister(rank.caller)
        rank.caller.close()
        rank.caller = None


def place(files: list[int], numbers: list[int]) -> None:
    """Let these open files have these numbers."""
    high = [fcntl.fcntl(file, fcntl.F_DUPFD, max(numbers) + 1) for file in files]  # none of them is in the way there
    for file in files:
        os.close(file)
    for file, number in zip(high, numbers, strict=True):
        os.dup2(file, number)
        os.close(file)


def run(arguments: list[str]) -> None:
    """What Python does with these arguments: -W ACTION, then -m MODULE or a program, then what that gets."""
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    if arguments[0] == "-W":
        warnings.simplefilter(arguments[1])  # type: ignore[arg-type]
        arguments = arguments[2:]
    main = ModuleType("__main__")
    if arguments[0] == "-m":
        sys.path[:0] = [os.getcwd(), *paths]
        spec = find_spec(f"{arguments[1]}.__main__") or find_spec(arguments[1])
        assert spec is not None and spec.origin is not None
        main.__spec__, main.__package__, main.__file__ = spec, spec.parent, spec.origin
        arguments = arguments[1:]
    else:
        sys.path[:0] = [os.path.dirname(arguments[0]), *paths]
        main.__file__ = arguments[0]
    sys.argv = [main.__file__, *arguments[1:]]
    sys.modules["__main__"] = main
    program = Path(main.__file__).read_bytes()
    exec(compile(program, main.__file__, "exec"), main.__dict__)


def load() -> None:
    """What copies need and this process has not yet."""
    for name in LOADED:
        import_module(name)
    import_module("gossip.options.kinds").let_the_parser_know()
    with open("/proc/self/status") as file:
        assert "Threads:\t1\n" in file.read(), "threads are not copied"
    sys.modules["forkserver"] = sys.modules["__main__"]  # whose name the program gets: `inspect` looks for it
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    server = Server(sys.argv[1])
    load()
    del sys.path[: 1 + len(os.environ["PYTHONPATH"].split(os.pathsep))]  # a copy has its own
    if (job := server.serve()) is not None:
        os.environ.clear()
        os.environ.update(job["environment"])
        os.chdir(job["folder"])
        del server
        import_module("numpy.random").seed()  # as anew; Python's own `random` does so itself
        run(job["arguments"])
