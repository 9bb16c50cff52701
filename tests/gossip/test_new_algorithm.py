"""A new algorithm is one file and one import line, and then usable everywhere by its name."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.conftest import REPOSITORY, Run

FILE = '''
"""Gradient descent that averages with all nodes at once."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms.algorithm import Algorithm, Sample
from algorithms.state import State
from algorithms.network import Network


@dataclass(frozen=True)
class CentralizedSGD(Algorithm):
    """x <- mean over all nodes of (x - lr g).

    Args:
        lr: Learning rate, > 0.
    """

    lr: float = 0.1

    def step(self, state: State, sample: Sample, network: Network) -> None:
        state.x = network.mean(state.x - self.lr * sample.gradient).expand_as(state.x)
'''
LINE = "from algorithms.decentralized.centralized import CentralizedSGD as CentralizedSGD\n"
PROGRAM = """
import gossip
from algorithms import CentralizedSGD, Minibatch
from gossip.workloads import Digits
from topologies import ring
result = gossip.run(Digits(), ring(4), CentralizedSGD(lr=0.2), oracle=Minibatch(16), steps=5, output=None)
assert result.summary["consensus_distance"] < 1e-6
"""


def test_one_file_and_one_line(python: Run, tmp_path: Path) -> None:
    for package in ("algorithms", "gossip", "topologies"):
        shutil.copytree(REPOSITORY / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    family = tmp_path / "algorithms/decentralized"
    (family / "centralized.py").write_text(FILE)
    with (family / "__init__.py").open("a") as file:
        file.write(LINE)
    env = {"PYTHONPATH": str(tmp_path)}

    options = ["--algorithm", "CentralizedSGD", "--algorithm.lr", "0.2", "--workload", "Digits", "--steps", "3"]
    done = python("-m", "gossip.train", *options, ranks=3, env=env)
    assert done.returncode == 0, done.stderr
    assert "CentralizedSGD" in done.stdout
    done = python("-m", "gossip.train", "--algorithm.help", "CentralizedSGD", env=env)
    assert "Learning rate, > 0." in done.stdout
    done = python("-c", PROGRAM, env=env)
    assert done.returncode == 0, done.stderr
