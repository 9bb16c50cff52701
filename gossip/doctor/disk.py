"""Writing to where run directories and checkpoints go."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gossip.errors import GossipError
from gossip.network import Communicator

SIZE = 8 << 20  # bytes that each rank writes


@dataclass(frozen=True)
class Disk:
    """What one process found.

    Attributes:
        problem: Why it could not write; None if it could.
        seconds: Seconds for writing `SIZE` bytes until they are on the disk, while the other ranks do the same.
        shared: Whether the folder that rank 0 made is seen.
        free: Bytes that are free on the disk.
    """

    problem: str | None = None
    seconds: float = 0.0
    shared: bool = True
    free: float = 0.0


def try_disk(processes: Communicator, output: Path) -> Disk:
    """Write a file of every rank to a new folder, and remove it; collective."""
    try:
        folder, made = processes.from_root(lambda: _new_folder(output))
    except GossipError as error:
        return Disk(problem=str(error))
    shared = folder.is_dir()
    disk = _write(folder, processes.rank) if shared else Disk(shared=False)
    processes.barrier()  # until all have written

    def remove() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # somebody else has put something there
            for each in made:
                each.rmdir()

    processes.from_root(remove)
    return disk


def _new_folder(output: Path) -> tuple[Path, list[Path]]:
    """The folder, in `output`, and those made for it, the innermost first."""
    output = output.absolute()
    made = [each for each in (output, *output.parents) if not each.exists()]
    output.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=".doctor-", dir=output)), made


def _write(folder: Path, rank: int) -> Disk:
    content = os.urandom(SIZE)
    try:
        began = time.perf_counter()
        with (folder / f"rank-{rank}").open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        seconds = time.perf_counter() - began
        return Disk(seconds=seconds, free=shutil.disk_usage(folder).free)
    except OSError as error:
        return Disk(problem=f"{error.strerror}: {error.filename}")
