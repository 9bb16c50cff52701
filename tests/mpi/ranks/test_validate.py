"""`gossip.bench validate` between ranks; never how close it comes."""

from __future__ import annotations

from pathlib import Path

import pytest

from gossip import SimulatedNetwork
from gossip.bench.network.validate import METHODS, Validate
from gossip.network import Communicator


@pytest.mark.ranks(2)
def test_predictions_beside_what_was_measured(processes: Communicator, tmp_path: Path) -> None:
    file = processes.from_root(lambda: tmp_path / "fitted.yaml")
    rows = Validate(repeats=2, hidden=2, batch=2, block=0.001, save=str(file)).run(processes)
    assert [row.case for row in rows] == list(METHODS)
    for row in rows:
        assert row.ranks == 2 and row.dimension == 784 * 2 + 2 + 2 * 10 + 10
        assert 0 < row.compute_seconds <= row.predicted_seconds and row.measured_seconds > 0
        assert row.record()["ratio"] == row.predicted_seconds / row.measured_seconds
    if processes.rank == 0:
        network = SimulatedNetwork.of(file)
        assert network.sums == "tree" and network.compute.seconds > 0 and file.read_text().startswith("# Fitted by")
