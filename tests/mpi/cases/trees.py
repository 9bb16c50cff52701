"""RelaySGD on trees, and gossip with global averages, which run along one."""

from __future__ import annotations

import networkx as nx

from algorithms import GossipPGA, Minibatch, RelaySGD
from tests.mpi.cases import NODES, Case
from topologies import Topology, one_peer_exponential, path, star

CASES = [
    Case(RelaySGD(lr=0.03), path(NODES)),
    Case(RelaySGD(lr=0.03, momentum=0.5), star(NODES), Minibatch(4)),
    Case(RelaySGD(lr=0.03, momentum=0.5, nesterov=True), Topology(nx.full_rary_tree(2, NODES), "push")),
    Case(GossipPGA(lr=0.05, period=3)),
    Case(GossipPGA(lr=0.05, period=2, momentum=0.8, nesterov=True), one_peer_exponential(NODES), Minibatch(4)),
]
