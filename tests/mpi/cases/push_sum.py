"""Push-sum methods, on column stochastic matrices and others."""

from __future__ import annotations

from algorithms import Minibatch, PushDiging, PushSumAveraging, PushSumSGD
from tests.mpi.cases import NODES, Case
from topologies import RandomizedGossip, Schedule, exponential, one_peer_exponential, random_out, ring

VARYING = Schedule([random_out(NODES, degree=2, seed=seed) for seed in (1, 5, 9)])

CASES = [
    Case(PushSumSGD(lr=0.05), random_out(NODES)),
    Case(PushSumSGD(lr=0.05, momentum=0.8, nesterov=True), VARYING, Minibatch(4)),
    Case(PushSumSGD(lr=0.05, momentum=0.5), one_peer_exponential(NODES)),
    Case(PushSumSGD(lr=0.05, overlap=True), random_out(NODES)),
    Case(PushSumSGD(lr=0.05, momentum=0.5, overlap=True), VARYING, Minibatch(4)),
    Case(PushDiging(lr=0.02), random_out(NODES, degree=3, seed=4)),
    Case(PushDiging(lr=0.02), VARYING, Minibatch(4)),
    Case(PushDiging(lr=0.02), RandomizedGossip(ring(NODES))),
    Case(PushSumAveraging(), random_out(NODES)),
    Case(PushSumAveraging(), exponential(NODES)),
]
