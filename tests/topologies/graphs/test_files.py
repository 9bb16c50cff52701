"""Graphs and matrices from files, and networkx generators by name."""

import json
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from scipy.io import mmwrite

from topologies import Topology, file, metropolis, networkx_graph, ring

GRAPH = nx.Graph()
GRAPH.add_weighted_edges_from([(0, 1, 0.25), (1, 2, 0.5), (2, 3, 0.25), (3, 0, 0.125), (0, 2, 0.25)])
WRITERS = {
    "a.graphml": nx.write_graphml,
    "a.gml": nx.write_gml,
    "a.gexf": nx.write_gexf,
    "a.edgelist": nx.write_edgelist,
    "a.edges": nx.write_weighted_edgelist,
    "a.weighted": nx.write_weighted_edgelist,
    "a.adjlist": nx.write_adjlist,
    "a.net": nx.write_pajek,
    "a.g6": lambda graph, path: nx.write_graph6(nx.from_numpy_array(nx.to_numpy_array(graph, weight=None)), path),
    "a.s6": lambda graph, path: nx.write_sparse6(nx.from_numpy_array(nx.to_numpy_array(graph, weight=None)), path),
    "a.json": lambda graph, path: path.write_text(json.dumps(nx.node_link_data(graph, edges="links"))),
    "a.npy": lambda graph, path: np.save(path, metropolis(graph).toarray()),
    "a.mtx": lambda graph, path: mmwrite(path, metropolis(graph)),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format(name: str, tmp_path: Path) -> None:
    WRITERS[name](GRAPH, tmp_path / name)
    topology = file(4, str(tmp_path / name))
    np.testing.assert_allclose(topology.matrix.toarray(), metropolis(GRAPH).toarray(), atol=1e-12)
    assert topology.name == "a" and file(path=str(tmp_path / name), weights="max_degree").n == 4
    if name not in ("a.adjlist", "a.g6", "a.s6", "a.npy", "a.mtx"):
        weighted = file(path=str(tmp_path / name), weights="edge_weights")
        assert weighted.matrix[1, 2] == 0.5 and weighted.matrix[0, 0] == pytest.approx(1 - 0.625)
    with pytest.raises(ValueError, match=r"a\..* has 4 nodes, got n = 5; nearest n is 4"):
        file(5, str(tmp_path / name))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "bad.gml").write_text("nonsense [")
    (tmp_path / "bad.json").write_text("{}")
    for path in (tmp_path / "bad.gml", tmp_path / "bad.json", tmp_path / "none.graphml"):
        with pytest.raises(ValueError, match="cannot read a graph from") as caught:
            file(path=str(path))
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"cannot read a graph from x\.dat: No such file"):
        file(path="x.dat")
    with pytest.raises(ValueError, match="needs a path"):
        file(3)


def test_generators_by_name() -> None:
    assert networkx_graph(10).name == "petersen" and (networkx_graph(10).in_degrees == 3).all()
    same = Topology(nx.circulant_graph(8, [1, 3]))
    assert networkx_graph(8, "networkx.circulant_graph(n, [1, 3])").graph.edges == same.graph.edges
    assert networkx_graph(12, "caveman_graph(l=1, k=12)", "max_degree").n == 12
    assert ring(5).n == networkx_graph(5, "cycle_graph(n)").n
    for generator, message in (
        ("no_such(3)", "networkx has no generator 'no_such'"),
        ("cycle_graph()", "networkx.cycle_graph did not take"),
        ("path_graph(n) + 1", "not a name with literal arguments"),
        ("path_graph(__import__('os'))", "not a name with literal arguments"),
        ("density(3)", "density did not take|makes no graph"),
        ("path_graph(4)", "has 4 nodes, got n = 7; nearest n is 4"),
    ):
        with pytest.raises(ValueError, match=message):
            networkx_graph(7, generator)
