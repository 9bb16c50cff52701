"""Where the checkpoints of a run are, and what is in the way of one."""

from __future__ import annotations

import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from gossip.errors import DataError
from gossip.names import CHECKPOINT
from gossip.records.replacing import free_names, rename

FOLDER, MANIFEST = "checkpoints", "manifest.json"
HISTORY, FIXED = "history.json", "fixed.safetensors"  # of a run, and what of its model is the same at every node
MARKS = ("config.yaml", "lock")  # every run directory with checkpoints has these files
RECORDS = ("config.yaml", "metrics.jsonl")  # set aside as copies, as the run goes on with them
OUTCOME = ("summary.json", "report.html")


def step_folder(directory: Path, step: int) -> Path:
    """Where the checkpoint of this step is, or would be."""
    return directory / FOLDER / f"step-{step:08d}"


def step_of(folder: Path) -> int:
    """Of which step a checkpoint is, by its name."""
    return int(folder.name.removeprefix("step-"))


def checkpoints(directory: Path) -> list[Path]:
    """All of a run, the oldest first: the folders under the names that checkpoints have."""
    try:
        there = list((directory / FOLDER).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted((each for each in there if CHECKPOINT.fullmatch(each.name) and is_folder(each)), key=step_of)


def newest(path: Path) -> Path:
    """The checkpoint that a path means: itself, or the last one of a run directory.

    Raises:
        DataError: There is none.
    """
    if (path.parent.name == FOLDER and CHECKPOINT.fullmatch(path.name) and is_folder(path)) or _has_manifest(path):
        return path
    found = checkpoints(path.parent if path.name == FOLDER else path)
    if not found:
        raise DataError(f"there is no checkpoint in {path}; give the directory of a run that has written one")
    return found[-1]


def run_of(folder: Path) -> Path | None:
    """The run directory in which this checkpoint lies; None for one that has been taken elsewhere.

    A link to a checkpoint means the checkpoint.
    """
    for each in (folder, folder.resolve()):
        directory = each.parent.parent
        named = each.parent.name == FOLDER and CHECKPOINT.fullmatch(each.name)
        if named and all((directory / name).is_file() for name in MARKS):
            return directory
    return None


def is_folder(path: Path) -> bool:
    """Whether it is a folder that can be asked: no file, no link to nowhere, and on no server that has forgotten it."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _has_manifest(path: Path) -> bool:
    try:
        return (path / MANIFEST).exists()
    except OSError:
        return False


def set_aside(directory: Path, step: int) -> Path | None:
    """Move what a run has beyond a step to a folder in its directory, as the run is about to go on from there.

    The folder is laid out as a run directory: its checkpoints can be inspected, and gone on with.

    Returns:
        The folder; None if there is no checkpoint beyond this step.

    Raises:
        DataError: Something cannot be moved.
    """
    beyond = [each for each in checkpoints(directory) if step_of(each) > step]
    if not beyond:
        return None
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    try:
        for aside in free_names(directory / f"aside-{stamp}"):
            with suppress(FileExistsError):
                (aside / FOLDER).mkdir(parents=True)
                break
        for name in RECORDS:
            if (directory / name).is_file():
                shutil.copy2(directory / name, aside / name)
        for name in OUTCOME:
            if (directory / name).is_file():
                rename(directory / name, aside / name)
        for each in reversed(beyond):  # what is left if this is interrupted is what is nearest to the step
            rename(each, aside / FOLDER / each.name)
    except OSError as error:
        raise DataError(f"cannot move what {directory} has beyond step {step} aside ({error.strerror})") from error
    return aside
