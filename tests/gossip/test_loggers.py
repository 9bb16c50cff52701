"""Loggers, each read back by the package that it writes for."""

from __future__ import annotations

import csv
import json
import os
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import gossip
from algorithms import GossipAveraging
from gossip.errors import UsageError
from gossip.options.command_line import parse
from gossip.records.loggers.chosen import Loggers, check_packages
from gossip.records.loggers.logger import About
from gossip.workloads import Averaging
from topologies import ring

ALL = ("csv", "tensorboard", "wandb", "mlflow")
Rows = list[tuple[int, dict[str, float]]]


def in_csv(run: Path) -> Rows:
    rows = csv.DictReader((run / "metrics.csv").read_text(encoding="utf-8").splitlines())
    return [(int(row.pop("step")), {name: float(text) for name, text in row.items() if text}) for row in rows]


def in_tensorboard(run: Path) -> Rows:
    """As TensorBoard shows it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    shown = EventAccumulator(str(run / "tensorboard"))
    shown.Reload()
    found: dict[int, dict[str, float]] = {}
    for name in shown.Tags()["scalars"]:
        steps = [event.step for event in shown.Scalars(name)]
        assert len(set(steps)) == len(steps), f"{name} is doubled: {steps}"
        for event in shown.Scalars(name):
            found.setdefault(event.step, {})[name] = event.value
    return sorted(found.items())


def records_of_wandb(file: Path) -> Iterator[bytes]:
    """What is in a .wandb file: blocks of 32 KiB as LevelDB's log has them, after 7 bytes."""
    content, at, record = file.read_bytes(), 7, b""
    while at + 7 <= len(content):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        record += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


def in_wandb(run: Path) -> Rows:
    from wandb.proto import wandb_internal_pb2

    rows: Rows = []
    for file in sorted(run.glob("wandb/offline-run-*/run-*.wandb")):
        for content in records_of_wandb(file):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(content)
            if record.WhichOneof("record_type") == "history":
                items = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
                step = int(items["_step"])
                rows.append((step, {name: value for name, value in items.items() if not name.startswith("_")}))
    return rows


def in_mlflow(run: Path) -> Rows:
    from mlflow.tracking import MlflowClient

    client = MlflowClient((run / "mlruns").resolve().as_uri())
    (number,) = (each.experiment_id for each in client.search_experiments() if each.name == "gossip")
    (logged,) = client.search_runs([number])
    found: dict[int, dict[str, float]] = {}
    for name in logged.data.metrics:
        for metric in client.get_metric_history(logged.info.run_id, name):
            assert name not in found.setdefault(metric.step, {}), f"{name} is doubled at step {metric.step}"
            found[metric.step][name] = metric.value
    return sorted(found.items())


class Counting:
    """A logger of a user's own, which fails at the steps that it is told to."""

    def __init__(self, fails: int | None = None) -> None:
        self.fails = fails
        self.said: list[tuple[str, Any]] = []

    def open(self, about: About, history: Sequence[Mapping[str, Any]]) -> None:
        self.said.append(("open", [record["step"] for record in history]))
        self.about = about

    def add(self, record: Mapping[str, Any]) -> None:
        if record["step"] == self.fails:
            raise OSError("the paper is at its end")
        self.said.append(("add", record["step"]))

    def close(self, summary: Mapping[str, Any] | None) -> None:
        self.said.append(("close", summary and summary["status"]))


COUNTING = Counting()
READ = {"csv": in_csv, "tensorboard": in_tensorboard, "wandb": in_wandb, "mlflow": in_mlflow}


def check_all(run: Path, history: list[dict[str, Any]], names: tuple[str, ...] = ALL) -> None:
    for name in names:
        rows = READ[name](run)
        assert [step for step, _ in rows] == [record["step"] for record in history], name
        for (_, values), record in zip(rows, history, strict=True):
            expected = {key: value for key, value in record.items() if key != "step"}
            exact = {"rel": 1e-6, "abs": 1e-30} if name == "tensorboard" else {"rel": 0, "abs": 0}
            assert values == pytest.approx(expected, **exact), name


def test_a_run_is_in_all_logs_also_where_it_has_been_stopped_and_goes_on(tmp_path: Path) -> None:
    options: dict[str, Any] = {"output": tmp_path, "loggers": ALL, "checkpoint_every": 4, "report": False}
    options |= {"evaluate_every": 2}
    first = gossip.run(Averaging(), ring(4), GossipAveraging(), steps=6, **options)
    assert first.directory is not None
    check_all(first.directory, first.history)
    second = gossip.run(Averaging(), ring(4), GossipAveraging(), steps=9, resume=first.directory, **options)
    assert second.directory == first.directory
    steps = [record["step"] for record in second.history]
    assert steps == [0, 2, 4, 6, 8, 9]
    check_all(second.directory, second.history, ("csv", "tensorboard"))
    kept = {record["step"]: record for record in first.history}  # which a repeated step does not replace there
    for name in ("wandb", "mlflow"):
        check_all(second.directory, [kept.get(record["step"], record) for record in second.history], (name,))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kept", [0, 2, 5])
def test_killed_at_any_time_no_step_is_doubled_or_missing(name: str, kept: int, tmp_path: Path) -> None:
    rows = [{"step": 10 * step, "loss": 1.5 * step, "consensus_distance": 0.25} for step in range(7)]
    about = About(tmp_path, {"algorithm": "A"})
    killed = Loggers([name], about)
    for row in rows[:5]:
        killed.add(row)
    if name == "wandb":  # its own process ends with a killed one, whatever it has not written is lost
        killed.close(None)
    again = Loggers([name], about)
    again.resume(rows[:kept])
    for row in rows[kept:]:
        again.add(row)
    again.close({"status": "finished"})
    check_all(tmp_path, rows, (name,))


def test_a_logger_that_fails_is_one_warning_and_the_run_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    loggers = Loggers(["csv", "tensorboard"], About(tmp_path, {}))
    rows = [{"step": step, "loss": 1.0} for step in range(5)]
    loggers.add(rows[0])
    (tmp_path / "metrics.csv").unlink()
    (tmp_path / "metrics.csv").symlink_to("/dev/full")
    for row in rows[1:]:
        loggers.add(row)
    loggers.close({"status": "finished"})
    said = capfd.readouterr().err
    assert said.count("warning: the logger csv has failed (OSError: ") == 1
    assert said.count("\n") == 1 and "No space left" in said
    assert [step for step, _ in in_tensorboard(tmp_path)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow"])
def test_a_missing_package_is_one_line_that_names_the_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=rf"^the logger {name} needs .* pip install 'gossip-mpi\[{name}\]'$"):
        gossip.run(Averaging(), ring(4), GossipAveraging(), steps=2, loggers=[name])
    check_packages(["csv"])


@pytest.mark.parametrize(
    ("loggers", "output", "said"),
    [
        (
            ["visdom"],
            "runs",
            "loggers = visdom is not allowed; it must be one of csv, tensorboard, wandb, mlflow, or the import path of "
            "your own class",
        ),
        (
            ["no_such.Logger"],
            "runs",
            "loggers = no_such.Logger is not allowed; no_such.Logger cannot be imported: No "
            "module named 'no_such'; run the command in the folder of no_such.py, or add that folder to PYTHONPATH",
        ),
        (["math.pi"], "runs", "loggers = math.pi is a float; name a class, which is called without arguments"),
        (
            ["pathlib.Path"],
            "runs",
            "loggers = pathlib.Path is not allowed; a logger has the methods open, add, close, and this has no add",
        ),
        (3, "runs", "loggers = int is not allowed; a logger has the methods open, add, close, and this has no open"),
        ([Counting], "runs", "loggers = Counting is a class; give an object, Counting()"),
        ([COUNTING, COUNTING], "runs", "loggers = Counting, Counting is not allowed; each of them is given once"),
        (["csv", "csv"], "runs", "loggers = csv, csv is not allowed; each of them is given once"),
        ("csv", None, "loggers write into the run directory: output must say where that is to be made"),
    ],
)
def test_loggers_that_cannot_be_are_refused(loggers: Any, output: str | None, said: str) -> None:
    with pytest.raises(UsageError) as error:
        gossip.run(Averaging(), ring(4), GossipAveraging(), steps=2, loggers=loggers, output=output)
    assert str(error.value) == said


def test_a_logger_of_ones_own(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Twice in a run, of which one fails; and again where it goes on."""
    whole, failing = Counting(), Counting(fails=4)
    options: dict[str, Any] = {"output": tmp_path, "checkpoint_every": 4, "evaluate_every": 2, "report": False}
    first = gossip.run(
        Averaging(), ring(4), GossipAveraging(), steps=4, loggers=[whole, "csv", failing], **options
    )  # fmt: skip
    assert whole.said == [("open", []), ("add", 0), ("add", 2), ("add", 4), ("close", "finished")]
    assert failing.said == [("open", []), ("add", 0), ("add", 2)]
    assert whole.about.directory == first.directory
    assert first.directory is not None and "Counting" in (first.directory / "config.yaml").read_text()
    said = capfd.readouterr().err
    assert said.count("warning: the logger Counting has failed at ") == 1 and said.count("\n") == 1
    assert "test_loggers.py" in said and "in Counting.add (OSError: the paper is at its end); the run goes on" in said
    again = Counting()
    gossip.run(Averaging(), ring(4), GossipAveraging(), steps=6, resume=first.directory, loggers=again, **options)
    assert again.said == [("open", [0, 2]), ("add", 4), ("add", 6), ("close", "finished")]


def test_a_command_line_names_one_or_several() -> None:
    chosen = parse(["--logger", "csv", "--logger=mlflow"], 1).loggers
    assert chosen == ("csv", "mlflow") and parse([], 1).loggers == ()


def test_wandb_and_mlflow_are_told_to_send_nothing() -> None:
    import gossip.records.loggers.mlflow
    import gossip.records.loggers.wandb  # noqa: F401

    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true" and os.environ["WANDB_ERROR_REPORTING"] == "false"
