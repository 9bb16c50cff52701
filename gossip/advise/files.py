"""Files of simulated networks, as `SimulatedNetwork.of` reads them."""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path
from typing import Any

import networkx as nx
import yaml

from gossip.network import SimulatedNetwork
from gossip.network.simulation.compute import PAIRS, Trace
from gossip.network.simulation.graph import LinkGraph


def write_network(network: SimulatedNetwork, file: Path) -> None:
    """Write it in YAML, with a graph and a trace in files beside it that have the same name and endings of their own.

    Raises:
        OSError: They cannot be written.
    """
    compute = _given(network.compute) | {"slow": dict(network.compute.slow)}
    kept: dict[str, Any] = {"levels": [_given(level) for level in network.levels]}
    if network.graph is not None:
        kept = {"graph": file.with_suffix(".graphml").name}
        _write_graph(network.graph, file.with_suffix(".graphml"))
    if network.compute.trace is not None:
        compute = {"trace": file.with_suffix(".csv").name, "slow": compute["slow"]}
        _write_trace(network.compute.trace, file.with_suffix(".csv"))
    failures = _given(network.failures) | {"outages": [_given(outage) for outage in network.failures.outages]}
    if network.host is not None:
        kept["host"] = _given(network.host)
    kept |= {"compute": compute, "failures": failures, "sums": network.sums}
    file.write_text(yaml.safe_dump(kept, sort_keys=False), encoding="utf-8")


def _write_graph(graph: LinkGraph, file: Path) -> None:
    kept: nx.Graph = nx.DiGraph() if graph.directed else nx.Graph()
    kept.add_nodes_from(graph.nodes, kind="node")
    for link in graph.links:
        for end in (link.source, link.target):
            if end not in kept:
                kept.add_node(end, kind="switch")  # which hosts do not differ from but in name
        about = link._asdict()
        kept.add_edge(about.pop("source"), about.pop("target"), **about)
    nx.write_graphml(kept, file)


def _write_trace(trace: Trace, file: Path) -> None:
    with file.open("w", encoding="utf-8", newline="") as lines:
        rows = ((node, float(each)) for node, seconds in enumerate(trace.seconds) for each in seconds)
        csv.writer(lines).writerows([PAIRS, *rows])


def _given(part: Any) -> dict[str, Any]:
    kept = asdict(part)
    return {key: list(value) if isinstance(value, tuple) else value for key, value in kept.items() if value is not None}
