"""What is left of a topology when some of its nodes are gone: a valid one for the others."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from topologies.schedule import Schedule
from topologies.schedules.dropout import Dropout
from topologies.schedules.equi import EquiDyn
from topologies.schedules.matcha import Matcha
from topologies.schedules.random import RandomizedGossip, RandomMatchings, RandomRegular
from topologies.topology import Topology
from topologies.weights.rules import FILES, LAZY, WeightRule

if TYPE_CHECKING:
    import networkx as nx


def heal(topology: Schedule, survivors: Sequence[int]) -> Schedule:
    """The topology of these nodes alone, numbered 0, 1, ... in their order.

    Links between survivors stay. Where they no longer reach each other, components are joined by one link both ways
    between nodes of smallest degree, one link less than there are components; a tree stays a tree. Then the weights
    are computed anew by the rule that the topology was made with. Where weights were given, in a matrix or on edges,
    it is the rule that keeps what the matrix had: Metropolis weights if it is symmetric, else rows, or else columns,
    that sum to 1.

    What was doubly stochastic stays so: where the rule does not give that any more, as on a directed graph that has
    lost its balance, all links run both ways, with Metropolis weights.

    Args:
        topology: any schedule; each of its rounds is healed, and joined in its first round if need be.
        survivors: the numbers of the nodes that are left, ascending, at least one.

    Raises:
        ValueError: no survivor, or one that is not a node, or a schedule of its own kind that does not repeat.
    """
    kept = np.asarray(survivors, dtype=np.int64)
    if not len(kept) or (np.diff(kept) <= 0).any() or kept[0] < 0 or kept[-1] >= topology.n:
        raise ValueError(f"survivors are nodes 0..{topology.n - 1}, ascending, at least one; got {list(survivors)}")
    m, seed, name = len(kept), getattr(topology, "seed", 0), topology.name
    match topology:
        case RandomizedGossip() | RandomMatchings():
            return type(topology)(_static(topology.base, survivors), seed, name)
        case Matcha():
            return Matcha(_static(topology.base, survivors), topology.budget, seed)
        case Dropout():
            base = _static(topology.base, survivors)
            return Dropout(
                base, topology.fail, topology.repair, loss=topology.loss, of=topology.of, seed=seed, name=name
            )
        case RandomRegular():
            degree = min(topology.degree, m - 1)
            return RandomRegular(m, degree + m * degree % 2, seed)
        case EquiDyn():
            return EquiDyn(m, topology.undirected, topology.eta, seed)
    if topology.period is None:
        raise ValueError(f"{topology.name} never repeats: what is left of it when nodes are gone is not known")
    graphs = [_left(each, kept) for each in topology]
    _join(graphs)
    healed = _weighed(topology, graphs, [_rule(each, topology) for each in topology])
    if topology.doubly_stochastic and not healed.doubly_stochastic:
        undirected = [graph.to_undirected() for graph in graphs]
        healed = _weighed(topology, undirected, ["metropolis"] * len(graphs))
    return healed


def _static(topology: Topology, survivors: Sequence[int]) -> Topology:
    healed = heal(topology, survivors)
    assert isinstance(healed, Topology)  # as it was static before
    return healed


def _weighed(topology: Schedule, graphs: Sequence[nx.Graph], rules: Sequence[str | WeightRule]) -> Schedule:
    if len(graphs) == 1:
        return Topology(graphs[0], rules[0], name=topology.name)
    rounds = [Topology(graph, rule, connected=False) for graph, rule in zip(graphs, rules, strict=True)]
    return Schedule(rounds, topology.name)


def _left(topology: Topology, kept: np.ndarray) -> nx.Graph:
    """The graph of one round between the survivors, not frozen."""
    import networkx as nx

    numbers = {int(node): number for number, node in enumerate(kept)}
    left = nx.empty_graph(len(kept), create_using=type(topology.graph))
    left.add_edges_from((numbers[i], numbers[j]) for i, j in topology.graph.edges if i in numbers and j in numbers)
    return left


def _join(graphs: Sequence[nx.Graph]) -> None:
    """Link the components of the union of these graphs, in the first of them."""
    import networkx as nx

    directed = any(graph.is_directed() for graph in graphs)
    union = nx.compose_all([graph.to_directed() for graph in graphs] if directed else graphs)
    parts = nx.strongly_connected_components(union) if directed else nx.connected_components(union)
    ends = [min(part, key=lambda node: (union.degree[node], node)) for part in parts]
    ends.sort()
    for i, j in itertools.pairwise(ends):
        graphs[0].add_edge(i, j)
        if graphs[0].is_directed():
            graphs[0].add_edge(j, i)


def _rule(topology: Topology, schedule: Schedule) -> str | WeightRule:
    """How the weights of this round are to be made; all rounds keep what the schedule has."""
    rule = topology.rule
    given = isinstance(rule, str) and rule.removeprefix(LAZY).endswith(("edge_weights", *FILES))
    if rule is not None and not given:
        return rule
    if topology.symmetric and not topology.graph.is_directed():
        return "metropolis"
    return "uniform" if schedule.row_stochastic else "push"
