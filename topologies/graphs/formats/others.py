"""What networkx reads, with its input mended where other programs write it otherwise."""

from __future__ import annotations

import io
import json
import re
import warnings

from topologies.graphs.formats.edges import Edges, from_networkx
from topologies.graphs.formats.source import Source

GML_GRAPH = re.compile(r"(^|\n)(\s*graph\s*\[)", re.IGNORECASE)


def read_graphml(source: Source) -> Edges:
    """GraphML; of several graphs the first."""
    import networkx as nx

    return from_networkx(nx.read_graphml(io.BytesIO(source.data)))


def read_gexf(source: Source) -> Edges:
    """GEXF."""
    import networkx as nx

    return from_networkx(nx.read_gexf(io.BytesIO(source.data)))


def read_gml(source: Source) -> Edges:
    """GML, the nodes by their labels, or by their ids where some have none or the same; parallel edges are allowed."""
    import networkx as nx

    text = re.sub(r"(?m)^(\s*)multigraph\s+[01]", r"\1", source.text)
    lines = GML_GRAPH.sub(r"\1\2 multigraph 1 ", text, count=1).split("\n")
    try:
        graph = nx.parse_gml(lines)
    except nx.NetworkXError:
        graph = nx.parse_gml(lines, label="id")
    return from_networkx(graph)


def read_json(source: Source) -> Edges:
    """Node-link data; nodes without ids are called by their places, as in early versions of D3."""
    import networkx as nx

    data = json.loads(source.text)
    links = next((key for key in ("links", "edges") if isinstance(data, dict) and key in data), None)
    if links is None or not isinstance(data.get("nodes"), list):
        raise ValueError('it needs lists "nodes" and "links" or "edges"')
    nodes = [node if isinstance(node, dict) else {"id": node} for node in data["nodes"]]
    if not any("id" in node for node in nodes):
        nodes = [node | {"id": place} for place, node in enumerate(nodes)]
    edges = [{key: value for key, value in edge.items() if key != "key"} for edge in data[links]]
    for number, edge in enumerate(edges):
        if not {"source", "target"} <= edge.keys():
            raise ValueError(f'"{links}" number {number} has no "source" or no "target"')
    graph = nx.node_link_graph(data | {"nodes": nodes, links: edges, "multigraph": True}, edges=links)
    if len(graph) > len(nodes):
        stranger = next(iter(set(graph) - set(list(graph)[: len(nodes)])))
        raise ValueError(f'"{links}" has {stranger!r}, which is none of "nodes"')
    return from_networkx(graph)


def read_adjlist(source: Source) -> Edges:
    """A node and its neighbours a line."""
    import networkx as nx

    lines = [line for line in source.lines if not line.lstrip().startswith("%")]
    return from_networkx(nx.parse_adjlist(lines))


def read_graph6(source: Source) -> Edges:
    """graph6; of several graphs the first."""
    import networkx as nx

    return from_networkx(nx.from_graph6_bytes(_first(source, b">>graph6<<")))


def read_sparse6(source: Source) -> Edges:
    """sparse6; of several graphs the first."""
    import networkx as nx

    return from_networkx(nx.from_sparse6_bytes(_first(source, b">>sparse6<<")))


def _first(source: Source, header: bytes) -> bytes:
    lines = [line.strip().removeprefix(header) for line in source.text.encode().splitlines()]
    lines = [line for line in lines if line]
    if not lines:
        raise ValueError("it is empty")
    if len(lines) > 1:
        warnings.warn(f"{source.path} holds {len(lines)} graphs, of which the first is read", stacklevel=2)
    return lines[0]
