"""The table of labels."""

from pathlib import Path

import networkx as nx

from topologies import Topology, one_peer_exponential, ring
from topologies.labels import write_labels


def test_table(tmp_path: Path) -> None:
    topology = Topology(nx.relabel_nodes(nx.path_graph(3), {0: "a, b", 1: "ö", 2: 7}))
    assert write_labels(topology, tmp_path / "nodes.csv")
    assert (tmp_path / "nodes.csv").read_text(encoding="utf-8") == 'node,label\n0,"a, b"\n1,ö\n2,7\n'


def test_no_table(tmp_path: Path) -> None:
    assert not write_labels(ring(4), tmp_path / "nodes.csv")
    assert not write_labels(one_peer_exponential(4), tmp_path / "nodes.csv") and not list(tmp_path.iterdir())
