"""Time-varying topologies that are drawn in every round, without end. A round follows from its number and a seed."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from topologies.graphs import complete, count, grid, hypercube, path, ring, star, torus
from topologies.matrices import is_directed
from topologies.random_graphs import erdos_renyi, probability, random_regular
from topologies.topology import Schedule, Topology, valid_round

if TYPE_CHECKING:
    import networkx as nx
    from scipy.sparse import csr_array

SAMPLES = 500  # rounds whose mean stands for the expectation

BASES: dict[str, Callable[[int], Topology]] = {
    "complete": complete,
    "ring": ring,
    "path": path,
    "star": star,
    "torus": torus,
    "grid": grid,
    "hypercube": hypercube,
    "erdos_renyi": erdos_renyi,
    "random_regular": random_regular,
}


def base_graph_named(family: str, graph: str) -> Callable[[int], Topology]:
    """The family of base graphs of this name."""
    if graph not in BASES:
        raise ValueError(f"{family} knows no base graph {graph!r}, allowed are {', '.join(BASES)}")
    return BASES[graph]


class RandomSchedule(Schedule):
    """Rounds that are drawn one by one: subclasses say how in `draw`, and what may be linked in `_support`.

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

    def _support(self) -> csr_array:
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
    return RandomizedGossip(base_graph_named("randomized_gossip", graph)(n), seed)


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
        return half_and_half(partner)

    def _support(self) -> csr_array:
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
    return RandomMatchings(base_graph_named("random_matching", graph)(n), seed)


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

    def _support(self) -> csr_array:
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


class Dropout(RandomSchedule):
    """A base topology whose edges or nodes fail for whole rounds; their weight goes back to the nodes themselves.

        w_ij -> 0,    w_ii -> w_ii + w_ij,    w_jj -> w_jj + w_ij    for every edge {i, j} that is down

    which keeps W symmetric and doubly stochastic. A node that is down takes all its edges with it. Each edge or node is
    a Markov chain of two states of its own, good and bad (Gilbert-Elliott): from good to bad with probability `fail`,
    back with probability `repair`, and down with probability `loss` in the bad state. It starts in equilibrium. With
    repair = 1 - fail the rounds are independent (Bernoulli).

    The state of round t is found without the rounds before: from one uniform number u a round, a chain with
    fail + repair <= 1 turns bad whatever it was if u < fail, good if u >= 1 - repair, and else stays; so one goes back
    to the last round that decided it.

    Source: E. Gilbert, "Capacity of a burst-noise channel", Bell System Technical Journal 39, 1960; E. Elliott,
    "Estimates of error rates for codes on burst-noise channels", ibid. 42, 1963.

    Args:
        topology: with a symmetric mixing matrix.
        fail: probability in (0, 1] (0 for no failures).
        repair: probability in (0, 1].
        loss: probability in [0, 1].
        of: edges or nodes.
        seed: decides all draws.
        name: what reports call the schedule.

    Raises:
        ValueError: the topology varies with time or is not symmetric, or a parameter is out of range.
    """

    purpose = "drop-out"

    def __init__(
        self,
        topology: Topology,
        fail: float,
        repair: float,
        loss: float = 1.0,
        of: Literal["edges", "nodes"] = "edges",
        seed: int = 0,
        name: str = "dropout",
    ) -> None:
        if not isinstance(topology, Topology) or not topology.symmetric:
            raise ValueError(f"{name} needs a base topology that is static and symmetric, got {topology}")
        super().__init__(topology.n, seed, name)
        self.base = topology
        self.fail = probability(name, fail, "fail")
        self.repair = probability(name, repair, "repair")
        self.loss = probability(name, loss, "loss")
        if self.repair == 0:
            raise ValueError(f"{name} needs repair above 0, got {repair}")
        if of not in ("edges", "nodes"):
            raise ValueError(f"{name} drops edges or nodes, got {of!r}")
        self.of = of
        self._edges = edges_of(topology)

    def down(self, t: int) -> np.ndarray:
        """(edges,) or (n,): which fail in round t."""
        number = len(self._edges) if self.of == "edges" else self.n
        bad, known = np.zeros(number, bool), np.zeros(number, bool)
        flipped = np.zeros(number, bool)  # an odd number of times since; only where fail + repair > 1
        low, high = sorted((self.fail, 1 - self.repair))
        for s in range(t, 0, -1):
            u = self.generator(s).random(number)
            decided = ~known & ((u < low) | (u >= high))
            bad[decided] = (u < low)[decided] ^ flipped[decided]
            known |= decided
            if known.all():
                break
            if self.fail + self.repair > 1:
                flipped ^= ~known
        first = self.generator(0).random(number) < self.fail / (self.fail + self.repair)
        bad = np.where(known, bad, first ^ flipped)
        lost = bad & (self.generator(t).random(2 * number)[number:] < self.loss)
        return lost if self.of == "edges" else lost[self._edges].any(axis=1)

    def __getitem__(self, t: int) -> Topology:
        """The topology of round t = 0, 1, 2, ...

        Raises:
            IndexError: t is negative.
        """
        from scipy.sparse import csr_array, diags_array

        i, j = self._edges[~self.down(valid_round(t))].T
        kept = csr_array((np.ones(2 * len(i)), (np.append(i, j), np.append(j, i))), shape=(self.n, self.n))
        off = kept.multiply(self.base.matrix)
        W = csr_array(off + diags_array(1 - off.sum(axis=1)))
        return Topology.from_matrix(W, name=self.name, connected=False)

    def _support(self) -> csr_array:
        return self.base.matrix


def edge_dropout(n: int, graph: str = "ring", probability: float = 0.1, seed: int = 0) -> Dropout:
    """A fixed graph of which each edge fails in each round with the same probability, independently; without end.

    Args:
        n: number of nodes.
        graph: name of the base graph, with Metropolis weights.
        probability: that an edge fails in a round, below 1.
        seed: decides all draws.

    Raises:
        ValueError: a parameter is out of range, or there is no such base graph.
    """
    return _dropped("edge_dropout", n, graph, probability, 1 - probability, 1.0, "edges", seed)


def node_dropout(n: int, graph: str = "ring", probability: float = 0.1, seed: int = 0) -> Dropout:
    """A fixed graph of which each node loses all its edges in each round with the same probability; without end.

    Args:
        n: number of nodes.
        graph: name of the base graph, with Metropolis weights.
        probability: that a node fails in a round, below 1.
        seed: decides all draws.

    Raises:
        ValueError: a parameter is out of range, or there is no such base graph.
    """
    return _dropped("node_dropout", n, graph, probability, 1 - probability, 1.0, "nodes", seed)


def gilbert_elliott(
    n: int,
    graph: str = "ring",
    fail: float = 0.05,
    repair: float = 0.3,
    loss: float = 1.0,
    of: Literal["edges", "nodes"] = "edges",
    seed: int = 0,
) -> Dropout:
    """A fixed graph whose edges or nodes fail in bursts, by a chain of two states each; see `Dropout`. Without end.

    Args:
        n: number of nodes.
        graph: name of the base graph, with Metropolis weights.
        fail: probability of a round that something good turns bad.
        repair: probability of a round that something bad turns good, above 0; 1 / repair is the mean burst.
        loss: probability that something bad is down.
        of: edges or nodes.
        seed: decides all draws.

    Raises:
        ValueError: a parameter is out of range, or there is no such base graph.
    """
    return _dropped("gilbert_elliott", n, graph, fail, repair, loss, of, seed)


def _dropped(
    name: str, n: int, graph: str, fail: float, repair: float, loss: float, of: Literal["edges", "nodes"], seed: int
) -> Dropout:
    count(name, n)
    probability(name, fail)
    return Dropout(base_graph_named(name, graph)(n), fail, repair, loss, of, seed, name)


def undirected_base(what: str, topology: Topology | nx.Graph) -> Topology:
    """The static undirected base graph of a schedule, as a topology."""
    base = topology if isinstance(topology, Schedule) else Topology(topology)
    if not isinstance(base, Topology) or is_directed(base.matrix):
        raise ValueError(f"{what} needs a base graph that is undirected and static, got {base}")
    return base


def edges_of(topology: Topology) -> np.ndarray:
    """(edges, 2): the two ends of each edge of an undirected topology, the smaller first."""
    indptr, j, _ = topology.arrays
    i = np.repeat(np.arange(topology.n), np.diff(indptr))
    return np.stack([i[i < j], j[i < j]], axis=1)


def half_and_half(partner: np.ndarray) -> csr_array:
    """The matrix in which every node averages with its partner, or keeps what it has if that is itself."""
    from scipy.sparse import csr_array

    n = len(partner)
    rows, columns = np.tile(np.arange(n), 2), np.append(np.arange(n), partner)
    return csr_array((np.full(2 * n, 0.5), (rows, columns)), shape=(n, n))
