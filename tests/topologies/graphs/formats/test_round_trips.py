"""A random graph, written in each format with each quirk of other programs, is read back as the same graph."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import json
import lzma
import warnings
import zipfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from topologies import Topology, file

Edge = tuple[int, int]
Draw = st.DataObject

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"]
PACKERS: dict[str, Callable[[bytes, str], bytes]] = {
    "": lambda data, _: data,
    ".gz": lambda data, _: gzip.compress(data),
    ".bz2": lambda data, _: bz2.compress(data),
    ".xz": lambda data, _: lzma.compress(data),
    ".zip": lambda data, name: zipped(data, name),
}


def zipped(data: bytes, name: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("readme.html", "<html>")
        archive.writestr(f"folder/{name}", data)
    return packed.getvalue()


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[Edge]]:
    """Number of nodes, and edges of a connected graph, each once, in any order and either way."""
    n = draw(st.integers(2, 9))
    tree = {(draw(st.integers(0, i - 1)), i) for i in range(1, n)}
    extra = draw(st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(lambda e: e[0] < e[1])))
    edges = draw(st.permutations(sorted(tree | extra)))
    return n, [(j, i) if draw(st.booleans()) else (i, j) for i, j in edges]


def read(path: Path, **options: object) -> Topology:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return file(path=str(path), **options)


def check(topology: Topology, labels: Sequence[object], edges: Sequence[Edge]) -> None:
    """Nodes in this order, and these edges between their numbers."""
    n = len(labels)
    assert topology.n == n
    assert (topology.labels or tuple(range(n))) == tuple(labels)
    assert {frozenset(edge) for edge in topology.graph.edges} == {frozenset(edge) for edge in edges}
    assert not topology.graph.is_directed() and topology.doubly_stochastic


def repeated(draw: Draw, edges: list[Edge]) -> list[Edge]:
    """With some edges twice, the same way or the other, some loops, and in another order."""
    again = draw.draw(st.lists(st.sampled_from(edges), max_size=3))
    turned = [(j, i) for i, j in draw.draw(st.lists(st.sampled_from(edges), max_size=3))]
    loops = [(i, i) for i, _ in draw.draw(st.lists(st.sampled_from(edges), max_size=2))]
    return draw.draw(st.permutations([*edges, *again, *turned, *loops]))


def save(draw: Draw, folder: Path, name: str, text: str) -> Path:
    """In some encoding, with some ends of lines, packed or not."""
    ends = draw.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    encoding, packing = draw.draw(st.sampled_from(ENCODINGS)), draw.draw(st.sampled_from(sorted(PACKERS)))
    data = text.replace("\n", ends).encode(encoding)
    path = folder / (name + packing)
    path.write_bytes(PACKERS[packing](data, name))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graphs")


@settings(max_examples=150, deadline=None)
@given(data=st.data(), graph=graphs())
def test_edge_lists(folder: Path, data: Draw, graph: tuple[int, list[Edge]]) -> None:
    n, edges = graph
    separator = data.draw(st.sampled_from([" ", "\t", ",", ";", "|", "   ", " , "]))
    first, words = data.draw(st.integers(0, 3)), data.draw(st.booleans())
    names = [f"node {i}" if words and separator.strip(" ") else f"v{i}" if words else f"{i + first}" for i in range(n)]
    quote = '"' if separator in (",", ";") and data.draw(st.booleans()) else ""
    columns = data.draw(st.sampled_from([[], ["0.5"], ["1", "1082040961"], ["2.5e-3", "x", "y"]]))
    lines = [
        separator.join([f"{quote}{names[i]}{quote}", f"{quote}{names[j]}{quote}", *columns])
        for i, j in repeated(data, edges)
    ]
    heads = ["", "% sym unweighted\n% 3 4\n", "# Undirected graph: x\n# FromNodeId ToNodeId\n", "// x\n\n"]
    title = separator.join(["source", "target", *(["weight", "time", "z"][: len(columns)])])
    head = data.draw(st.sampled_from([*heads, f"{title}\n", f"# Nodes\n{title}\n"]))
    name = data.draw(st.sampled_from("g.txt g.edges g.pairs g.csv g.tsv g.edgelist out.g g.TXT g".split()))
    path = save(data, folder, name, head + "\n".join(lines) + data.draw(st.sampled_from(["", "\n", "\n\n# end\n"])))
    topology = read(path)
    if words:
        order = [names.index(label) for label in topology.labels or ()]
        place = {i: order.index(i) for i in range(n)}
        check(topology, [names[i] for i in order], [(place[i], place[j]) for i, j in edges])
    else:
        check(topology, range(first, first + n), edges)


@settings(max_examples=50, deadline=None)
@given(data=st.data(), graph=graphs())
def test_matrix_market(folder: Path, data: Draw, graph: tuple[int, list[Edge]]) -> None:
    n, edges = graph
    field, symmetry = data.draw(st.sampled_from(["pattern", "integer", "real"])), data.draw(st.booleans())
    value = {"pattern": "", "integer": " 3", "real": " 2.5"}[field]
    ends = [(max(i, j), min(i, j)) for i, j in edges] if symmetry else [e for i, j in edges for e in ((i, j), (j, i))]
    ends += [(i, i) for i, _ in data.draw(st.lists(st.sampled_from(edges), max_size=1))]
    ends = data.draw(st.permutations(ends))
    head = f"%%MatrixMarket matrix coordinate {field} {'symmetric' if symmetry else 'general'}\n% x\n"
    text = head + f"{n} {n} {len(ends)}\n" + "".join(f"{i + 1} {j + 1}{value}\n" for i, j in ends)
    name = data.draw(st.sampled_from(["g.mtx", "g.edges", "g.MTX", "g.txt"]))
    weights = data.draw(st.sampled_from(["metropolis", None]))
    check(read(save(data, folder, name, text), weights=weights), range(1, n + 1), edges)


@settings(max_examples=50, deadline=None)
@given(data=st.data(), graph=graphs())
def test_pajek(folder: Path, data: Draw, graph: tuple[int, list[Edge]]) -> None:
    n, edges = graph
    names = data.draw(st.sampled_from(["", "words", "same"]))
    labels = [{"": f"{i + 1}", "words": f"v {i}", "same": "x"}[names] for i in range(n)]
    vertices = "".join(f'{i + 1} "{label}" 0.1 0.2 0.5\n' for i, label in enumerate(labels)) if names else ""
    lists = data.draw(st.booleans())
    body = "".join(f" {i + 1} {j + 1}{'' if lists else ' 2.5'}\n" for i, j in repeated(data, edges))
    head = data.draw(st.sampled_from(["", "% made by hand\n", "*Network x\n"]))
    star = data.draw(st.sampled_from([str.lower, str.upper, str.title]))
    text = head + star("*vertices") + f" {n}\n{vertices}" + star("*edgeslist" if lists else "*edges") + f"\n{body}"
    path = save(data, folder, data.draw(st.sampled_from(["g.net", "G.NET", "g.paj", "g.txt"])), text)
    check(read(path), labels if names == "words" else range(1, n + 1), edges)


@settings(max_examples=50, deadline=None)
@given(data=st.data(), graph=graphs())
def test_metis(folder: Path, data: Draw, graph: tuple[int, list[Edge]]) -> None:
    n, edges = graph
    flags = data.draw(st.sampled_from(["", " 0", " 1", " 001", " 010 2", " 011", " 100", " 111 1"]))
    code = (flags.split() or ["0"])[0].zfill(3)
    ahead = "7 " * (int(code[0]) + int(code[1]) * (2 if flags.endswith("2") else 1))
    near = [sorted({b if a == i else a for a, b in edges if i in (a, b)}) for i in range(n)]
    weight = " 4" if code[2] == "1" else ""
    rows = [ahead + " ".join(f"{j + 1}{weight}" for j in data.draw(st.permutations(each))) for each in near]
    text = "% x\n" + f"{n} {len(edges)}{flags}\n" + "% y\n" + "\n".join(rows) + "\n"
    check(read(save(data, folder, data.draw(st.sampled_from(["g.graph", "g.metis"])), text)), range(1, n + 1), edges)


@settings(max_examples=50, deadline=None)
@given(data=st.data(), graph=graphs())
def test_gml(folder: Path, data: Draw, graph: tuple[int, list[Edge]]) -> None:
    n, edges = graph
    names = data.draw(st.sampled_from(["", "words", "same", "some"]))
    words = [
        {"": "", "words": f'label "v{i}"', "same": 'label "x"', "some": 'label "x"' * (i == 0)}[names] for i in range(n)
    ]
    nodes = "".join(f"  node\n  [\n    id {i + 5} {word}\n  ]\n" for i, word in enumerate(words))
    links = "".join(f'  edge [ source {i + 5} target {j + 5} LinkSpeed "10" ]\n' for i, j in repeated(data, edges))
    head = data.draw(st.sampled_from(["", 'Creator "x"\n', "# x\n", 'Creator "x"\nVersion 1\n']))
    flags = data.draw(st.sampled_from(["", "  directed 0\n", "  multigraph 1\n", "  multigraph 0\n"]))
    opened = data.draw(st.sampled_from(["graph [\n", "graph\n[\n"]))
    path = save(data, folder, data.draw(st.sampled_from(["g.gml", "g.txt"])), f"{head}{opened}{flags}{nodes}{links}]\n")
    check(read(path), [f"v{i}" for i in range(n)] if names == "words" else range(5, n + 5), edges)


@settings(max_examples=50, deadline=None)
@given(data=st.data(), graph=graphs())
def test_json(folder: Path, data: Draw, graph: tuple[int, list[Edge]]) -> None:
    n, edges = graph
    key, ids = data.draw(st.sampled_from(["links", "edges"])), data.draw(st.booleans())
    nodes = [{"name": f"x{i}"} | ({"id": i + 3} if ids else {}) for i in range(n)]
    shift = 3 if ids else 0
    links = [{"source": i + shift, "target": j + shift, "weight": 2} for i, j in repeated(data, edges)]
    text = json.dumps({"nodes": nodes, key: links} | data.draw(st.sampled_from([{}, {"multigraph": False}])))
    check(read(save(data, folder, "g.json", text)), range(shift, n + shift), edges)


@settings(max_examples=50, deadline=None)
@given(data=st.data(), graph=graphs())
def test_tntp(folder: Path, data: Draw, graph: tuple[int, list[Edge]]) -> None:
    n, edges = graph
    links = data.draw(st.permutations([end for i, j in edges for end in ((i, j), (j, i))]))
    text = f"<NUMBER OF ZONES> 2\n<NUMBER OF NODES> {n}\n<NUMBER OF LINKS> {len(links)}\n<END OF METADATA>\n\n"
    text += "~ \tinit_node\tterm_node\tcapacity\t;\n" + "".join(f"\t{i + 1}\t{j + 1}\t25900.2\t;\n" for i, j in links)
    path = save(data, folder, data.draw(st.sampled_from(["g_net.tntp", "g_net.txt"])), text)
    check(read(path), range(1, n + 1), edges)


@settings(max_examples=50, deadline=None)
@given(data=st.data(), graph=graphs())
def test_what_networkx_and_scipy_write(folder: Path, data: Draw, graph: tuple[int, list[Edge]]) -> None:
    n, edges = graph
    plain = nx.empty_graph(n)
    plain.add_edges_from(edges)
    adjacency = nx.to_numpy_array(plain)
    writers: dict[str, Callable[[Path], object]] = {
        "g.graphml": lambda path: nx.write_graphml(plain, path),
        "g.gexf": lambda path: nx.write_gexf(plain, path),
        "g.adjlist": lambda path: nx.write_adjlist(plain, path),
        "g.net": lambda path: nx.write_pajek(plain, path),
        "g.g6": lambda path: nx.write_graph6(plain, path),
        "g.s6": lambda path: nx.write_sparse6(plain, path),
        "g.edgelist": lambda path: nx.write_edgelist(plain, path),
        "g.npy": lambda path: np.save(path, adjacency),
        "g.npz": lambda path: sp.save_npz(path, sp.csr_array(adjacency)),
        "h.npz": lambda path: np.savez(path, adjacency),
    }
    name = data.draw(st.sampled_from(sorted(writers)))
    path = folder / name
    writers[name](path)
    assert not path.read_bytes().startswith(codecs.BOM_UTF8)
    check(read(path), range(n), edges)


@settings(max_examples=50, deadline=None)
@given(data=st.data(), graph=graphs(), cuts=st.lists(st.integers(0, 400), min_size=1, max_size=4))
def test_what_is_damaged_is_read_or_refused_in_one_line(
    folder: Path, data: Draw, graph: tuple[int, list[Edge]], cuts: list[int]
) -> None:
    n, edges = graph
    plain = nx.empty_graph(n)
    plain.add_edges_from(edges)
    name, write = data.draw(
        st.sampled_from(
            [
                ("d.graphml", nx.write_graphml),
                ("d.gml", nx.write_gml),
                ("d.net", nx.write_pajek),
                ("d.edgelist", nx.write_edgelist),
                ("d.adjlist", nx.write_adjlist),
                ("d.s6", nx.write_sparse6),
            ]
        )
    )
    write(plain, folder / name)
    damaged = bytearray((folder / name).read_bytes())
    for cut, (low, high) in zip(cuts, pairwise([0, *cuts, len(damaged)]), strict=False):
        if low < high:
            del damaged[low : min(high, low + 3)]
        if cut < len(damaged):
            damaged[cut] = data.draw(st.integers(1, 255))
    (folder / name).write_bytes(bytes(damaged))
    try:
        read(folder / name)
    except ValueError as error:
        assert "\n" not in str(error)
