"""A small run, without a report: that takes longer than the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gossip
from algorithms import ChocoSGD, Saga, TopK
from gossip.records.recorder import Recorder
from gossip.workloads import LeastSquares
from topologies import ring


@pytest.fixture(autouse=True)
def no_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recorder, "write_outcome", lambda *_: None)


class Small:
    """A run of a few steps, and what it is compared with."""

    def __init__(self, output: Path) -> None:
        random = np.random.default_rng(1)
        self.workload = LeastSquares(random.normal(size=(5, 6, 4)), random.normal(size=(5, 6)), l2=0.1)
        self.output = output

    def run(self, **options: Any) -> gossip.Result:
        arguments = {
            "workload": self.workload,
            "topology": ring(5),
            "algorithm": ChocoSGD(lr=0.05, gamma=0.3, compressor=TopK(k=2), momentum=0.9),
            "oracle": Saga(2),
            "steps": 10,
            "evaluate_every": 2,
            "output": self.output,
        }
        return gossip.run(**(arguments | options))  # type: ignore[arg-type]

    def first(self, **options: Any) -> Path:
        directory = self.run(**({"steps": 7, "checkpoint_every": 3} | options)).directory
        assert directory is not None
        return directory


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return Small(tmp_path / "runs")
