"""A workload of one's own takes one file and one import line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import gossip
from tests.conftest import REPOSITORY, Run

VALLEY = '''"""A valley of its own on each node."""

from dataclasses import dataclass

import torch

from algorithms import Layout, Sample
from gossip.workloads.workload import Read, Workload, read_here


@dataclass(frozen=True)
class Valley(Workload):
    """f_i(x) = steepness / 2 (x - i)^2.

    Args:
        steepness: Curvature, > 0.
    """

    steepness: float = 1.0

    def shard(self, n: int, seed: int, read: Read = read_here):
        """This object, which is alike for any number of nodes."""
        return self

    layout = Layout.vector(1)

    def initial(self):
        return torch.zeros(1, dtype=torch.float64)

    def examples(self, node):
        return 1

    def gradient(self, x, nodes, examples=None):
        away = x - torch.tensor(list(nodes), dtype=x.dtype)[:, None]
        return Sample(self.steepness * away, self.steepness / 2 * away[:, 0] ** 2)

    def evaluate(self, x):
        return {"test_loss": float(x[0])}
'''


def test_a_new_workload_is_one_file_and_one_import_line(tmp_path: Path, python: Run) -> None:
    unfinished = shutil.ignore_patterns("*.pyc.*", "*.tmp.*")  # of what Python and numba compile meanwhile
    shutil.copytree(Path(gossip.__file__).parent, tmp_path / "gossip", ignore=unfinished)
    (tmp_path / "gossip/workloads/valley.py").write_text(VALLEY)
    with (tmp_path / "gossip/workloads/__init__.py").open("a") as file:
        file.write("from gossip.workloads.valley import Valley as Valley\n")
    environment = {"PYTHONPATH": f"{tmp_path}:{REPOSITORY}"}
    options = "--workload Valley --workload.steepness 0.5 --topology complete --nodes 5 --steps 300 --algorithm.lr 0.5"
    done = python("-m", "gossip.train", *options.split(), "--oracle", "Full", "--output", "run", env=environment)
    assert done.returncode == 0, done.stderr
    (summary,) = (tmp_path / "run").rglob("summary.json")
    assert json.loads(summary.read_text())["test_loss"] == pytest.approx(2, abs=1e-3)  # the average of 0, ..., 4
