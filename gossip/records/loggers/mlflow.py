"""MLflow, with its store in files unless the user has another one."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from gossip.records.configuration import flat
from gossip.records.loggers.logger import About, Record, numbers
from gossip.records.replacing import replace_file

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # before it is imported: it would send how it is used
if "MLFLOW_TRACKING_URI" not in os.environ:
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # without which MLflow 3 refuses files

from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

FOLDER, STATE = "mlruns", "gossip-run"
LONGEST = 500  # characters of a parameter, for every store to take it
AT_ONCE = 100  # parameters


class MlflowLogger:
    """A run in <run directory>/mlruns, or in the store that MLFLOW_TRACKING_URI names.

    Its experiment is "gossip", or MLFLOW_EXPERIMENT_NAME. A run that goes on is the same one there; what the store has
    already is not logged again.
    """

    def open(self, about: About, history: Sequence[Record]) -> None:
        """Find the run or begin it, and log what is missing."""
        folder = about.directory / FOLDER
        folder.mkdir(exist_ok=True)
        self._client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI", folder.resolve().as_uri()))
        state = folder / STATE
        if state.exists():
            self._run = state.read_text(encoding="utf-8").strip()
            self._client.set_terminated(self._run, "RUNNING")
        else:
            self._run = self._begun(about)
            replace_file(state, f"{self._run}\n")
        names = self._client.get_run(self._run).data.metrics
        self._known = {(name, each.step) for name in names for each in self._client.get_metric_history(self._run, name)}
        for record in history:
            self.add(record)

    def add(self, record: Record) -> None:
        """Log what of one row is not there."""
        step, now = int(record["step"]), int(time.time() * 1000)
        values = {name: value for name, value in numbers(record).items() if (name, step) not in self._known}
        metrics = [Metric(name, value, now, step) for name, value in values.items()]
        if metrics:
            self._client.log_batch(self._run, metrics=metrics)
        self._known.update((name, step) for name in values)

    def close(self, summary: Mapping[str, Any] | None) -> None:
        """Say how the run has ended."""
        ends = {None: "KILLED", "finished": "FINISHED"}
        status = None if summary is None else str(summary.get("status"))
        self._client.set_terminated(self._run, ends.get(status, "FAILED"))

    def _begun(self, about: About) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "gossip")
        experiment = self._client.get_experiment_by_name(name)
        number = self._client.create_experiment(name) if experiment is None else experiment.experiment_id
        run: str = self._client.create_run(number, run_name=about.name).info.run_id
        params = [Param(key, str(value)[:LONGEST]) for key, value in flat(about.configuration)]
        for first in range(0, len(params), AT_ONCE):
            self._client.log_batch(run, params=params[first : first + AT_ONCE])
        return run
