"""Topologies from files and from networkx generators by name."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from topologies.graphs.arguments import count
from topologies.graphs.numbering import numbered
from topologies.topology import Topology
from topologies.weights.rules import FILES, read_matrix

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["file", "networkx_graph"]

READERS = {  # by the end of the name: the function of networkx
    ".graphml": "read_graphml",
    ".gml": "read_gml",
    ".gexf": "read_gexf",
    ".edgelist": "read_edgelist",
    ".edges": "read_edgelist",
    ".weighted": "read_weighted_edgelist",
    ".adjlist": "read_adjlist",
    ".net": "read_pajek",
    ".g6": "read_graph6",
    ".s6": "read_sparse6",
}


def is_file(name: str) -> bool:
    """Whether this names a file that `file` can read."""
    return Path(name).suffix.lower() in (*READERS, *FILES, ".json")


def file(n: int | None = None, path: str = "", weights: str | None = None) -> Topology:
    """The graph or the mixing matrix in a file.

    GraphML, GML, GEXF, edge lists (.edgelist or .edges, with data or numbers as third column), weighted edge lists
    (.weighted), adjacency lists (.adjlist), Pajek (.net), graph6 and sparse6 (.g6, .s6), JSON node-link data (.json),
    or W itself as NumPy or Matrix Market file (.npy, .mtx). Undirected, unless the format says otherwise.

    Args:
        n: number of nodes, as many as the file has; any by default.
        path: of the file; the end of its name says what it is.
        weights: weight rule, `topologies.weights.rules.find` knows them; "edge_weights" takes those of the file.

    Raises:
        ValueError: there is no such file, it cannot be read, or it has another number of nodes.
    """
    if n is not None:
        count("file", n)
    if not path:
        raise ValueError("file needs a path to read a graph from")
    suffix = Path(path).suffix.lower()
    if suffix in FILES:
        topology = Topology.from_matrix(read_matrix(path), name=Path(path).stem)
        if weights is not None:
            topology = Topology(topology.graph, weights, name=topology.name)
    else:
        topology = Topology(numbered(_read(path, suffix)), weights, name=Path(path).stem)
    return _of_size(topology, n, path)


def networkx_graph(n: int, generator: str = "petersen_graph()", weights: str | None = None) -> Topology:
    """Whatever a generator of networkx makes, such as "circulant_graph(n, [1, 2])".

    Parallel edges count once.

    Args:
        n: number of nodes, as many as the graph gets; in the arguments it may stand for itself.
        generator: a call with literal arguments, as "networkx.star_graph(4)"; the "networkx." may be left out.
        weights: weight rule, `topologies.weights.rules.find` knows them; "edge_weights" takes those of the edges.

    Raises:
        ValueError: there is no such generator, or it does not take the arguments or makes another number of nodes.
    """
    topology = generated(generator, count("networkx_graph", n), weights)
    return _of_size(topology, n, generator)


def generated(generator: str, n: int | None, weights: str | None) -> Topology:
    """The topology of such a call; without n, of any size."""
    import networkx as nx

    name, positional, named = call(generator.removeprefix("networkx.").removeprefix("nx."), n)
    make = getattr(nx, name, None)
    if not callable(make):
        raise ValueError(f"networkx has no generator {name!r}")
    try:
        graph = make(*positional, **named)
    except (TypeError, ValueError, ArithmeticError, AttributeError, nx.NetworkXException) as error:
        raise ValueError(f"networkx.{name} did not take {generator}: {' '.join(str(error).split())}") from error
    if not isinstance(graph, nx.Graph):
        raise ValueError(f"networkx.{name} makes no graph but {type(graph).__name__}")
    return Topology(numbered(graph), weights, name=name.removesuffix("_graph"))


def call(text: str, n: int | None = None) -> tuple[str, list[Any], dict[str, Any]]:
    """Name, positional and named arguments of a call with literals, in which n stands for a number.

    Raises:
        ValueError: the text is something else.
    """
    try:
        tree = ast.parse(text, mode="eval").body
        if isinstance(tree, ast.Name):
            return tree.id, [], {}
        assert isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name)

        def value(node: ast.expr) -> Any:
            return n if isinstance(node, ast.Name) and node.id == "n" and n is not None else ast.literal_eval(node)

        named = {str(each.arg): value(each.value) for each in tree.keywords}
        return tree.func.id, [value(each) for each in tree.args], named
    except (SyntaxError, ValueError, AssertionError) as error:
        raise ValueError(f"{text!r} is not a name with literal arguments, as in circulant(offsets=(1, 3))") from error


def _read(path: str, suffix: str) -> nx.Graph:
    import networkx as nx

    if suffix not in READERS and suffix != ".json":
        raise ValueError(f"cannot tell what {path} is by its name; known are {', '.join([*READERS, '.json', *FILES])}")
    try:
        if suffix == ".json":
            return nx.node_link_graph(json.loads(Path(path).read_text(encoding="utf-8")), edges="links")
        if suffix in (".edgelist", ".edges"):
            words = next(
                (line.split() for line in Path(path).read_text().splitlines() if line.strip() and line[0] != "#"), []
            )
            if len(words) == 3:
                return nx.read_weighted_edgelist(path)
        graph = getattr(nx, READERS[suffix])(path)
        return graph[0] if isinstance(graph, list) else graph
    except (OSError, ValueError, KeyError, TypeError, IndexError, SyntaxError, nx.NetworkXException) as error:
        raise ValueError(f"cannot read a graph from {path}: {' '.join(str(error).split()) or type(error)}") from error


def _of_size(topology: Topology, n: int | None, source: str) -> Topology:
    if n is not None and topology.n != n:
        raise ValueError(f"{source} has {topology.n} nodes, got n = {n}; nearest n is {topology.n}")
    return topology
