"""Standard output that may be closed, broken or full, or speak an alphabet without the letters that are asked for."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 200  # characters, without a terminal
WITH_TERMINALS = "OMPI_COMM_WORLD_SIZE"  # Open MPI's launcher gives its processes terminals, wherever it writes itself
READER_GONE = (errno.EPIPE, errno.ECONNRESET)


class Lenient(io.TextIOBase):
    """Writes to a stream whatever it takes; the rest is lost, and nobody stops for it.

    Args:
        stream: Where to write; None for a stream that was closed from the beginning.

    Attributes:
        lost: Why something was lost first; None if nothing was.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.lost: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._stream, name)  # such as `buffer`

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self._stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write a text, with other signs in the place of letters that the stream does not know."""
        try:
            if self._stream is None:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                self._stream.write(text.encode(self.encoding, "replace").decode(self.encoding))
        except (OSError, ValueError) as error:
            self._lose(error)
        return len(text)

    def flush(self) -> None:
        """Let go of what has been written so far."""
        try:
            if self._stream is not None:
                self._stream.flush()
        except (OSError, ValueError) as error:
            self._lose(error)

    def isatty(self) -> bool:
        with suppress(OSError, ValueError):
            return self._stream is not None and self._stream.isatty()
        return False

    def fileno(self) -> int:
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return self._stream.fileno()

    def writable(self) -> bool:
        return True

    def _lose(self, error: OSError | ValueError) -> None:
        """Forget what the stream still holds, which would fail again, at the latest when the process ends."""
        first = error if isinstance(error, OSError) else OSError(errno.EBADF, str(error))
        self.lost = self.lost or first
        with suppress(OSError, ValueError):
            descriptor = self.fileno()
            kept, nowhere = os.dup(descriptor), os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nowhere, descriptor)
                with suppress(OSError, ValueError):
                    assert self._stream is not None
                    self._stream.flush()
            finally:
                os.dup2(kept, descriptor)
                os.close(kept)
                os.close(nowhere)


@contextmanager
def lenient_output() -> Iterator[Lenient]:
    """Within it, what is printed and cannot be is lost; for commands, whose process is theirs."""
    _hold_descriptors()
    stream = Lenient(sys.stdout)
    with redirect_stdout(stream):
        try:
            yield stream
        finally:
            stream.flush()


def on_terminal() -> bool:
    """Whether somebody sees the output as it comes, on a terminal that can be drawn on."""
    with suppress(OSError, ValueError):
        if sys.stdout is None or not sys.stdout.isatty():
            return False
        if WITH_TERMINALS not in os.environ:
            return True
        with suppress(OSError):
            # What the launcher itself writes to, if it is on this host.
            return os.readlink(f"/proc/{os.getppid()}/fd/1").startswith(("/dev/pts/", "/dev/tty"))
    return False


def console(*, literal: bool = False) -> Console:
    """For tables and bars on standard output: in a file or a pipe without escape codes, and wide.

    Args:
        literal: Whether what is printed may be names, in which brackets and colons mean nothing.
    """
    from rich.console import Console

    file, words = cast(TextIO, Lenient(sys.stdout)), not literal
    if on_terminal():
        return Console(file=file, markup=words, emoji=words)
    return Console(file=file, force_terminal=False, width=WIDTH, markup=words, emoji=words)


def _hold_descriptors() -> None:
    """Let no file get the number of a standard stream that is closed: whoever writes there would write into it."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
