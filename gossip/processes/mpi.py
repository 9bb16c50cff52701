"""The communicator of several MPI processes. Nothing here spins while other ranks need the cores."""

from __future__ import annotations

import pickle
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cached_property
from hashlib import blake2b
from math import inf
from typing import Any, cast

import numpy as np
from mpi4py import MPI as MPI  # also for what is measured against the bare library
from mpi4py.MPI import Intracomm as Intracomm
from numpy.typing import NDArray

from gossip.processes.attendance import Attendance, abort, attending, is_everyone
from gossip.processes.communicator import Communicator, StalledError, listed
from gossip.processes.cores import usable_cores
from gossip.processes.versions import digest, refuse_other_commands, refuse_other_versions, versions
from gossip.spans import NO_SPANS, telling_for_whom

CommunicationError = MPI.Exception  # of any call, where some rank may have died
SPIN = 0.1  # seconds of polling without a pause, where every rank has a core: MPI moves data during calls only
SHORTEST_SLEEP = 20e-6
LONGEST_SLEEP = 20e-3
OVERSLEEP = 0.05  # a sleep's share of the time waited so far, hence the most that sleeping adds to a long wait
MOST_CORES = 4096  # of a host
BROADCAST, FAILURE = 4, 5  # tags, next to those of the networks
LAST_WORDS = 1.0  # seconds without another report after which a failing rank speaks
MOMENT = 1.0  # seconds of waiting after which a rank looks where others are
AWAY = 2.0  # seconds between two looks from which on this process has itself been stopped


class MpiCommunicator(Communicator):
    """A private duplicate of an MPI communicator.

    A rank that spins while another needs its core takes the time of the one that it waits for. So waiting polls
    without a pause only where there are as many cores as ranks, and not for long; otherwise it sleeps between polls,
    a small share of the time waited so far. An exchange takes several polls, which is why sleeps must not double.

    Args:
        communicator: The processes.
        ranks_per_host: Take each block of so many ranks for a host of its own, as if the others ran elsewhere.
        doing: What this rank is about to do, which must be the same on all of them: a command and its arguments.
        patience: Seconds after which a wait for other ranks is given up, from here on.

    Attributes:
        crowded: Whether there are more ranks on this host than cores.
        hosts: (size,) the host of each rank, as a number: ranks of the same one can share memory, as MPI says.
        local_ranks: The ranks on this host, ascending.
        attendance: Sees whether ranks that are waited for will come.
    """

    def __init__(
        self,
        communicator: MPI.Intracomm,
        ranks_per_host: int | None = None,
        *,
        doing: Sequence[str] = (),
        patience: float = inf,
    ) -> None:
        self._doing = doing
        self.patience = patience
        self.attendance = attending(communicator)
        if self.attendance is not None:
            self.calls = self.attendance.calls
        self._everyone = is_everyone(communicator)
        self._set_up(communicator, ranks_per_host)

    def _set_up(self, communicator: MPI.Intracomm, ranks_per_host: int | None = None) -> None:
        self.crowded = True  # until the number of local ranks is known
        self.mpi, request = communicator.Idup()
        self.wait([request])
        self.rank = self.mpi.rank
        self.size = self.mpi.size
        self._refuse_other_programs()  # before anything that they may do otherwise
        self.hosts, self.local_size, self.local_cores = self._find_hosts()
        self.crowded = self.local_size > self.local_cores
        if ranks_per_host is not None:
            self.hosts = np.arange(self.size) // ranks_per_host
        self.local_ranks: list[int] = np.flatnonzero(self.hosts == self.hosts[self.rank]).tolist()

    def _refuse_other_programs(self) -> None:
        digests = np.empty((2, self.size, 16), np.uint8)
        mine = [digest(versions()), digest(self._doing)]
        self.wait([self.mpi.Iallgather(*each) for each in zip(mine, digests, strict=True)])
        refuse_other_versions(digests[0], self.gather)
        refuse_other_commands(digests[1], self._doing, self.gather)

    @property
    def shares_hosts(self) -> bool:
        """Whether several ranks run on the same host, somewhere."""
        return len(np.unique(self.hosts)) < self.size

    @cached_property
    def host(self) -> MPI.Intracomm:
        """The communicator of `local_ranks`, in their order; collective over all ranks where first used."""
        self.barrier()  # MPI's own waiting, which follows, spins
        return self.mpi.Create_group(self.mpi.Get_group().Incl(self.local_ranks))

    def _find_hosts(self) -> tuple[NDArray[np.int64], int, int]:
        """(`hosts`; ranks on this machine; cores that they may use together: ranks may be bound to some of their own).

        A machine may be several hosts to MPI: under Slurm, in containers.
        """
        self.barrier()  # MPI's own waiting, which follows, spins
        sharing = self.mpi.Split_type(MPI.COMM_TYPE_SHARED, key=self.rank)
        first = sharing.Get_group().Translate_ranks([0], self.mpi.Get_group())
        sharing.Free()
        machine = np.frombuffer(blake2b(socket.gethostname().encode(), digest_size=8).digest(), np.uint8)
        cores = np.zeros(MOST_CORES, np.uint8)
        cores[list(usable_cores())] = 1
        mine = np.concatenate([np.array(first).view(np.uint8), machine, np.packbits(cores)])
        everyone = np.empty((self.size, len(mine)), np.uint8)
        self.wait([self.mpi.Iallgather(mine, everyone)])
        firsts, machines, their_cores = np.split(everyone, [8, 16], axis=1)
        local = (machines == machine).all(axis=1)
        together = int(np.unpackbits(np.bitwise_or.reduce(their_cores[local])).sum())
        hosts = np.unique(firsts.copy().view(np.int64).reshape(-1), return_inverse=True)[1]
        return hosts, int(local.sum()), together

    @cached_property
    def takes_gpu_memory(self) -> bool:
        """Whether the MPI library sends from and receives into GPU memory, as it says itself (MPI 4.1, 11.4.3)."""
        return "cuda" in (self.mpi.Get_info().get("mpi_memory_alloc_kinds") or "")

    def poll(self, done: Callable[[], bool], awaited: Callable[[], Sequence[int]] | None = None) -> None:
        """Wait until `done()` is true; calling it must let MPI make progress.

        Args:
            awaited: Says which ranks are still waited for, where that can be told.

        Raises:
            StalledError: the wait took longer than `patience`.
        """
        if self.spans is not NO_SPANS:
            done = telling_for_whom(self.spans, done, awaited)
        wait = None
        while not done():
            wait = wait or Wait(self)
            waited = wait.look(awaited)
            if self.crowded or waited > SPIN:
                time.sleep(min(max(SHORTEST_SLEEP, OVERSLEEP * waited), LONGEST_SLEEP))

    def wait(self, requests: Sequence[MPI.Request], ranks: Iterable[int] | None = None) -> None:
        """Wait for all of these nonblocking operations.

        Args:
            ranks: With whom each of them is, if each is with one.
        """
        pending = list(requests)

        def awaited() -> list[int]:
            return [rank for request, rank in zip(pending, ranks or (), strict=True) if not request.Test()]

        self.poll(lambda: MPI.Request.Testall(pending), awaited if ranks is not None else None)

    def broadcast(self, value: Any, root: int = 0) -> Any:
        packed = np.frombuffer(pickle.dumps(value), np.uint8).copy() if self.rank == root else np.empty(0, np.uint8)
        size = np.array([len(packed)])
        self.wait([self.mpi.Ibcast(size, root)])
        if self.rank != root:
            packed = np.empty(size[0], np.uint8)
        self._spread(packed, root)
        return value if self.rank == root else pickle.loads(packed.data)

    def _spread(self, buffer: NDArray[np.uint8], root: int) -> None:
        """Broadcast along a binomial tree: MPI's way with long messages takes a step per rank."""
        place = (self.rank - root) % self.size
        span = place & -place or 1 << (self.size - 1).bit_length()  # of the subtree below this place
        if place:
            parent = (place - span + root) % self.size
            self.wait([self.mpi.Irecv(buffer, parent, BROADCAST)], [parent])
        steps = [span >> level for level in range(1, span.bit_length())]
        children = [(place + step + root) % self.size for step in steps if place + step < self.size]
        self.wait([self.mpi.Isend(buffer, child, BROADCAST) for child in children], children)

    def collect(self, packed: bytes) -> list[bytes]:
        sizes = self.gather(len(packed))
        everything = np.empty(sum(sizes) if self.rank == 0 else 0, np.uint8)
        to = [everything, sizes, None, MPI.BYTE] if self.rank == 0 else None
        self.wait([self.mpi.Igatherv(np.frombuffer(packed, np.uint8), to)])
        return [part.tobytes() for part in np.split(everything, np.cumsum(sizes)[:-1])] if self.rank == 0 else []

    def confer(self, report: Any) -> dict[int, Any]:
        said = {self.rank: report}
        packed = np.frombuffer(pickle.dumps(report), np.uint8)
        try:
            sends = [self.mpi.Isend(packed, rank, FAILURE) for rank in range(self.size) if rank != self.rank]
            heard = time.perf_counter()
            while len(said) < self.size and time.perf_counter() - heard < LAST_WORDS:
                status = MPI.Status()
                arrived = self.mpi.Improbe(MPI.ANY_SOURCE, FAILURE, status)
                if arrived is None:
                    MPI.Request.Testall(sends)
                    time.sleep(LONGEST_SLEEP)
                    continue
                buffer = np.empty(status.Get_count(MPI.BYTE), np.uint8)
                arrived.Recv(buffer)
                said[status.source] = pickle.loads(buffer.data)
                heard = time.perf_counter()
        except MPI.Exception:  # it may be MPI that has failed
            pass
        return dict(sorted(said.items()))

    def gather(self, value: Any) -> list[Any]:
        mine = np.frombuffer(pickle.dumps(value), np.uint8)
        size, sizes = np.array([len(mine)]), np.empty(self.size, np.int64)
        self.wait([self.mpi.Iallgather(size, sizes)])
        everyone = np.empty(sizes.sum(), np.uint8)
        self.wait([self.mpi.Iallgatherv(mine, [everyone, sizes, None, MPI.BYTE])])
        return [pickle.loads(part.data) for part in np.split(everyone, np.cumsum(sizes)[:-1])]

    def post_maximum(self, values: Sequence[float]) -> Callable[[], list[float]]:
        mine = np.array(values, np.float64)
        maxima = np.empty_like(mine)
        request = self.mpi.Iallreduce(mine, maxima, MPI.MAX)

        def wait(_kept: object = mine) -> list[float]:  # mpi4py does not keep what is being reduced
            self.wait([request])
            return maxima.tolist()

        return wait

    def first_rank_where(self, flag: bool) -> int | None:
        mine, first = np.array([self.rank if flag else self.size]), np.empty(1, np.int64)
        self.wait([self.mpi.Iallreduce(mine, first, MPI.MIN)])  # which keeps neither of the two itself
        return int(first[0]) if first[0] < self.size else None

    def barrier(self) -> None:
        self.wait([self.mpi.Ibarrier()])

    def post_barrier(self) -> Callable[[], None]:
        """Begin to wait until every rank is here; what is given waits for that."""
        request = self.mpi.Ibarrier()
        return lambda: self.wait([request])

    def revoke(self) -> None:
        """Let all communication between these ranks fail, so that all of them notice that something is wrong."""
        with suppress(MPI.Exception):
            self.mpi.Revoke()

    def agree(self, flag: bool) -> bool:
        """Whether all ranks that are left gave True; the same on all of them, whatever fails meanwhile."""
        try:
            self.mpi.Ack_failed()
            return bool(self.mpi.Agree(int(flag)))
        except MPI.Exception:  # some rank has failed since
            return False

    def go_on(self) -> list[int]:
        """Become the communicator of the ranks that are left; gives the numbers of those that are gone. Collective."""
        before = self.mpi
        while True:
            left = cast(MPI.Intracomm, before.Shrink())
            try:
                self._set_up(left)
                done = True
            except MPI.Exception:
                left.Revoke()
                done = False
            self.mpi, after = before, self.mpi
            if self.agree(done):
                break
        self.mpi, self.bereaved = after, True
        vars(self).pop("host", None)
        self.blocks = None
        gone = MPI.Group.Difference(before.Get_group(), left.Get_group())
        return sorted(gone.Translate_ranks(None, before.Get_group())) if gone.size else []

    def named(self, rank: int) -> str:
        """Another rank in words."""
        if self.blocks is None:
            return f"rank {rank}"
        return f"rank {rank} ({listed(self.blocks[rank], 'node')})"

    def attend(self, call: str) -> None:
        """See where others are from now on, in the first call that these ranks make together; collective."""
        if self.attendance is None:
            communicator, request = self.mpi.Idup()
            self.wait([request])
            self.attendance = Attendance(communicator, self.calls, self._everyone)
            self.begin(call)

    def at_end(self, close: Callable[[], object]) -> None:
        if self.attendance is not None:
            self.attendance.closing.append(close)

    def no_longer_at_end(self, close: Callable[[], object]) -> None:
        if self.attendance is not None and close in self.attendance.closing:
            self.attendance.closing.remove(close)

    def abort(self, code: int) -> None:
        abort(code)

    def close(self) -> None:
        if self.attendance is not None and not self.attendance.everyone:
            self.poll(self.attendance.all_at_end)
            self.attendance.free()
        if "host" in vars(self):
            self.host.Free()
        self.mpi.Free()


class Wait:
    """A wait that has just begun, and how long it has taken: without the time in which this process did not run."""

    def __init__(self, communicator: MpiCommunicator) -> None:
        self._communicator = communicator
        self._began = self._looked = time.perf_counter()

    def look(self, awaited: Callable[[], Sequence[int]] | None) -> float:
        """Seconds so far; to be called again and again.

        Args:
            awaited: Says which ranks are still waited for, where that can be told.

        Raises:
            StalledError: they are more than the communicator's patience.
            PartedError: for ranks that will not come.
        """
        now = time.perf_counter()
        if now - self._looked > AWAY:
            self._began += now - self._looked
        self._looked = now
        waited = now - self._began
        if waited > MOMENT and self._communicator.attendance is not None:
            self._communicator.attendance.look(awaited)
        if waited > self._communicator.patience:
            ranks = awaited and awaited()
            since = (datetime.now() - timedelta(seconds=waited)).strftime("%H:%M:%S")
            whom = " and ".join(map(self._communicator.named, ranks)) if ranks else "the other ranks"
            raise StalledError(ranks, waited, f"waits for {whom} since {since}, for {waited:.1f} s")
        return waited
