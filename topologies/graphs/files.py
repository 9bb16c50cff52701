"""Topologies from files and from networkx generators by name."""

from __future__ import annotations

import ast
import warnings
from typing import Any

from topologies.graphs.arguments import count
from topologies.graphs.formats.edges import Edges, in_order, largest_component, simple
from topologies.graphs.formats.edges import undirected as both_ways
from topologies.graphs.formats.matrices import Matrix
from topologies.graphs.formats.reading import read
from topologies.graphs.formats.source import open_source
from topologies.graphs.numbering import numbered
from topologies.matrices import check_connected, check_sums
from topologies.topology import Topology
from topologies.weights.rules import LAZY

__all__ = ["file", "networkx_graph"]


def file(
    n: int | None = None,
    path: str = "",
    weights: str | None = None,
    *,
    format: str | None = None,
    largest_component: bool = False,
    undirected: bool = False,
    ignore_weights: bool = False,
) -> Topology:
    """The graph or the mixing matrix in a file.

    Edge lists (of SNAP, KONECT, Network Repository, networkx, Gephi, spreadsheets), Matrix Market, GraphML, GML, GEXF,
    node-link JSON, Pajek, METIS, TNTP, adjacency lists, graph6, sparse6, NumPy's .npy and scipy's .npz; also packed by
    gzip, bzip2, xz, zip or tar. Edges run both ways, unless the file says otherwise; each counts once, and loops not at
    all. Nodes are in ascending order where all labels are numbers, else in that of the file; `Topology.labels` has what
    the file calls each. Of GML and Pajek these are the ids if some labels lack or are the same.

    A matrix whose rows or columns sum to 1 is W itself. Any other is an adjacency matrix, in which entry (i, j) is an
    edge from i to j, unless it looks like a W that is wrong.

    Args:
        n: number of nodes, as many as the file has; any by default.
        path: of the file.
        weights: weight rule, `topologies.weights.rules.find` knows them; "edge_weights" takes those of the file, which
            count for nothing otherwise.
        format: edgelist, adjlist, mtx, npy, npz, gml, graphml, gexf, json, pajek, metis, tntp, graph6 or sparse6; by
            default what the beginning of the file or the end of its name says.
        largest_component: take the largest part in which every node reaches every other, of a graph in several parts.
        undirected: let the edges of a directed graph run both ways.
        ignore_weights: take a matrix for who is linked to whom only, though it may look like W.

    Raises:
        ValueError: there is no such file, it cannot be read, has another number of nodes or several components, or an
            option has no effect on it.
    """
    if n is not None:
        count("file", n)
    if not path:
        raise ValueError("file needs a path to read a graph from")
    source = open_source(path)
    found = read(source, format)
    weighted = weights is not None and weights.removeprefix(LAZY) == "edge_weights"
    if weighted and ignore_weights:
        raise ValueError("weights = edge_weights and ignore_weights contradict each other")
    if isinstance(found, Matrix):
        rule_given = ignore_weights or (weights is not None and not (weighted and found.is_mixing()))
        if _is_mixing(found, path, rule_given) and not rule_given:
            for option, asked in (("undirected", undirected), ("largest_component", largest_component)):
                if asked:
                    raise ValueError(
                        f"{option} has no effect on the mixing matrix in {path}; with a weight rule, or with "
                        f"ignore_weights (--ignore-weights), it is taken for a graph"
                    )
            return _of_size(Topology.from_matrix(found.csr, name=source.stem), n, path)
        has_weights, edges = found.weighted, found.edges(receivers_first=found.is_mixing())
    else:
        has_weights, edges = bool((found.weights == found.weights).any()), found
    if ignore_weights and not has_weights:
        raise ValueError(f"ignore_weights (--ignore-weights) has no effect on {path}, which has no weights")
    edges = _cut(simple(in_order(edges), path, weighted), path, weighted, undirected, largest_component)
    return _of_size(_topology(edges, weights, weighted, source.stem), n, path)


def _is_mixing(matrix: Matrix, path: str, rule_given: bool) -> bool:
    """Whether a matrix is W, if it can be told; nothing that is doubtful passes without a word."""
    if matrix.is_mixing():
        return True
    if not rule_given and matrix.is_nearly_mixing():
        try:
            check_sums(matrix.csr)
        except ValueError as error:
            raise ValueError(
                f"{path}: {str(error).split('; for an adjacency')[0]}; a weight rule (--weights metropolis) or "
                f"ignore_weights (--ignore-weights) takes it for an adjacency matrix"
            ) from error
    if not rule_given and not matrix.whole:
        warnings.warn(
            f"{path}: neither rows nor columns sum to 1, so it is taken for an adjacency matrix, and its weights count "
            f"for nothing; ignore_weights (--ignore-weights) says so, weights = edge_weights takes them",
            stacklevel=3,
        )
    return False


def _cut(edges: Edges, path: str, weighted: bool, undirected: bool, largest: bool) -> Edges:
    """As the options say; connected.

    Raises:
        ValueError: It is not, or an option has no effect.
    """
    if undirected:
        if not edges.directed:
            raise ValueError(f"undirected (--undirected) has no effect on {path}, whose edges all run both ways")
        edges = both_ways(edges, weighted)
    if largest:
        part = largest_component(edges)
        if part is None:
            raise ValueError(f"largest_component (--largest-component) has no effect on {path}, which is connected")
        return part
    fix = "largest_component (--largest-component) takes the largest"
    if edges.directed:
        fix += ", undirected (--undirected) lets edges run both ways"
    check_connected(edges.adjacency(), f"the graph in {path}", fix, edges.labels)
    return edges


def _topology(edges: Edges, weights: str | None, weighted: bool, name: str) -> Topology:
    lacking = (edges.weights != edges.weights).nonzero()[0]
    if weighted and len(lacking):
        raise ValueError(
            f"edge_weights needs the attribute 'weight' on every edge, and edge {edges.pair(int(lacking[0]))} has none"
        )
    return Topology.from_edges(
        edges.n,
        edges.senders,
        edges.receivers,
        weights,
        directed=bool(edges.directed),
        name=name,
        labels=edges.labels,
        edge_weights=edges.weights if weighted else None,
    )


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


def _of_size(topology: Topology, n: int | None, source: str) -> Topology:
    if n is not None and topology.n != n:
        raise ValueError(f"{source} has {topology.n} nodes, got n = {n}; nearest n is {topology.n}")
    return topology
