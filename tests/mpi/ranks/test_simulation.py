"""Times on a simulated network are the same on any number of ranks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gossip.network import Communicator
from gossip.options.command_line import parse
from tests.mpi.helpers import trained_as_parsed

ALGORITHMS = {  # rows to neighbours, packed rows of different lengths, and sums
    "DecentralizedSGD": [],
    "SquarmSGD": ["gamma=0.2", "threshold=2", "period=1", "compressor=RandomK", "compressor.k=3"],
    "LocalSGD": ["period=2"],
}


FAILING = """levels:
- {latency: 0.001, bandwidth: 1.0e+6, members: 4, overhead: 1.0e-5}
- {latency: 0.02, bandwidth: 2.0e+5}
compute: {seconds: 0.01, jitter: pareto, spread: 0.5}
failures: {rate: 20.0, repair: 0.05, outages: [{level: 1, member: 0, start: 0.0, end: 0.1}]}
sums: tree
"""


@pytest.mark.ranks(3)
@pytest.mark.parametrize("network", ["wan", "failing"])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_time_is_the_same(processes: Communicator, name: str, network: str, tmp_path: Path) -> None:
    if network == "failing":
        network = str(tmp_path / "failing.yaml")
        processes.from_root(lambda: Path(network).write_text(FAILING))
    words = "--nodes 11 --topology ring --workload LogisticRegression --steps 4".split()
    words += [
        f"--network={network}",
        f"--algorithm={name}",
        *(f"--algorithm.{each}" for each in ALGORITHMS[name]),
        "--output=null",
        "--quiet",
        "--evaluate-every=2",
    ]
    run = processes.from_root(lambda: parse(words, 1))
    model, history, _ = trained_as_parsed(run, processes)
    if processes.rank == 0:
        alone, alone_history, _ = trained_as_parsed(run, Communicator())
        assert torch.equal(model, alone)
        told = [[record["simulated_seconds"] for record in each] for each in (history, alone_history)]
        assert told[0] == told[1]
        assert told[0][-1] > 0.06
