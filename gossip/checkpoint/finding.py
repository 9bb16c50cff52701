"""Which checkpoint a run goes on from, and where."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gossip.checkpoint.places import checkpoints, is_folder, newest, run_of, step_of
from gossip.checkpoint.store import Checkpoint
from gossip.errors import DataError, UsageError
from gossip.names import RUN
from gossip.network import Communicator
from gossip.records.configuration import difference
from gossip.records.logs import warn


@dataclass(frozen=True)
class Found:
    """Where a run goes on."""

    folder: Path
    """The checkpoint."""

    directory: Path | None
    """The run directory that it lies in; None for a checkpoint that has been taken elsewhere."""

    finished: bool = False
    """Whether that run has come to its end, so that nothing is left to do."""


def find(
    resume: str | Path, runs: Path, configuration: Mapping[str, Any], steps: int, processes: Communicator
) -> Found | None:
    """The checkpoint to go on from; collective.

    Args:
        resume: A run directory, a checkpoint, or "auto" for the run of this configuration that has come furthest: as
            equal configurations give equal models, no other can be nearer to the end.
        runs: Where there may be such runs.
        configuration: Of the run that is to go on.
        steps: That it is to make in all.
        processes: The ranks, which share the work of looking for damage with "auto".

    Returns:
        None if there is none with "auto", which passes over whatever is damaged, or is no run of this configuration.

    Raises:
        DataError: There is none, or it is damaged.
        UsageError: It is one of another configuration, or of a later step.
    """
    if resume != "auto":
        return processes.from_root(lambda: _named(Path(resume), configuration, steps))
    passed: list[str] = []
    candidates = _candidates(runs, configuration, steps, passed)
    while (found := processes.from_root(lambda: next(candidates, None))) is not None:
        try:
            processes.together(lambda: _check_share(found.folder, processes))
            break
        except DataError as error:
            passed.append(str(error))
    if passed and processes.rank == 0:
        more = f" (and {len(passed) - 1} more)" if passed[1:] else ""
        warn(f"--resume auto passes over damage: {passed[0]}{more}")
    return found


def _named(path: Path, configuration: Mapping[str, Any], steps: int) -> Found:
    folder = newest(path)
    checkpoint = Checkpoint(folder)
    differs = difference(checkpoint.manifest["configuration"], configuration)
    if differs:
        raise UsageError(f"the checkpoint {folder} is of another run: {differs}")
    if checkpoint.step > steps:
        raise UsageError(f"the checkpoint {folder} is beyond steps = {steps}; ask for more, or give an earlier one")
    return Found(folder, run_of(folder))


def _candidates(runs: Path, configuration: Mapping[str, Any], steps: int, passed: list[str]) -> Iterator[Found]:
    """The checkpoints that "auto" may mean, the best first; what is damaged on the way is noted.

    Of a run that has gone beyond these steps it means none.
    """
    for directory in _furthest_first(runs, passed):
        damaged = []
        for folder in reversed(checkpoints(directory)):
            try:
                checkpoint = Checkpoint(folder)
            except DataError as error:
                damaged.append(str(error))
                continue
            if difference(checkpoint.manifest["configuration"], configuration) is not None:
                damaged.clear()  # this run does not matter here
                break
            if checkpoint.step > steps:
                break
            passed += damaged
            damaged.clear()
            yield Found(folder, directory, checkpoint.step == steps and _is_finished(directory, steps))
        passed += damaged


def _furthest_first(runs: Path, passed: list[str]) -> list[Path]:
    """Run directories, by their last steps, and by their names where these are equal: no clock is asked."""
    if not is_folder(runs):
        return []
    found = []
    for directory in runs.iterdir():
        try:
            own = checkpoints(directory) if RUN.fullmatch(directory.name) and is_folder(directory) else []
        except OSError as error:
            passed.append(f"{directory} cannot be read ({error.strerror})")
            continue
        if own:
            found.append((step_of(own[-1]), directory.name, directory))
    return [directory for _, _, directory in sorted(found, reverse=True)]


def _check_share(folder: Path, processes: Communicator) -> None:
    """Refuse a damaged checkpoint: each rank looks at some of its files."""
    checkpoint = Checkpoint(folder)
    for name in sorted(checkpoint.manifest["files"])[processes.rank :: processes.size]:
        checkpoint.check(name)
    if processes.rank == 0:
        checkpoint.check_names()
        checkpoint.history()


def _is_finished(directory: Path, steps: int) -> bool:
    """Whether a run has left a summary of so many steps."""
    path = directory / "summary.json"
    try:
        summary = json.loads(path.read_bytes()) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(summary, dict) and summary.get("status") == "finished" and summary.get("steps") == steps
