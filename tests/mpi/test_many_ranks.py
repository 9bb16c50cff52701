"""Many more ranks than cores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Run


@pytest.mark.timeout(900)
def test_the_main_job_on_64_ranks(python: Run, tmp_path: Path) -> None:
    done = python("-m", "gossip.train", ranks=64, timeout=800)
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("runs/*/*/summary.json")
    summary = json.loads(file.read_text())
    assert (summary["nodes"], summary["ranks"]) == (64, 64)
    assert summary["test_accuracy"] >= 0.90
    assert summary["messages_sent_per_node"] == 6 * summary["steps"]
    assert str(file.parent.relative_to(tmp_path) / "report.html") in done.stdout


def test_many_nodes_on_few_ranks(python: Run, tmp_path: Path) -> None:
    done = python("-m", "gossip.train", "--nodes", "64", "--steps", "100", ranks=4)
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("runs/*/*/summary.json")
    assert json.loads(file.read_text())["test_accuracy"] >= 0.88
