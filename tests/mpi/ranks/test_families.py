"""Every topology that the command line offers by name trains on ranks, with the bits of one process."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import pytest
import torch

import topologies
from gossip.network import Communicator
from gossip.options.command_line import parse
from tests.mpi.helpers import trained_as_parsed
from tests.topologies.sizes import SIZES

ALGORITHMS = {"random_out": "PushSumSGD"}  # its columns sum to 1 only


@pytest.mark.ranks(3)
@pytest.mark.parametrize("name", [family.__name__ for family in topologies.FAMILIES])
def test_it_trains(processes: Communicator, name: str, tmp_path: Path) -> None:
    n = next(size for size in (SIZES | {"file": [5]})[name] if size >= processes.size)

    def training() -> object:
        file = tmp_path / "wheel.graphml"
        nx.write_graphml(nx.wheel_graph(5), file)
        options = {"file": ["--topology.path", str(file)]}.get(name, [])
        algorithm = ["--algorithm", ALGORITHMS.get(name, "DecentralizedSGD"), "--algorithm.lr", "0.05"]
        rest = "--workload LogisticRegression --steps 3 --evaluate-every 3 --output null --quiet".split()
        return parse(["--nodes", str(n), "--topology", name, *options, *algorithm, *rest], 1)

    run = processes.from_root(training)
    model, *_ = trained_as_parsed(run, processes)
    if processes.rank == 0:
        alone, *_ = trained_as_parsed(run, Communicator())
        assert torch.equal(model, alone)
