"""One job at a time writes into a run directory."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
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
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise DataError(f"cannot write {path} ({error.strerror})") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file.truncate(0)
            job = os.environ.get("SLURM_JOB_ID")
            self._file.write(f"process {os.getpid()} on {socket.gethostname()}" + (f", Slurm job {job}" if job else ""))
            self._file.flush()
        except BlockingIOError:
            self.release()
            job = path.read_text(encoding="utf-8")
            raise DataError(
                f"{directory} belongs to a job that is still running ({job}); wait until it has ended or "
                f"stop it, or start a run of its own without --resume"
            ) from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):
                self.release()
                raise DataError(f"cannot write {path} ({error.strerror})") from error

    def release(self) -> None:
        """Let others have it."""
        self._file.close()
