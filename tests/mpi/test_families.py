"""Every named topology on MPI ranks, time-varying and directed ones included."""

from __future__ import annotations

from pathlib import Path

import networkx as nx

import topologies
from tests.conftest import REPOSITORY, Run


def test_every_named_topology_trains(python: Run, tmp_path: Path) -> None:
    nx.write_graphml(nx.wheel_graph(5), tmp_path / "wheel.graphml")
    program = str(REPOSITORY / "tests/mpi/programs/families.py")
    done = python("-W", "error", program, str(tmp_path / "wheel.graphml"), ranks=3, timeout=280)
    assert done.returncode == 0, done.stderr
    assert f"{len(topologies.FAMILIES)} topologies, the same bits" in done.stdout
