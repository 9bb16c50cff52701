"""Weights & Biases, offline: nothing leaves the machine before `wandb sync`."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gossip.records.loggers.logger import About, Record, numbers
from gossip.records.replacing import replace_file

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # before it is imported: it would report its own errors

import wandb

from gossip.records.loggers.wandb_files import logged_steps

FOLDER, STATE = "wandb", "gossip-run"
START = 60.0  # seconds that its own process may take to start
WRITING = 20.0  # seconds that it may take to write at the end


class WandbLogger:
    """A run in <run directory>/wandb, or where and how the variables WANDB_DIR, WANDB_MODE, WANDB_PROJECT say.

    A run that goes on has the same id there, and rows that are in the log already are not logged again: `wandb sync` of
    all parts makes one run of them.
    """

    def open(self, about: About, history: Sequence[Record]) -> None:
        """Start W&B's own process, and log what is missing."""
        self._state = about.directory / FOLDER / STATE
        self._state.parent.mkdir(parents=True, exist_ok=True)
        if not self._state.exists():
            replace_file(self._state, f"{uuid.uuid4().hex[:12]}\n")
        self._id = self._state.read_text(encoding="utf-8").strip()
        folder = Path(os.environ.get("WANDB_DIR", about.directory))
        self._folder, self._offline = folder / FOLDER, os.environ.get("WANDB_MODE", "offline") == "offline"
        self._known = logged_steps(self._folder, self._id)
        while [*self._folder.glob(f"*-{time.strftime('%Y%m%d_%H%M%S')}-{self._id}")]:
            time.sleep(0.1)  # W&B would write over what was begun in this second
        settings = wandb.Settings(
            silent=True,
            console="off",
            reinit="create_new",  # whatever runs the user has of their own in this process
            disable_git=True,
            save_code=False,
            init_timeout=START,
            x_disable_stats=True,
            x_disable_meta=True,
        )
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "gossip"),
            id=self._id,
            name=about.name,
            config=dict(about.configuration),
            dir=str(folder),
            mode=None if "WANDB_MODE" in os.environ else "offline",
            resume="allow",
            settings=settings,
        )
        for record in history:
            self.add(record)

    def add(self, record: Record) -> None:
        """Log one row, if it is not there."""
        step = int(record["step"])
        if step in self._known:
            return
        self._run.log(numbers(record), step=step, commit=True)
        self._known.add(step)

    def close(self, summary: Mapping[str, Any] | None) -> None:
        """Let W&B write all that it has, and end its process."""
        self._run.finish(exit_code=None if summary is None or summary.get("status") == "finished" else 1)
        ends = time.monotonic() + WRITING
        while self._offline and not self._known <= logged_steps(self._folder, self._id) and time.monotonic() < ends:
            time.sleep(0.02)  # `finish` may be back before it has
