"""Many more ranks than cores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run


def measured(folder: Path) -> list[dict[str, Any]]:
    """What the only run in this folder has measured, but for times."""
    (file,) = folder.glob("*/*/metrics.jsonl")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.mark.timeout(900)
def test_the_main_job_on_64_ranks_is_that_of_64_nodes_on_4(python: Run, tmp_path: Path) -> None:
    """All of it on four ranks, and its beginning on 64, number for number."""
    whole = python("-m", "gossip.train", "--nodes", "64", "--output", "whole", ranks=4, timeout=300)
    assert whole.returncode == 0, whole.stderr
    (file,) = tmp_path.glob("whole/*/*/summary.json")
    assert json.loads(file.read_text())["test_accuracy"] >= 0.90

    beginning = ("--steps", "20", "--evaluate-every", "20")
    many = python("-m", "gossip.train", *beginning, "--output", "many", ranks=64, timeout=500)
    assert many.returncode == 0, many.stderr
    (file,) = tmp_path.glob("many/*/*/summary.json")
    summary = json.loads(file.read_text())
    assert (summary["nodes"], summary["ranks"]) == (64, 64)
    assert summary["messages_sent_per_node"] == 6 * summary["steps"] == 120
    assert str(file.parent.relative_to(tmp_path) / "report.html") in many.stdout
    rows = measured(tmp_path / "many")
    assert [row["step"] for row in rows] == [0, 20]
    assert rows == measured(tmp_path / "whole")[:2]
