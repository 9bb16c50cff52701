"""Which checkpoint a run goes on from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gossip.checkpoint.store import Checkpoint, checkpoints, newest
from gossip.errors import UsageError
from gossip.records.configuration import difference


def find(resume: str | Path, runs: Path, configuration: Mapping[str, Any], steps: int) -> Path | None:
    """The checkpoint to go on from.

    Args:
        resume: A run directory, a checkpoint in it, or "auto" for the last run of this configuration that has not come
            to its end.
        runs: Where there may be such runs.
        configuration: Of the run that is to go on.
        steps: That it is to make in all.

    Returns:
        A checkpoint's folder; None if there is none with "auto".

    Raises:
        DataError: There is none, or it is damaged.
        UsageError: It is one of another configuration, or of a later step.
    """
    folder = _last_of(configuration, runs, steps) if resume == "auto" else newest(Path(resume))
    if folder is None:
        return None
    checkpoint = Checkpoint(folder)
    differs = difference(checkpoint.manifest["configuration"], configuration)
    if differs:
        raise UsageError(f"the checkpoint {folder} is of another run: {differs}")
    if checkpoint.step > steps:
        raise UsageError(f"the checkpoint {folder} is beyond steps = {steps}; ask for more, or give an earlier one")
    return folder


def _last_of(configuration: Mapping[str, Any], runs: Path, steps: int) -> Path | None:
    """The last checkpoint of the last run that "auto" means."""
    for directory in sorted(runs.glob("*"), key=lambda path: path.stat().st_mtime, reverse=True):
        found = checkpoints(directory)
        if not found or _is_over(directory, steps):
            continue
        if difference(Checkpoint(found[-1]).manifest["configuration"], configuration) is None:
            return found[-1]
    return None


def _is_over(directory: Path, steps: int) -> bool:
    """Whether a run has come to its end and been no shorter than this."""
    try:
        summary = json.loads((directory / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(summary["status"] == "finished" and summary["steps"] >= steps)
