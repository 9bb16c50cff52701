"""What comes out of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from gossip.execution.setting import Setting
from gossip.records.recorder import Recorder


@dataclass(frozen=True)
class Result:
    """What a run leaves behind."""

    model: Tensor
    """(n, d), the final parameters of all nodes in node order, on every rank."""

    history: list[dict[str, Any]]
    """One dict of metrics per evaluation, the first before training (see `gossip.execution.measure`)."""

    summary: dict[str, Any]
    """The final metrics and what was run."""

    directory: Path | None
    """The run directory; None on ranks other than 0 and where no output was asked for."""


def summarized(
    setting: Setting, recorder: Recorder, *, ranks: int, diverged: bool, losses: Sequence[str]
) -> dict[str, Any]:
    """What a run was and how it ended, for `Result.summary` and summary.json.

    Args:
        setting: What it stood on at the end.
        recorder: Has what was measured.
        ranks: How many are there.
        diverged: Whether that has ended it.
        losses: Which ranks were lost when, in words.
    """
    training, last = setting.training, recorder.history[-1]
    return {
        "algorithm": type(training.algorithm).__name__,
        "topology": setting.topology.name,
        "workload": type(training.workload).__name__,
        "nodes": setting.topology.n,
        "ranks": ranks,
        "steps": last["step"],
        "seed": training.seed,
        "status": "diverged" if diverged else "finished",
        "seconds": last["seconds"],
        "train_loss": last["train_loss"],
        "test_loss": last["test_loss"],
        "test_accuracy": last.get("test_accuracy"),
        **{name: value for name, value in last.items() if name != "step"},
        **recorder.chosen,
        **({"losses": list(losses)} if losses else {}),
    }
