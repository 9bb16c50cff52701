"""Loggers are rank 0's alone."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest

from gossip.network import Communicator
from gossip.options.command_line import parse
from tests.mpi.helpers import trained_as_parsed


@pytest.mark.ranks(3)
def test_the_first_rank_imports_and_writes(processes: Communicator, tmp_path: Path) -> None:
    folder = processes.broadcast(str(tmp_path))
    words = "--nodes 5 --topology ring --workload Averaging --algorithm GossipAveraging --steps 3 --report false"
    more = ["--quiet", "--output", folder, "--logger", "csv", "--logger", "tensorboard"]
    run = processes.from_root(lambda: parse([*words.split(), *more], 1))
    _, history, _ = trained_as_parsed(run, processes)
    assert processes.gather("gossip.records.loggers.tensorboard" in sys.modules) == [True, False, False]
    assert processes.gather("tensorboard" in sys.modules)[1:] == [False, False]
    if processes.rank == 0:
        (table,) = Path(folder).glob("*/*/metrics.csv")
        (events,) = Path(folder).glob("*/*/tensorboard/events*")
        steps = [int(row["step"]) for row in csv.DictReader(table.read_text().splitlines())]
        assert steps == [record["step"] for record in history] == [0, 1, 2, 3]
        assert events.stat().st_size > 500
