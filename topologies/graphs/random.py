"""Random graphs, drawn from their seed until connected.

Up to 20,000 nodes networkx draws them. Above, where it takes minutes and gigabytes, the same distributions are drawn
here in arrays (random regular graphs by the pairing model with switched pairs, uniform in the limit).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from topologies.graphs.arguments import count, probability
from topologies.topology import Topology

if TYPE_CHECKING:
    import networkx as nx

__all__ = [
    "barabasi_albert",
    "erdos_renyi",
    "random_geometric",
    "random_out",
    "random_regular",
    "stochastic_block",
    "watts_strogatz",
]

DRAWS = 1000  # of a random graph, until one is connected
LARGE = 20_000  # nodes
MOST_EDGES = 200_000_000  # what a machine holds, with room for what is made of them

Ends = tuple[np.ndarray, np.ndarray]


def erdos_renyi(n: int, probability: float | None = None, seed: int = 0, weights: str = "metropolis") -> Topology:
    """Erdos-Renyi random graph: every pair is linked with the same probability, drawn again until connected.

    Source: P. Erdos, A. Renyi, "On random graphs I", Publicationes Mathematicae 6, 1959; this form is E. Gilbert's,
    "Random graphs", Annals of Mathematical Statistics 30, 1959.

    Args:
        n: number of nodes.
        probability: of each edge, between 0 and 1; well above ln(n) / n nearly every draw is connected. By default
            twice that, and at most 0.3.
        seed: seed of the first draw; the next draws take seed + 1, seed + 2, ...
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n, probability or seed is out of range, no draw of 1000 was connected, or the weight rule
            is unknown.
    """
    import networkx as nx

    count("erdos_renyi", n)
    if probability is None:
        probability = min(2 * math.log(n) / n, 0.3) if n > 2 else 0.3
    if not 0 <= probability <= 1:
        raise ValueError(f"erdos_renyi needs a probability between 0 and 1, got {probability}")
    fix = f"{n} nodes need a probability of about {math.log(n) / n:.2g} or more, got {probability:.2g}"
    edges = probability * n * (n - 1) / 2
    if edges > MOST_EDGES:
        raise ValueError(f"erdos_renyi would have about {edges:.2g} edges, more than {MOST_EDGES:.0e}; {fix}")
    if n > LARGE:
        return _connected_edges(
            lambda random: random_pairs(n, probability, random), n, weights, "erdos_renyi", seed, fix
        )
    graph = connected_draw(lambda seed: nx.fast_gnp_random_graph(n, probability, seed=seed), "erdos_renyi", seed, fix)
    return Topology(graph, weights, name="erdos_renyi")


def random_regular(n: int, degree: int = 4, seed: int = 0, weights: str = "metropolis") -> Topology:
    """Random regular graph: every node has the same number of neighbours; drawn again until connected.

    An expander with high probability: as n grows, the Metropolis spectral gap tends to
    1 - (1 + 2 sqrt(degree - 1)) / (degree + 1).

    Source: J. Friedman, "A proof of Alon's second eigenvalue conjecture", STOC 2003.

    Args:
        n: number of nodes; n * degree must be even.
        degree: number of neighbours of every node, from 2 to n - 1 (0 for one node, 1 for two).
        seed: seed of the first draw; the next draws take seed + 1, seed + 2, ...
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n, degree or seed is out of range, no draw of 1000 was connected, or the weight rule is
            unknown.
    """
    import networkx as nx

    smallest = min(2, count("random_regular", n) - 1)
    count("random_regular", degree, "degree", smallest)
    if degree >= n or n * degree % 2:
        raise ValueError(
            f"random_regular needs a degree from {smallest} to n - 1 with n * degree even, got n = {n} and "
            f"degree = {degree}"
        )

    fix = f"raise the degree above {degree}"
    if n > LARGE:
        return _connected_edges(
            lambda random: random_pairing(n, degree, random), n, weights, "random_regular", seed, fix
        )

    def draw(seed: int) -> nx.Graph:
        graph = nx.empty_graph(n)  # the generator alone would number the nodes in the order of its edges
        graph.add_edges_from(nx.random_regular_graph(degree, n, seed=seed).edges)
        return graph

    graph = connected_draw(draw, "random_regular", seed, fix)
    return Topology(graph, weights, name="random_regular")


def random_out(n: int, degree: int | None = None, seed: int = 0, weights: str = "push") -> Topology:
    """Random directed graph: every node sends to the same number of others, drawn again until strongly connected.

    How many nodes one hears from differs, so that with "push" weights the columns of W sum to 1 and the rows do
    not: for push-sum methods. With "uniform" weights it is the other way round.

    Args:
        n: number of nodes.
        degree: how many others each node sends to, from 1 to n - 1 (0 for one node). By default 2 up to 32 nodes, and
            above ln(n), rounded up, with which every node hears somebody in a third of all draws.
        seed: seed of the first draw; the next draws take seed + 1, seed + 2, ...
        weights: weight rule, "push" or "uniform".

    Raises:
        ValueError: n, degree or seed is out of range, no draw of 1000 was strongly connected, or the weight rule
            is unknown.
    """
    import networkx as nx

    smallest = min(1, count("random_out", n) - 1)
    if degree is None:
        degree = min(2, n - 1) if n <= 32 else math.ceil(math.log(n))
    count("random_out", degree, "degree", smallest)
    if degree >= n:
        raise ValueError(f"random_out needs a degree from {smallest} to n - 1, got n = {n} and degree = {degree}")

    def draw(seed: int) -> nx.DiGraph:
        random = np.random.default_rng(seed)
        graph = nx.empty_graph(n, create_using=nx.DiGraph)
        for i in range(n):
            others = random.choice(n - 1, size=degree, replace=False)
            graph.add_edges_from((i, int(j + (j >= i))) for j in others)
        return graph

    graph = connected_draw(draw, "random_out", seed, f"raise the degree above {degree}")
    return Topology(graph, weights, name="random_out")


def watts_strogatz(
    n: int, degree: int = 4, rewiring: float = 0.3, seed: int = 0, weights: str = "metropolis"
) -> Topology:
    """Small world: a ring where each node is linked to its nearest, each edge moved with some probability; connected.

    Source: D. Watts, S. Strogatz, "Collective dynamics of small-world networks", Nature 393, 1998.

    Args:
        n: number of nodes, more than the degree.
        degree: neighbours in the ring, an even number of at least 2.
        rewiring: probability that an edge is moved, between 0 and 1.
        seed: decides the draws.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n, degree, rewiring or seed is out of range, or the weight rule is unknown.
    """
    import networkx as nx

    count("watts_strogatz", n)
    count("watts_strogatz", degree, "degree", 2)
    if degree % 2 or degree >= n:
        raise ValueError(
            f"watts_strogatz needs an even degree below n, got n = {n} and degree = {degree}; nearest n is {degree + 1}"
        )
    probability("watts_strogatz", rewiring, "rewiring")
    graph = connected_draw(
        lambda each: nx.watts_strogatz_graph(n, degree, rewiring, seed=each),
        "watts_strogatz", seed, f"raise the degree above {degree}",
    )  # fmt: skip
    return Topology(graph, weights, name="watts_strogatz")


def barabasi_albert(n: int, links: int = 2, seed: int = 0, weights: str = "metropolis") -> Topology:
    """Preferential attachment: each new node is linked to some older ones, the likelier the more links these have.

    Source: A.-L. Barabasi, R. Albert, "Emergence of scaling in random networks", Science 286, 1999.

    Args:
        n: number of nodes, more than the links.
        links: of each new node.
        seed: decides the draws.
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n, links or seed is out of range, or the weight rule is unknown.
    """
    import networkx as nx

    count("barabasi_albert", n)
    count("barabasi_albert", links, "links")
    count("barabasi_albert", seed, "seed", 0)
    if links >= n:
        raise ValueError(
            f"barabasi_albert needs more nodes than links, got n = {n} and links = {links}; nearest n is {links + 1}"
        )
    return Topology(nx.barabasi_albert_graph(n, links, seed=seed), weights, name="barabasi_albert")


def random_geometric(n: int, radius: float | None = None, seed: int = 0, weights: str = "metropolis") -> Topology:
    """Random geometric graph: nodes anywhere in the unit square, linked if they are near; drawn until connected.

    Source: E. Gilbert, "Random plane networks", Journal of the SIAM 9(4), 1961.

    Args:
        n: number of nodes.
        radius: up to which two are linked; by default sqrt(2 ln(n) / (pi n)), or sqrt(2) for one or two nodes.
        seed: seed of the first draw; the next draws take seed + 1, seed + 2, ...
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: n, radius or seed is out of range, no draw of 1000 was connected, or the weight rule is unknown.
    """
    import networkx as nx

    count("random_geometric", n)
    if radius is None:
        radius = math.sqrt(2 * math.log(n) / (math.pi * n)) if n > 2 else math.sqrt(2)
    if not radius > 0:
        raise ValueError(f"random_geometric needs a radius above 0, got {radius}")
    graph = connected_draw(
        lambda each: nx.random_geometric_graph(n, radius, seed=each),
        "random_geometric", seed, f"raise the radius above {radius:.3g}",
    )  # fmt: skip
    return Topology(graph, weights, name="random_geometric")


def stochastic_block(
    n: int, blocks: int = 2, inside: float = 0.6, between: float = 0.1, seed: int = 0, weights: str = "metropolis"
) -> Topology:
    """Communities of equal size with many links inside and few between; drawn until connected.

    Source: P. Holland, K. Laskey, S. Leinhardt, "Stochastic blockmodels: first steps", Social Networks 5, 1983.

    Args:
        n: number of nodes; the sizes of the blocks differ by at most one.
        blocks: how many, at most n.
        inside: probability of an edge inside of a block.
        between: probability of an edge between two blocks.
        seed: seed of the first draw; the next draws take seed + 1, seed + 2, ...
        weights: weight rule; `topologies.weights.rules.find` knows them.

    Raises:
        ValueError: a parameter is out of range, no draw of 1000 was connected, or the weight rule is unknown.
    """
    import networkx as nx

    count("stochastic_block", n)
    if count("stochastic_block", blocks, "blocks") > n:
        raise ValueError(
            f"stochastic_block needs at most n blocks, got n = {n} and blocks = {blocks}; nearest n is {blocks}"
        )
    for name, value in (("inside", inside), ("between", between)):
        probability("stochastic_block", value, name)
    sizes = [(b + 1) * n // blocks - b * n // blocks for b in range(blocks)]
    rates = [[inside if a == b else between for a in range(blocks)] for b in range(blocks)]
    graph = connected_draw(
        lambda each: nx.stochastic_block_model(sizes, rates, seed=each),
        "stochastic_block", seed, "raise the probabilities inside and between",
    )  # fmt: skip
    return Topology(graph, weights, name="stochastic_block")


def connected_draw(draw: Callable[[int], nx.Graph], family: str, seed: int, fix: str) -> nx.Graph:
    """The first connected graph of those that `draw` makes of the seeds seed, seed + 1, ...

    Args:
        draw: makes a graph of a seed.
        family: is named by what is refused.
        seed: the first one, at least 0.
        fix: what to do if no draw of 1000 is connected.

    Raises:
        ValueError: no draw was connected, or the seed is out of range.
    """
    import networkx as nx

    count(family, seed, "seed", 0)
    for each in range(seed, seed + DRAWS):
        graph = draw(each)
        if nx.is_strongly_connected(graph) if graph.is_directed() else nx.is_connected(graph):
            return graph
    raise ValueError(f"{family} found no connected graph in {DRAWS} draws from seed {seed}: {fix}")


def _connected_edges(
    draw: Callable[[np.random.Generator], Ends], n: int, weights: str, name: str, seed: int, fix: str
) -> Topology:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count(name, seed, "seed", 0)
    for each in range(seed, seed + DRAWS):
        ends = draw(np.random.default_rng(each))
        graph = coo_array((np.ones(len(ends[0]), np.int8), ends), shape=(n, n))
        if connected_components(graph, directed=False, return_labels=False) == 1:
            return Topology.from_edges(n, *ends, weights, name=name, connected=False)
    raise ValueError(f"{name} found no connected graph in {DRAWS} draws from seed {seed}: {fix}")


def random_pairs(n: int, probability: float, random: np.random.Generator) -> Ends:
    """Each of the n (n - 1) / 2 pairs with this probability."""
    pairs = n * (n - 1) // 2
    wanted = int(random.binomial(pairs, probability))
    chosen = np.empty(0, np.int64)
    while len(chosen) < wanted:
        more = random.integers(pairs, size=wanted - len(chosen))
        chosen = np.sort(np.append(chosen, more))  # np.unique hashes, which takes five times as long
        chosen = chosen[np.diff(chosen, prepend=-1) > 0]
    # The pair (i, j), i < j, has the number j (j - 1) / 2 + i; the root may be off by one.
    j = ((1 + np.sqrt(1 + 8 * chosen.astype(np.float64))) / 2).astype(np.int64)
    j -= j * (j - 1) // 2 > chosen
    j += (j + 1) * j // 2 <= chosen
    return chosen - j * (j - 1) // 2, j


def random_pairing(n: int, degree: int, random: np.random.Generator) -> Ends:
    """The ends of all edges paired at random; loops and edges that are there twice are switched with random others."""
    stubs = random.permutation(np.repeat(np.arange(n), degree))
    i, j = stubs[0::2].copy(), stubs[1::2].copy()
    while True:
        numbers = np.minimum(i, j) * n + np.maximum(i, j)
        _, first = np.unique(numbers, return_index=True)
        wrong = np.ones(len(i), bool)
        wrong[first] = False
        bad = np.flatnonzero(wrong | (i == j))
        if not len(bad):
            return i, j
        for edge in bad:
            other = random.integers(len(i))
            j[edge], j[other] = j[other], j[edge]
