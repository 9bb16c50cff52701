"""Consensus alone: the average of what the nodes hold."""

from __future__ import annotations

from algorithms import GossipAveraging, Minibatch, PushSumAveraging
from gossip.workloads import Averaging
from tests.mpi.cases import NODES, Case
from topologies import RandomizedGossip, one_peer_exponential, path, random_out, ring

CASES = [
    Case(GossipAveraging(), workload=Averaging()),
    Case(GossipAveraging(), path(NODES), Minibatch(3), Averaging(dimension=7)),
    Case(GossipAveraging(), one_peer_exponential(NODES), workload=Averaging()),
    Case(GossipAveraging(), RandomizedGossip(ring(NODES)), workload=Averaging(), steps=80),
    Case(PushSumAveraging(), random_out(NODES), workload=Averaging()),
]
