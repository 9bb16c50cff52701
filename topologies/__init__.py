"""Communication graphs, their mixing matrices and schedules. Needs networkx, numpy and scipy only.

    >>> from topologies import ring, spectral_gap
    >>> ring(16)
    Topology('ring', nodes=16, edges=16, symmetric, doubly stochastic)
    >>> round(spectral_gap(ring(16)), 4)
    0.0507

Any networkx graph does as well: `Topology(networkx.karate_club_graph())`. `topologies.drawing.draw` pictures
one.
"""

from topologies.graphs import (
    complete,
    elastic_averaging,
    erdos_renyi,
    exponential,
    grid,
    hypercube,
    path,
    random_out,
    random_regular,
    ring,
    star,
    torus,
)
from topologies.healing import heal
from topologies.links import Links
from topologies.schedules import RandomizedGossip, elastic_averaging_tree, one_peer_exponential, randomized_gossip
from topologies.spectrum import contraction_per_round, laplacian_norm, smallest_eigenvalue, spectral_gap
from topologies.topology import Schedule, Topology
from topologies.weights import WEIGHTS, metropolis, push, uniform

# The functions that the command line offers by name.
FAMILIES = (
    ring,
    path,
    complete,
    star,
    elastic_averaging,
    elastic_averaging_tree,
    torus,
    grid,
    hypercube,
    exponential,
    one_peer_exponential,
    erdos_renyi,
    random_regular,
    random_out,
    randomized_gossip,
)

__all__ = [
    "FAMILIES",
    "WEIGHTS",
    "Links",
    "RandomizedGossip",
    "Schedule",
    "Topology",
    "complete",
    "contraction_per_round",
    "elastic_averaging",
    "elastic_averaging_tree",
    "erdos_renyi",
    "exponential",
    "grid",
    "heal",
    "hypercube",
    "laplacian_norm",
    "metropolis",
    "one_peer_exponential",
    "path",
    "push",
    "random_out",
    "random_regular",
    "randomized_gossip",
    "ring",
    "smallest_eigenvalue",
    "spectral_gap",
    "star",
    "torus",
    "uniform",
]
