"""Drop-out: edges or nodes of a base graph fail at random, in single rounds or in bursts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from topologies.graphs.arguments import count, probability
from topologies.schedule import valid_round
from topologies.schedules.bases import base_graph_by_name, edges_of
from topologies.schedules.random import RandomSchedule
from topologies.topology import Topology

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["Dropout", "edge_dropout", "gilbert_elliott", "node_dropout"]


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
        *,
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

    def support(self) -> csr_array:
        """The base graph's W, (n, n): its edges are all that can be there."""
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
    name = "edge_dropout"
    return Dropout(_base(name, n, graph, probability), probability, 1 - probability, seed=seed, name=name)


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
    name = "node_dropout"
    return Dropout(_base(name, n, graph, probability), probability, 1 - probability, of="nodes", seed=seed, name=name)


def gilbert_elliott(
    n: int,
    graph: str = "ring",
    *,
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
    name = "gilbert_elliott"
    return Dropout(_base(name, n, graph, fail), fail, repair, loss=loss, of=of, seed=seed, name=name)


def _base(family: str, n: int, graph: str, fail: float) -> Topology:
    """The base graph of a family, if the number of nodes and the probability are in range."""
    count(family, n)
    probability(family, fail)
    return base_graph_by_name(family, graph)(n)
