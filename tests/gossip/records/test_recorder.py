"""What rank 0 writes down and shows of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gossip.errors import DataError
from gossip.records.progress import Progress
from gossip.records.recorder import Recorder
from tests.conftest import no_larger_files_than
from topologies import ring


def record(step: int, **more: float) -> dict[str, float]:
    return {"step": step, "train_loss": 2.0 / (step + 1), "test_loss": 3.0, "consensus_distance": 0.5, **more}


def written(directory: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


def test_each_record_is_on_disk_as_soon_as_it_is_added(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    for step in (0, 5):
        recorder.add(record(step))
        assert written(tmp_path) == recorder.history
    assert [each["step"] for each in recorder.history] == [0, 5]


def test_numbers_that_are_not_finite_are_null_for_other_programs(tmp_path: Path) -> None:
    Recorder(tmp_path).add(record(0, test_accuracy=float("nan")) | {"train_loss": float("inf")})
    (line,) = written(tmp_path)
    assert line["train_loss"] is None and line["test_accuracy"] is None and line["test_loss"] == 3.0


def test_a_run_that_goes_on_gives_up_what_came_later(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    for step in range(4):
        recorder.add(record(step))
    recorder.resume(recorder.history[:2])
    recorder.add(record(9))
    assert [each["step"] for each in written(tmp_path)] == [0, 1, 9]


def test_without_a_directory_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recorder = Recorder(None)
    recorder.add(record(0))
    recorder.replace("config.yaml", "steps: 3")
    recorder.resume(recorder.history)
    assert not list(tmp_path.iterdir())
    assert len(recorder.history) == 1


def test_a_record_that_cannot_be_written_is_written_later(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorder = Recorder(tmp_path / "gone")
    for step in range(3):
        recorder.add(record(step))
    said = capsys.readouterr().err
    metrics = tmp_path / "gone" / "metrics.jsonl"
    assert said == f"gossip: warning: cannot write {metrics} (No such file or directory); the run goes on\n"
    assert recorder.lost == f"cannot write {metrics} (No such file or directory)"
    (tmp_path / "gone").mkdir()
    recorder.add(record(3))
    assert [each["step"] for each in written(tmp_path / "gone")] == [0, 1, 2, 3]
    assert recorder.lost is None
    assert [path.name for path in (tmp_path / "gone").iterdir()] == ["metrics.jsonl"]


def test_a_file_that_can_only_grow_a_little_has_whole_lines(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.add(record(0))
    with no_larger_files_than((tmp_path / "metrics.jsonl").stat().st_size + 20):
        recorder.add(record(1))
        assert written(tmp_path) == recorder.history[:1]
    recorder.add(record(2))
    assert written(tmp_path) == recorder.history


def test_the_outcome_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()
    recorder = Recorder(tmp_path)
    recorder.add(record(0))
    (tmp_path / "summary.json").write_text("of before")
    (tmp_path / "copy").hardlink_to(tmp_path / "summary.json")
    with no_larger_files_than(30):
        recorder.write_outcome({"status": "finished", "steps": 1000}, ring(4), lambda: "steps: 3\n")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["copy", "metrics.jsonl", "summary.json"]
    assert (tmp_path / "summary.json").read_text() == "of before"
    assert recorder.lost == f"cannot write {tmp_path / 'summary.json'} (File too large)"  # a report is no result
    assert [line.split()[4] for line in capsys.readouterr().err.splitlines()] == [
        str(tmp_path / name) for name in ("summary.json", "report.html")
    ]
    recorder.write_outcome({"status": "finished", "steps": 1000}, ring(4), lambda: "steps: 3\n")
    assert json.loads((tmp_path / "summary.json").read_text())["steps"] == 1000
    assert (tmp_path / "copy").read_text() == "of before"
    assert recorder.lost is None


def test_what_a_run_begins_with_must_be_written(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "gone")
    with pytest.raises(DataError, match=r"cannot write .*config\.yaml"):
        recorder.replace("config.yaml", "")


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    recorder = Recorder(None, Progress(steps=2))
    recorder.settled({"gamma": 0.123456789, "groups": [0, 1]})
    recorder.add(record(0))
    for step in range(3):
        recorder.at(step)
    recorder.close()
    assert recorder.chosen == {"gamma": 0.123456789, "groups": [0, 1]}
    assert capsys.readouterr().out.splitlines() == [
        "gamma: 0.123457",
        "groups: [0, 1]",
        "step 2/2  train loss 2.0000  test loss 3.0000  consensus distance 5.00e-01",
    ]


def test_nothing_is_shown_unless_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    recorder = Recorder(None)
    recorder.settled({"gamma": 0.5})
    recorder.add(record(0))
    recorder.at(0)
    recorder.close()
    assert capsys.readouterr().out == ""
