"""Time-varying topologies that are drawn in every round, without end. A round follows from its number and a seed."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from topologies.graphs.arguments import count
from topologies.matrices import pairwise_average
from topologies.schedule import Schedule, valid_round
from topologies.schedules.bases import base_graph_by_name, edges_of, undirected_base
from topologies.topology import Topology

if TYPE_CHECKING:
    import networkx as nx
    from scipy.sparse import csr_array

__all__ = [
    "RandomMatchings",
    "RandomRegular",
    "RandomSchedule",
    "RandomizedGossip",
    "random_matching",
    "random_regular_rounds",
    "randomized_gossip",
]

SAMPLES = 500  # rounds whose mean stands for the expectation


class RandomSchedule(Schedule):
    """Rounds that are drawn one by one: subclasses say how in `draw`, and what may be linked in `support`.

    Args:
        n: number of nodes.
        seed: decides all draws.
        name: what reports call it.
        symmetric: whether the matrix of every round is.

    Raises:
        ValueError: the seed is not a whole number >= 0.
    """

    purpose: ClassVar[str]  # keeps the draws apart from others of the same seed

    def __init__(self, n: int, seed: int, name: str, symmetric: bool = True) -> None:
        self.n = n
        self.seed = count(name, seed, "seed", 0)
        self.name = name
        self.symmetric = symmetric
        self.row_stochastic = self.column_stochastic = True

    def draw(self, random: np.random.Generator) -> Any:
        """The mixing matrix of one round, doubly stochastic, or its `Topology`."""
        raise NotImplementedError

    def generator(self, t: int) -> np.random.Generator:
        """What the draws of round t are made with."""
        return np.random.default_rng([zlib.crc32(self.purpose.encode()), self.seed, t])

    def __getitem__(self, t: int) -> Topology:
        """The topology of round t = 0, 1, 2, ...

        Raises:
            IndexError: t is negative.
        """
        drawn = self.draw(self.generator(valid_round(t)))
        if isinstance(drawn, Topology):
            return drawn
        return Topology.from_matrix(drawn, name=self.name, connected=False)

    @property
    def period(self) -> None:
        """None: it never repeats."""
        return None

    def second_moment(self) -> Any:
        """E[W^T W], (n, n): its second largest eigenvalue bounds how E|x - average|^2 shrinks in a round.

        Here the mean over the first 500 rounds; exact where a subclass knows it.
        """
        rounds = (self[t].matrix for t in range(SAMPLES))
        return sum((W.T @ W for W in rounds), start=0) / SAMPLES

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, nodes={self.n}, seed={self.seed})"


class RandomizedGossip(RandomSchedule):
    """In each round one random node wakes and averages half and half with one random neighbour; without end.

    In round t = 0, 1, 2, ... node i is uniform over all nodes and j over the neighbours of i, and

        w_ii = w_ij = w_ji = w_jj = 1/2,    w_kk = 1 for all other k

    Two messages a round, on the one pair. A round follows from the seed and t alone, and no round is kept.
    Every W is a projection, so that E|x - average|^2 shrinks by lambda_2(E[W]) per round or faster.

    Source: S. Boyd, A. Ghosh, B. Prabhakar, D. Shah, "Randomized gossip algorithms", IEEE Trans. Information
    Theory 52(6), 2006, with equal probabilities of all neighbours.

    Args:
        topology: the base graph, whose edges are the possible pairs, as an undirected `Topology` (whose weights
            do not matter) or a networkx graph.
        seed: decides all draws.
        name: what reports call the schedule.

    Raises:
        ValueError: the base graph varies with time or is directed, or the seed is not a whole number >= 0.
    """

    purpose = "randomized gossip"

    def __init__(self, topology: Topology | nx.Graph, seed: int = 0, name: str = "randomized_gossip") -> None:
        self.base = undirected_base("randomized gossip", topology)
        super().__init__(self.base.n, seed, name)

    def draw(self, random: np.random.Generator) -> Topology:
        """One pair."""
        i = int(random.integers(self.n))
        indptr, indices, _ = self.base.arrays
        others = indices[indptr[i] : indptr[i + 1]]
        others = others[others != i]
        j = int(random.choice(others)) if len(others) else i
        return Topology.pair(self.n, i, j, self.name)

    @property
    def mean(self) -> Topology:
        """E[W], the expected mixing matrix: (1/n) (1/d_i + 1/d_j) / 2 on each edge, d the numbers of neighbours."""
        from scipy.sparse import coo_array, diags_array

        entries = coo_array(self.base.matrix)
        i, j = (each[entries.row != entries.col] for each in (entries.row, entries.col))
        picks = 1 / (2 * self.n * np.maximum(self.base.in_degrees, 1))
        pairs = coo_array((picks[i] + picks[j], (i, j)), shape=entries.shape)
        return Topology.from_matrix(pairs + diags_array(1 - pairs.sum(axis=1)), name=self.name)

    def second_moment(self) -> csr_array:
        """E[W^T W] = E[W], each W being a projection."""
        return self.mean.matrix

    def support(self) -> csr_array:
        """The base graph's W, (n, n): its edges are all that can be there."""
        return self.base.matrix

    def __repr__(self) -> str:
        return f"RandomizedGossip({self.base!r}, seed={self.seed})"


def randomized_gossip(n: int, graph: str = "complete", seed: int = 0) -> RandomizedGossip:
    """Randomized gossip: in each round one random node averages half and half with one random neighbour.

    See `RandomizedGossip`, which takes any base graph. On the complete graph E|x - average|^2 shrinks by
    1 - 1 / (n - 1) per round.

    Args:
        n: number of nodes.
        graph: name of the base graph: complete, ring, path, star, torus, grid, hypercube, erdos_renyi or
            random_regular, with its default options.
        seed: decides all draws.

    Raises:
        ValueError: n is not a positive whole number, or there is no such base graph.
    """
    count("randomized_gossip", n)
    return RandomizedGossip(base_graph_by_name("randomized_gossip", graph)(n), seed)


class RandomMatchings(RandomSchedule):
    """In each round a random maximal matching of a base graph, whose pairs average half and half.

    The edges are gone through in random order, and each is taken whose ends are both free.

    Args:
        topology: the base graph, undirected: a `Topology` or a networkx graph.
        seed: decides all draws.
        name: what reports call the schedule.

    Raises:
        ValueError: the base graph varies with time or is directed, or the seed is not a whole number >= 0.
    """

    purpose = "random matchings"

    def __init__(self, topology: Topology | nx.Graph, seed: int = 0, name: str = "random_matching") -> None:
        self.base = undirected_base("random matchings", topology)
        super().__init__(self.base.n, seed, name)
        self._edges = edges_of(self.base)

    def draw(self, random: np.random.Generator) -> Any:
        """The matrix of one round."""
        partner = np.arange(self.n)
        for i, j in random.permutation(self._edges).tolist():
            if partner[i] == i and partner[j] == j:
                partner[i], partner[j] = j, i
        return pairwise_average(partner)

    def support(self) -> csr_array:
        """The base graph's W, (n, n): its edges are all that can be there."""
        return self.base.matrix


def random_matching(n: int, graph: str = "complete", seed: int = 0) -> RandomMatchings:
    """Random matchings: in each round random pairs of neighbours, as many as fit, average half and half.

    Args:
        n: number of nodes.
        graph: name of the base graph: complete, ring, path, star, torus, grid, hypercube, erdos_renyi or
            random_regular, with its default options.
        seed: decides all draws.

    Raises:
        ValueError: n is not a positive whole number, or there is no such base graph.
    """
    count("random_matching", n)
    return RandomMatchings(base_graph_by_name("random_matching", graph)(n), seed)


class RandomRegular(RandomSchedule):
    """In each round another random regular graph with equal weights 1 / (degree + 1); a round alone may fall apart.

    Source: M. de Vos, S. Farhadkhani, R. Guerraoui, A.-M. Kermarrec, R. Pires, R. Sharma, "Epidemic learning: boosting
    decentralized learning with randomized communication", NeurIPS 2023, arXiv 2310.01972 (EL-Oracle).

    Args:
        n: number of nodes; n * degree must be even.
        degree: number of neighbours, below n.
        seed: decides all draws.

    Raises:
        ValueError: a parameter is out of range.
    """

    purpose = "random regular"

    def __init__(self, n: int, degree: int, seed: int) -> None:
        least = min(1, count("random_regular_rounds", n) - 1)
        count("random_regular_rounds", degree, "degree", least)
        if degree >= n or n * degree % 2:
            raise ValueError(
                f"random_regular_rounds needs a degree below n with n * degree even, got n = {n} and degree = "
                f"{degree}; nearest n is {max(n, degree + 1) + (max(n, degree + 1) * degree) % 2}"
            )
        super().__init__(n, seed, "random_regular_rounds")
        self.degree = degree

    def draw(self, random: np.random.Generator) -> Any:
        """The matrix of one round."""
        import networkx as nx
        from scipy.sparse import csr_array, eye_array

        graph = nx.random_regular_graph(self.degree, self.n, seed=random)
        i, j = np.array(graph.edges, dtype=np.int64).reshape(-1, 2).T
        ends = np.append(i, j), np.append(j, i)
        adjacency = csr_array((np.ones(len(ends[0])), ends), shape=(self.n, self.n))
        return (adjacency + eye_array(self.n)) / (self.degree + 1)

    def support(self) -> csr_array:
        """(n, n) of ones: any two nodes may be linked in some round."""
        from scipy.sparse import csr_array

        return csr_array(np.ones((self.n, self.n)))


def random_regular_rounds(n: int, degree: int | None = None, seed: int = 0) -> RandomRegular:
    """In each round another random regular graph with equal weights, which need not be connected; without end.

    Args:
        n: number of nodes; n * degree must be even.
        degree: number of neighbours of every node, below n; by default 2, or n - 1 for one or two nodes.
        seed: decides all draws.

    Raises:
        ValueError: a parameter is out of range.
    """
    return RandomRegular(n, min(2, count("random_regular_rounds", n) - 1) if degree is None else degree, seed)
