"""A small process on each host that outlives the ranks there and says which of them was killed.

A killed rank says nothing, and where its launcher then kills the others they say nothing either. So the first rank of
each host starts this file as a program, alone, before training. It sleeps until a rank ends without having said that it
would, and prints one line: of ranks that end together, the kernel tells which was the first.

Ranks and watcher share a few bytes of memory, a file without a name: for each rank of the host whether it may end.
"""

from __future__ import annotations

import mmap
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

RUNNING, LEAVING = 0, 1  # a rank may end without a word if it is leaving
CLAIM = "failed"  # in the run directory: who makes this file speaks


class Watch:
    """This rank under the eyes of its host's watcher; nothing where the system has not what it takes.

    Args:
        ranks: Those of this host, ascending,
        rank: with this one.
        gather: Gives what each of all ranks gives, in their order; collective.
        size: How many ranks there are on all hosts.
        directory: The run directory, if there is one.
        checkpoint: A pattern of the names of checkpoints in it.
    """

    def __init__(
        self,
        ranks: Sequence[int],
        rank: int,
        gather: Callable[[Any], list[Any]],
        size: int,
        directory: str,
        checkpoint: str,
    ) -> None:
        self._directory = directory
        if rank == 0 and directory:
            with suppress(FileNotFoundError):  # that of a run that goes on now
                os.remove(os.path.join(directory, CLAIM))
        self._memory: mmap.mmap | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        self._place = ranks.index(rank)
        leader = rank == ranks[0]
        able = all(hasattr(os, name) for name in ("pidfd_open", "memfd_create"))
        file = os.memfd_create("gossip-watcher") if leader and able else None
        if file is not None:
            os.truncate(file, mmap.PAGESIZE * (1 + len(ranks) // mmap.PAGESIZE))
        told = gather((os.getpid(), file))
        pids, source = [told[each][0] for each in ranks], told[ranks[0]]
        try:
            if source[1] is not None:
                opened = os.open(f"/proc/{source[0]}/fd/{source[1]}", os.O_RDWR)
                self._memory = mmap.mmap(opened, 0)
                os.close(opened)
        except OSError:
            pass  # a system that keeps processes from looking at each other
        gather(None)  # all have opened it
        if file is not None:
            about = [str(each) for pair in zip(ranks, pids, strict=True) for each in pair]
            self._watcher = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, str(file), str(size), directory, checkpoint, *about],
                pass_fds=[file],
                start_new_session=True,  # so that it is not killed with the rank that has started it
            )
            os.close(file)

    def hush(self) -> None:
        """Of this host and others no rank's end is news any more: what has happened has been said."""
        if self._memory is not None:
            for place in range(len(self._memory)):
                self._memory[place] = LEAVING
            claim(self._directory, "an error has been printed")

    def close(self) -> None:
        """No longer watch this rank."""
        if self._memory is not None:
            self._memory[self._place] = LEAVING
        if self._watcher is not None:
            self._watcher.terminate()
            self._watcher.wait()


def main() -> None:
    """Wait for the end of processes: FILE SIZE DIRECTORY CHECKPOINT (a pattern of names), then RANK PID of each."""
    file, size, directory, checkpoint, *about = sys.argv[1:]
    memory = mmap.mmap(int(file), 0)
    poll = select.epoll()
    watched = {}
    for place, (rank, pid) in enumerate(zip(about[::2], about[1::2], strict=True)):
        try:
            process = os.pidfd_open(int(pid))
        except ProcessLookupError:
            continue  # is gone already
        watched[process] = place, rank, pid
        poll.register(process, select.EPOLLIN)
    while watched:
        for process, _ in poll.poll():  # in the order of their ends
            place, rank, pid = watched.pop(process)
            poll.unregister(process)
            if memory[place] == RUNNING:
                what = f"rank {rank} of {size} on {os.uname().nodename} (process {pid}) was killed"
                if directory and has_checkpoint(directory, checkpoint):
                    what += f"; go on from the last checkpoint with --resume {directory}"
                say(what, directory)
                return


def has_checkpoint(directory: str, pattern: str) -> bool:
    """Whether a folder of such a name is in the run directory."""
    try:
        with os.scandir(os.path.join(directory, "checkpoints")) as there:
            return any(re.fullmatch(pattern, each.name) and each.is_dir() for each in there)
    except OSError:
        return False


def say(what: str, directory: str) -> None:
    """Print it, unless the watcher of another host was faster."""
    if claim(directory, what):
        os.write(2, f"gossip: error: {what}\n".encode())


def claim(directory: str, what: str) -> bool:
    """Note in the run directory what has happened; False if something is noted there already."""
    try:
        if directory:
            with open(os.path.join(directory, CLAIM), "x", encoding="utf-8", errors="surrogateescape") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {what}\n")
    except FileExistsError:
        return False
    except OSError:
        pass
    return True


if __name__ == "__main__":
    main()
