"""Files as collections and other programs have them, and what is said of those that cannot be read."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from topologies import file, metropolis

SNAP = "# {0}: x\n# Nodes: 3 Edges: 4\n# FromNodeId\tToNodeId\n3466\t937\n937\t3466\n937\t10310\n10310\t3466\n"
ROAD = "%%MatrixMarket matrix coordinate real general\n3 3 4\n1 2 2.5\n2 1 2.5\n2 3 1.5\n3 2 1.5\n"


def read(folder: Path, name: str, content: str | bytes, **options: Any) -> Any:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return file(path=str(folder / name), **options)


@pytest.mark.parametrize(
    ("name", "content", "labels", "edges"),
    [
        ("a.txt", SNAP.format("Undirected graph"), (937, 3466, 10310), 3),
        ("out.x", "% bip unweighted\n1 1\n1 2\n2 2\n", ("left 1", "right 1", "right 2", "left 2"), 3),
        ("out.y", "% asym positive\n1 2 1 1082040961\n2 1 1 1082155839\n", (1, 2), 1),
        ("gephi.csv", "Source,Target,Type,Id,Weight\n1,2,Undirected,0,1\n3,2,Undirected,1,2\n", (1, 2, 3), 2),
        ("pandas.csv", ",source,target\n0,5,7\n1,7,9\n", (5, 7, 9), 2),
        ("flow.txt", "source target\ntarget sink\nsink source\n", ("source", "target", "sink"), 3),
        ("uv.txt", "u v\nv w\nw u\n", ("u", "v", "w"), 3),
        ("counts.txt", "4 5\n0 1\n1 2\n2 3\n3 0\n0 2\n", None, 5),
        ("counts.edges", "%MatrixMarket matrix coordinate pattern symmetric\n3 3 2\n2 1\n3 2\n", (1, 2, 3), 2),
        ("float.txt", "1.0 2.0\n2.0 3.0\n", (1, 2, 3), 2),
        ("latin.txt", "Malmö Köln\nKöln Rom\n".encode("latin-1"), ("Malmö", "Köln", "Rom"), 2),
        ("blanks.txt", "0 1  # x\n  1   2\n\n", None, 2),
        ("p.NET", '% c\r\n*Vertices 2\r\n1 "a b" 0.1\r\n2 "c"\r\n*Edges :1 "x"\r\n1 2 1\r\n', ("a b", "c"), 1),
        ("p.paj", "*Network x\n*Vertices 2\n*Edges\n1 2\n\n*Partition p\n*Vertices 2\n1\n1\n", (1, 2), 1),
        ("matrix.net", "*Vertices 3\n*Matrix\n0 1 0\n1 0 1\n0 1 0\n", (1, 2, 3), 2),
        ("permutation.mtx", "%%MatrixMarket matrix coordinate pattern general\n2 2 2\n1 2\n2 1\n", (1, 2), 1),
    ],
)
def test_read(tmp_path: Path, name: str, content: str | bytes, labels: Any, edges: int) -> None:
    topology = read(tmp_path, name, content)
    assert topology.labels == labels and topology.graph.number_of_edges() == edges
    assert topology.rule == "metropolis" and topology.name == name.removeprefix("out.").split(".")[0]


def test_directed(tmp_path: Path) -> None:
    """Only if the file says so, and some edge runs one way."""
    directed = read(tmp_path, "a.txt", SNAP.format("Directed graph"))
    assert directed.graph.is_directed() and directed.graph.number_of_edges() == 4 and directed.rule == "uniform"
    assert {(directed.labels[i], directed.labels[j]) for i, j in directed.graph.edges} >= {(937, 10310), (10310, 3466)}
    assert read(tmp_path, "a.txt", SNAP.format("Directed graph"), undirected=True).graph.number_of_edges() == 3
    assert not read(tmp_path, "a.txt", SNAP.format("Directed graph (each unordered pair once)")).graph.is_directed()
    arcs = read(tmp_path, "a.net", "*Vertices 3\n*Arcs\n1 2\n2 3\n*Edges\n1 3\n")
    assert sorted(arcs.graph.edges) == [(0, 1), (0, 2), (1, 2), (2, 0)]
    round_trip = read(tmp_path, "a.mtx", "%%MatrixMarket matrix coordinate pattern general\n3 3 3\n1 2\n2 3\n3 1\n")
    assert sorted(round_trip.graph.edges) == [(0, 1), (1, 2), (2, 0)]


def test_packed(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:bz2") as archive:
        for name, content in {"z/README.z": b"x", "z/meta.z": b"y", "z/out.z": b"% sym\n1 2\n2 3\n"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    topology = read(tmp_path, "download.tsv.z.tar.bz2", packed.getvalue())
    assert topology.n == 3 and topology.name == "z"
    with pytest.raises(ValueError, match=r"cannot unpack .*a\.gz: Compressed file ended"):
        read(tmp_path, "a.gz", gzip.compress(b"0 1\n1 2\n")[:-9])


def test_order_of_numbers(tmp_path: Path) -> None:
    """A W of 5 nodes fits a file that numbers them from 1, in no order."""
    graph = nx.Graph()
    graph.add_nodes_from(range(1, 6))
    graph.add_edges_from([(1, 4), (4, 2), (2, 5), (5, 3), (3, 1)])
    np.save(tmp_path / "W.npy", metropolis(graph).toarray())
    topology = read(tmp_path, "a.edgelist", "1 4\n4 2\n2 5\n5 3\n3 1\n", weights=str(tmp_path / "W.npy"))
    assert topology.labels == (1, 2, 3, 4, 5)
    np.testing.assert_array_equal(topology.matrix.toarray(), metropolis(graph).toarray())


def test_weights_count_only_if_asked(tmp_path: Path) -> None:
    text = '"a b";"c d";0,5\n"c d";"e";0,25\n'
    assert read(tmp_path, "a.csv", text).matrix[0, 1] == pytest.approx(1 / 3)
    weighted = read(tmp_path, "a.csv", text, weights="edge_weights")
    assert weighted.matrix[0, 1] == 0.5 and weighted.matrix[1, 2] == 0.25 and weighted.labels == ("a b", "c d", "e")
    with pytest.raises(ValueError, match=r"edge \(1, 0\) has the weights 2 and 3"):
        read(tmp_path, "a.txt", "0 1 2\n1 0 3\n", weights="edge_weights")
    with pytest.raises(ValueError, match=r"needs the attribute 'weight' on every edge, and edge \(1, 2\) has none"):
        read(tmp_path, "a.txt", "0 1 2\n1 2\n", weights="edge_weights")


def test_warnings(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"1 edge is there again, such as \(0, 1\); each counts once"):
        read(tmp_path, "a.txt", "0 1\n0 1\n")
    with pytest.warns(UserWarning, match="line 1, 5 4, is taken for an edge; if it counts nodes and edges, delete it"):
        read(tmp_path, "a.txt", "5 4\n0 1\n1 2\n2 3\n0 4\n")
    with pytest.warns(UserWarning, match="so it is taken for an adjacency matrix, and its weights count for nothing"):
        assert read(tmp_path, "a.mtx", ROAD).rule == "metropolis"
    with pytest.warns(UserWarning, match="holds 2 graphs, of which the first is read"):
        read(tmp_path, "a.g6", "Bw\nBw\n")


def test_matrix_with_a_rule(tmp_path: Path) -> None:
    assert read(tmp_path, "a.mtx", ROAD, weights="max_degree").rule == "max_degree"
    assert read(tmp_path, "a.mtx", ROAD, ignore_weights=True).rule == "metropolis"
    almost = io.BytesIO()
    np.save(almost, np.array([[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.4]]))
    with pytest.raises(ValueError, match=r"row 2 sums to 0\.9 .* a weight rule \(--weights metropolis\) or ignore_w"):
        read(tmp_path, "w.npy", almost.getvalue())
    assert read(tmp_path, "w.npy", almost.getvalue(), weights="metropolis").n == 3


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("a.txt", "0 1\n1\n", {}, "a.txt as edgelist, by its name: line 2: an edge needs two names, and here is 1"),
        ("a.txt", "", {}, "it is empty; say what it is with format"),
        ("a.txt", "# x\n", {}, "no line with an edge"),
        ("a.bin", bytes(range(256)), {}, "holds bytes that are no text"),
        ("a.csv", "0,1,0,1\n1,0,1,0\n0,1,0,1\n1,0,1,0\n", {}, "looks like a matrix; save it as .npy or .mtx"),
        ("a.net", "*Vertices 3\n*Edges\n1 2\n2 4\n", {}, "line 4: '4' is none of the nodes 1..3"),
        ("a.net", "*Vertices 3\n*Lines\n1 2\n", {}, "line 2: *lines is none of *Vertices"),
        ("a.graph", "3 3\n2\n1 3\n2\n", {}, "the first line says 3 edges, and the lines after it have 2"),
        ("a.graph", "2 1\n2\n1\n\n7\n", {}, "line 5: the first line says 2 nodes"),
        ("a.tntp", "<NUMBER OF LINKS> 3\n<END OF METADATA>\n1 2 ;\n2 1 ;\n", {}, "say 3 links, and there are 2"),
        ("a.json", '{"nodes": [{"id": 1}], "edges": [{"source": 1, "target": 2}]}', {}, 'has 2, which is none of "no'),
        ("a.json", "{", {}, "line 1 column 2"),
        ("a.mtx", "%%MatrixMarket matrix coordinate pattern general\n3 4 1\n1 2\n", {}, "of shape (3, 4)"),
        ("a.mtx", "%%MatrixMarket matrix coordinate pattern general\n2 2 1\n1 x\n", {}, "Line 3"),
        ("a.mtx", "1 2\n", {}, "say so with format = (--format) one of edgelist, "),
        ("a.txt", "0 1\n", {"format": "edgelst"}, "there is no format 'edgelst'; did you mean edgelist?"),
        (
            "a.txt",
            "0 1\n2 3\n",
            {},
            "it has 2 connected components, one of them with nodes 0, 1; largest",
        ),
        ("a.txt", "0 1\n", {"undirected": True}, "undirected (--undirected) has no effect on"),
        ("a.txt", "0 1\n", {"largest_component": True}, "has no effect on"),
        ("a.txt", "0 1\n", {"ignore_weights": True}, "which has no weights"),
        ("a.txt", "0 1 2\n", {"ignore_weights": True, "weights": "edge_weights"}, "contradict"),
    ],
)
def test_refused(tmp_path: Path, name: str, content: str | bytes, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        read(tmp_path, name, content, **options)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_options(tmp_path: Path) -> None:
    part = read(tmp_path, "a.txt", "5 6\n6 7\n1 2\n", largest_component=True)
    assert part.labels == (5, 6, 7) and part.graph.number_of_edges() == 2
    assert read(tmp_path, "a.json", "0 1\n1 2\n", format="edgelist").n == 3
    w = metropolis(nx.path_graph(3)).toarray()
    np.save(tmp_path / "w.npy", w)
    with pytest.raises(ValueError, match="undirected has no effect on the mixing matrix"):
        file(path=str(tmp_path / "w.npy"), undirected=True)
