"""What many ranks say: rank 0 speaks, each rank has a log of its own, and what all say is printed once."""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import TextIO

from gossip.errors import GossipError, say
from gossip.processes.communicator import Communicator, listed

log = logging.getLogger("gossip")
log.addHandler(logging.NullHandler())  # what nobody keeps is not printed either

FORMAT = "%(asctime)s %(name)s %(levelname)s: %(message)s"


def warn(text: str) -> None:
    """Say in one line what may be a mistake; for commands, where it is in no line of the user's code."""
    log.warning("%s", text)
    say(f"gossip: warning: {text}")


@contextmanager
def logs(directory: Path | None, processes: Communicator) -> Iterator[None]:
    """Keep what this rank logs, its warnings, and what it prints if it is not rank 0, in <directory>/logs/rank<r>.log.

    Warnings are printed by rank 0 alone: its own at once, those of the others at the end, each once with how often
    and on which ranks it came. One of them is that a log cannot be written: nothing else depends on it.

    Args:
        directory: The run directory, known to all ranks; None to keep nothing.
    """
    counts: Counter[str] = Counter()

    def lost(reason: str) -> None:
        text = f"cannot write {directory}/logs ({reason}); the run goes on"
        counts[text] += 1
        if processes.rank == 0 and counts[text] == 1:
            say(f"gossip: warning: {text}")

    handler = _open(directory, processes.rank, lost)
    shown = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        counts[f"{filename}:{lineno}: {category.__name__}: {message}"] += 1
        log.warning("%s:%d: %s: %s", filename, lineno, category.__name__, message)
        if processes.rank == 0:
            shown(message, category, filename, lineno, file, line)

    level, root = log.level, logging.getLogger()
    log.setLevel(logging.INFO)
    root.addHandler(handler)
    warnings.showwarning = show
    log.info("%s, process %d", processes.name, os.getpid())
    try:
        with redirect_stdout(_Lines() if processes.rank and directory else sys.stdout):
            yield
        _print_warnings(processes, counts)
    except GossipError as error:
        log.error("%s", error)
        raise
    except BaseException as error:
        log.error("this rank fails", exc_info=error)
        raise
    finally:
        warnings.showwarning = shown
        root.removeHandler(handler)
        log.setLevel(level)
        handler.close()


class _File(logging.FileHandler):
    """A log that says once that it cannot be written, instead of with a traceback at each line."""

    def __init__(self, file: Path, lost: Callable[[str], None]) -> None:
        super().__init__(file, encoding="utf-8", errors="backslashreplace")
        self.setFormatter(logging.Formatter(FORMAT))
        self._lost = lost

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exception()
        if isinstance(error, OSError):
            self._lost(str(error.strerror))
        else:
            super().handleError(record)

    def close(self) -> None:
        with suppress(OSError):
            super().close()


def _open(directory: Path | None, rank: int, lost: Callable[[str], None]) -> logging.Handler:
    if directory is None:
        return logging.NullHandler()
    try:
        (directory / "logs").mkdir(parents=True, exist_ok=True)  # where hosts share no file system, on each of them
        return _File(directory / "logs" / f"rank{rank}.log", lost)
    except OSError as error:
        lost(str(error.strerror))
        return logging.NullHandler()


def _print_warnings(processes: Communicator, counts: Counter[str]) -> None:
    """Those that rank 0 has not shown, or that came on other ranks too; collective."""
    if processes.first_rank_where(bool(processes.rank and counts)) is None:
        return
    everyone = processes.gather(counts)
    for text in dict.fromkeys(text for each in everyone for text in each):
        ranks = [rank for rank, each in enumerate(everyone) if text in each]
        times = sum(each[text] for each in everyone)
        if processes.rank == 0 and ranks != [0]:
            say(f"gossip: on {listed(ranks)}, {times} times: {text}")


class _Lines(io.TextIOBase):
    """Logs what is printed there, line by line."""

    def __init__(self) -> None:
        self._begun = ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            log.info("%s", line)
        return len(text)
