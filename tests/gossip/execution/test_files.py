"""Runs on graphs from files."""

from pathlib import Path

import pytest

import gossip
from algorithms import GossipAveraging
from gossip.workloads import Averaging
from topologies import file


def test_the_run_directory_says_which_node_is_which(tmp_path: Path) -> None:
    (tmp_path / "a.edgelist").write_text("7 5\n5 9\n9 7\n")
    topology = file(path=str(tmp_path / "a.edgelist"))
    result = gossip.run(Averaging(), topology, GossipAveraging(), steps=2, output=tmp_path)
    assert result.directory is not None
    assert (result.directory / "nodes.csv").read_text() == "node,label\n0,5\n1,7\n2,9\n"


def test_weights_that_reach_no_consensus_are_refused(tmp_path: Path) -> None:
    (tmp_path / "speeds.edgelist").write_text("0 1 10\n1 2 10\n2 3 10\n3 0 10\n")
    topology = file(path=str(tmp_path / "speeds.edgelist"), weights="edge_weights")
    with pytest.raises(ValueError, match=r"GossipAveraging averages, and speeds reaches no consensus: .* -39,"):
        gossip.run(Averaging(), topology, GossipAveraging(), steps=2, output=None)
