"""Who talks to whom and with what weight: `Topology`.

networkx and scipy are imported inside the functions that need them: a Topology is unpickled on every MPI rank, and
a rank that only mixes needs the arrays of the matrix alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from topologies.matrices import (
    SYMMETRIC_TOLERANCE,
    Arrays,
    as_csr,
    check_connected,
    check_sums,
    is_directed,
    read_only,
)
from topologies.schedule import Schedule, kind_of, valid_round
from topologies.weights.rules import WeightRule
from topologies.weights.weighing import weigh, weigh_graph

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class Topology(Schedule):
    """A communication graph with its mixing matrix W: the static schedule, in which every round is this one.

    Row i of W holds the weights that node i gives to itself and to its in-neighbours, so one round of gossip
    is x <- W x. In a directed graph an edge (j, i) means that j sends to i, and w_ij may be non-zero.
    Rows that sum to 1 make each node average what it hears. Columns that sum to 1 make each node split what it
    has among those it sends to, which keeps the total, as push-sum methods need.

    Args:
        graph_or_matrix: a networkx Graph or DiGraph, or W itself as a square dense, sparse or nested-list
            matrix. Nodes may have any labels; they are numbered 0..n-1 in the order of `graph.nodes`.
            Self-loops and edge attributes are ignored by the rules of `WEIGHTS`, but for "edge_weights".
        weights: how a graph becomes a matrix: a name as `topologies.weights.rules.find` knows them, or a function that
            takes the graph (nodes renumbered 0..n-1, no self-loops) and returns W. By default "metropolis" for an
            undirected graph and "uniform" for a directed one, whose rows sum to 1; "push" makes the columns do so.
            A matrix holds its weights already and takes no rule.
        name: what reports call the topology; by default the graph's own name, or "custom".
        connected: check that the graph is strongly connected. False is for the single rounds of a `Schedule`.

    Attributes:
        n: number of nodes.
        matrix: W, an (n, n) `scipy.sparse.csr_array` of float64 and int32, with sorted indices, without
            explicit zeros; its arrays are read-only. Weights may be negative (as the fastest linear averaging
            needs).
        arrays: the same as `Arrays`, which takes no scipy.
        labels: the graph's own node labels in the order of the node numbers; None if they are 0..n-1. Runs keep them in
            their directory, as nodes.csv.
        rule: the weight rule; None for a matrix. A function is not kept where the topology is pickled.
        name: what reports call it.
        symmetric: whether W equals its transpose (to 1e-12).
        row_stochastic: whether the rows of W sum to 1 (to 1e-9).
        column_stochastic: whether the columns of W sum to 1 (to 1e-9).
        static: True.

    Raises:
        ValueError: not a simple graph or a square real finite matrix; no node; an unknown rule, or one that
            does not work on this kind of graph; neither rows nor columns that sum to 1; weights off the
            graph's edges; a graph that is not strongly connected.
    """

    static: ClassVar[bool] = True

    arrays: Arrays
    labels: tuple[Any, ...] | None
    rule: str | WeightRule | None = None

    def __init__(
        self,
        graph_or_matrix: Any,
        weights: str | WeightRule | None = None,
        *,
        name: str | None = None,
        connected: bool = True,
    ) -> None:
        self.labels = None
        if hasattr(graph_or_matrix, "is_multigraph"):  # a networkx graph, recognised without importing networkx
            self.rule = weights or ("uniform" if graph_or_matrix.is_directed() else "metropolis")
            matrix = weigh_graph(graph_or_matrix, self.rule)
            labels = tuple(graph_or_matrix.nodes)
            if labels != tuple(range(len(labels))):
                self.labels = labels
            name = name or graph_or_matrix.name
        elif weights is None:
            matrix = as_csr(graph_or_matrix)
        else:
            raise ValueError("weights go with a graph; a matrix holds its weights already, so leave them out")
        self.row_stochastic, self.column_stochastic = check_sums(matrix)
        if connected:
            check_connected(matrix, "the graph", "add edges between the components", self.labels)
        self.n = matrix.shape[0]
        self.name = name or "custom"
        self.arrays = read_only(Arrays(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), matrix.data))
        self.symmetric = bool(abs(matrix - matrix.T).max() <= SYMMETRIC_TOLERANCE)

    @classmethod
    def pair(cls, n: int, i: int, j: int, name: str = "pair") -> Topology:
        """n nodes of which i and j, if they are not the same one, average half and half and the others do nothing.

        Made without scipy and in O(n), for schedules that draw a pair each round.
        """
        counts = np.ones(n, dtype=np.int64)
        counts[[i, j]] = 1 + (i != j)
        indptr = np.concatenate([[0], np.cumsum(counts)])
        indices = np.repeat(np.arange(n), counts)
        for node in {i, j}:
            indices[indptr[node] : indptr[node + 1]] = sorted({i, j})
        topology = cls.__new__(cls)
        topology.n, topology.name, topology.labels = n, name, None
        topology.arrays = read_only(Arrays(indptr, indices, 1 / np.repeat(counts, counts)))
        topology.symmetric = topology.row_stochastic = topology.column_stochastic = True
        return topology

    @classmethod
    def from_edges(
        cls,
        n: int,
        senders: np.ndarray,
        receivers: np.ndarray,
        weights: str | WeightRule | None = None,
        *,
        directed: bool = False,
        name: str | None = None,
        connected: bool = True,
        labels: Sequence[Any] | None = None,
        edge_weights: np.ndarray | None = None,
    ) -> Topology:
        """The topology of a list of edges, without networkx: for graphs of millions of nodes.

        Args:
            n: number of nodes.
            senders: (edges,) ints, one end of each edge; edges that are there twice count once, loops not at all.
            receivers: (edges,) ints, the other end.
            weights: as for `Topology`; a function gets the (n, n) adjacency matrix as a csr_array.
            directed: whether an edge runs from its sender to its receiver only.
            name: what reports call the topology.
            connected: check that the graph is strongly connected; see `Topology`.
            labels: (n,) what the nodes are called elsewhere, kept as `Topology.labels`.
            edge_weights: (edges,) for the rule "edge_weights"; those of edges that are there twice add up.

        Raises:
            ValueError: as for `Topology`.
        """
        from scipy.sparse import csr_array

        apart = senders != receivers
        ends = receivers[apart], senders[apart]
        if not directed:
            ends = np.concatenate([ends[0], ends[1]]), np.concatenate([ends[1], ends[0]])
        adjacency = csr_array((np.ones(len(ends[0])), ends), shape=(n, n))  # sums what is there twice
        adjacency.data[:] = 1
        graph = adjacency
        if edge_weights is not None:
            given = edge_weights[apart] if directed else np.tile(edge_weights[apart], 2)
            graph = csr_array((given, ends), shape=(n, n))
        rule = weights or ("uniform" if directed else "metropolis")
        topology = cls(weigh(graph, adjacency, rule), name=name, connected=False)
        topology.rule = rule
        if labels is not None and tuple(labels) != tuple(range(n)):
            topology.labels = tuple(labels)
        if connected:
            check_connected(topology.matrix, "the graph", "add edges between the components", topology.labels)
        return topology

    @classmethod
    def from_matrix(cls, matrix: Any, *, name: str | None = None, connected: bool = True) -> Topology:
        """The topology of a mixing matrix W: nodes i and j are linked where w_ij is not zero.

        Args:
            matrix: W, (n, n), its rows or its columns summing to 1; dense, sparse or nested lists.
            name: what reports call the topology.
            connected: check that the graph is strongly connected; see `Topology`.

        Raises:
            ValueError: as for `Topology`.
        """
        return cls(matrix, name=name, connected=connected)

    def __getitem__(self, t: int) -> Topology:
        """This topology, whatever the round t = 0, 1, 2, ...

        Raises:
            IndexError: t is negative.
        """
        valid_round(t)
        return self

    @property
    def period(self) -> int:
        """1."""
        return 1

    @property
    def tree(self) -> bool:
        """Whether the graph is undirected, connected, and without cycles."""
        from scipy.sparse.csgraph import connected_components

        links = int(self.in_degrees.sum())
        if links != 2 * (self.n - 1) or is_directed(self.matrix):
            return False
        return bool(connected_components(self.matrix, directed=False, return_labels=False) == 1)

    @cached_property
    def matrix(self) -> csr_array:
        """W, made when it is first asked for."""
        from scipy.sparse import csr_array

        indptr, indices, data = self.arrays
        narrow = read_only(Arrays(indptr.astype(np.int32), indices.astype(np.int32), data))
        return csr_array((data, narrow.indices, narrow.indptr), shape=(self.n, self.n))

    @property
    def in_degrees(self) -> np.ndarray:
        """(n,) ints: how many other nodes each node hears from."""
        degrees: np.ndarray = np.diff(self.matrix.indptr) - (self.matrix.diagonal() != 0)
        return degrees

    @property
    def out_degrees(self) -> np.ndarray:
        """(n,) ints: how many other nodes each node sends to."""
        uses = np.bincount(self.matrix.indices, minlength=self.n)
        degrees: np.ndarray = uses - (self.matrix.diagonal() != 0)
        return degrees

    def neighbors(self, i: int) -> np.ndarray:
        """The in-neighbours of node i, that is whom it hears from: ascending ints without i itself.

        Raises:
            IndexError: i is not one of 0..n-1.
        """
        if not 0 <= i < self.n:
            raise IndexError(f"node {i} does not exist, nodes are 0..{self.n - 1}")
        senders: np.ndarray = self.matrix.indices[self.matrix.indptr[i] : self.matrix.indptr[i + 1]]
        others: np.ndarray = senders[senders != i]
        return others

    def support(self) -> csr_array:
        """W itself, (n, n)."""
        return self.matrix

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"rule": self.rule if isinstance(self.rule, str) else None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        read_only(self.arrays)  # pickle does not keep the flag

    def __repr__(self) -> str:
        links = int(self.in_degrees.sum())
        edges = f"directed edges={links}" if is_directed(self.matrix) else f"edges={links // 2}"
        return f"Topology({self.name!r}, nodes={self.n}, {edges}, {kind_of(self)})"
