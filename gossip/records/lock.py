"""One job at a time writes into a run directory."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path

from gossip.errors import DataError

NAME = "lock"


class Lock:
    """Held until it is released or its process is gone, however it ends. Not where the file system has no locks.

    Args:
        directory: The run directory.

    Raises:
        DataError: Another process holds it, or nothing can be written here.
    """

    def __init__(self, directory: Path) -> None:
        path = directory / NAME
        try:
            # What a link leads to is not this run's, and a pipe would let nobody go on.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
            self._file = os.fdopen(os.open(path, flags, 0o666), "a", encoding="utf-8", errors="replace")
        except OSError as error:
            raise DataError(f"cannot write {path} ({error.strerror})") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            job = os.environ.get("SLURM_JOB_ID")
            self._sign(f"process {os.getpid()} on {socket.gethostname()}" + (f", Slurm job {job}" if job else ""))
        except BlockingIOError:
            self.release()
            raise DataError(
                f"{directory} belongs to a job that is still running ({_signed(path)}); wait until it has ended or "
                f"stop it, or start a run of its own without --resume"
            ) from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):
                self.release()
                raise DataError(f"cannot write {path} ({error.strerror})") from error

    def _sign(self, holder: str) -> None:
        """Say who holds it."""
        self._file.truncate(0)
        self._file.write(holder)
        self._file.flush()

    def release(self) -> None:
        """Let others have it."""
        with suppress(OSError):
            self._file.close()


def _signed(path: Path) -> str:
    """Who says there that he holds the lock."""
    try:
        return " ".join(path.read_bytes()[:200].decode(errors="replace").split()) or "which has left no name"
    except OSError:
        return "which has left no name"
