"""Uncompressed methods: on doubly stochastic matrices, push-sum on others, along trees, and consensus alone."""

from __future__ import annotations

import networkx as nx
import numpy as np

from algorithms import (
    D2,
    L1,
    Box,
    DecentLaM,
    DecentralizedAdamW,
    DecentralizedSGD,
    ElasticNet,
    ExactDiffusion,
    Extra,
    GossipAveraging,
    GossipPGA,
    GradientTracking,
    GroupLasso,
    L2Ball,
    Minibatch,
    Nids,
    NonNegative,
    NuclearNorm,
    PgExtra,
    PushDiging,
    PushSumAveraging,
    PushSumSGD,
    QuasiGlobalMomentum,
    RelaySGD,
    Simplex,
    StepDecay,
)
from tests.cases import Case
from tests.cases.workloads import averaging, digits
from topologies import (
    RandomizedGossip,
    Schedule,
    Topology,
    exponential,
    one_peer_exponential,
    path,
    random_out,
    ring,
    star,
)

DECAY = StepDecay(lr=0.05, milestones=(5,), factor=0.5)


def lazy_ring(n: int) -> Topology:
    return Topology.from_matrix((np.eye(n) + ring(n).matrix.toarray()) / 2)


def varying(n: int) -> Schedule:
    """Directed graphs, each with columns that sum to 1."""
    return Schedule([random_out(n, degree=2, seed=seed) for seed in (1, 5, 9)])


def pairwise(n: int) -> Schedule:
    return RandomizedGossip(ring(n))


def fan_out(n: int) -> Topology:
    return random_out(n, degree=3, seed=4)


def binary_tree(n: int) -> Topology:
    return Topology(nx.full_rary_tree(2, n), "push")


CASES = {
    "ExactDiffusion": Case(ExactDiffusion(lr=0.05)),
    "ExactDiffusion-prox": Case(ExactDiffusion(lr=DECAY, prox=GroupLasso(weight=0.1, groups=5))),
    "DecentralizedSGD-adapt-then-combine": Case(
        DecentralizedSGD(lr=DECAY, order="adapt-then-combine", momentum=0.5, prox=ElasticNet(l1=0.1, l2=0.1)),
        one_peer_exponential,
    ),
    "DecentralizedSGD-combine-then-adapt": Case(
        DecentralizedSGD(lr=DECAY, order="combine-then-adapt", momentum=0.5, prox=Box(low=-0.1, high=0.1)),
        one_peer_exponential,
    ),
    "DecentralizedSGD-consensus": Case(
        DecentralizedSGD(lr=DECAY, order="consensus", momentum=0.5, prox=NonNegative()), one_peer_exponential
    ),
    "D2": Case(D2(lr=DECAY), lazy_ring),
    "Extra": Case(Extra(lr=DECAY)),
    "PgExtra": Case(PgExtra(lr=DECAY, prox=L2Ball(radius=0.5))),
    "Nids": Case(Nids(lr=DECAY, gamma=0.8)),
    "Nids-prox": Case(Nids(lr=DECAY, prox=Simplex())),
    **{
        f"GradientTracking-{order}-{topology.__name__}": Case(
            GradientTracking(lr=DECAY, order=order, momentum=0.3, nesterov=True),  # type: ignore[arg-type]
            topology,
        )
        for order in ("diging", "adapt-then-combine")
        for topology in (exponential, one_peer_exponential)
    },
    "DecentLaM": Case(DecentLaM(lr=DECAY)),
    "QuasiGlobalMomentum": Case(QuasiGlobalMomentum(lr=DECAY, nesterov=True), one_peer_exponential),
    "DecentralizedAdamW": Case(DecentralizedAdamW(lr=DECAY), exponential),
    "PgExtra-digits-nuclear": Case(
        PgExtra(lr=0.1, prox=NuclearNorm(weight=0.05)),
        oracle=Minibatch(batch=8),
        workload=digits(),
        steps=4,
        for_own_loops=False,
    ),
    "PgExtra-digits-l1": Case(PgExtra(lr=0.1, prox=L1()), oracle=Minibatch(batch=8), workload=digits(), steps=4),
    "PushSumSGD": Case(PushSumSGD(lr=0.05), random_out),
    "PushSumSGD-nesterov": Case(PushSumSGD(lr=0.05, momentum=0.8, nesterov=True), varying, Minibatch(4)),
    "PushSumSGD-momentum": Case(PushSumSGD(lr=0.05, momentum=0.5), one_peer_exponential),
    "PushSumSGD-overlap": Case(PushSumSGD(lr=0.05, overlap=True), random_out),
    "PushSumSGD-overlap-momentum": Case(PushSumSGD(lr=0.05, momentum=0.5, overlap=True), varying, Minibatch(4)),
    "PushDiging": Case(PushDiging(lr=0.02), fan_out, for_own_loops=False),
    "PushDiging-varying": Case(PushDiging(lr=0.02), varying, Minibatch(4)),
    "PushDiging-pairwise": Case(PushDiging(lr=0.02), pairwise),
    "PushSumAveraging": Case(PushSumAveraging(), random_out, for_own_loops=False),
    "PushSumAveraging-exponential": Case(PushSumAveraging(), exponential, for_own_loops=False),
    "RelaySGD": Case(RelaySGD(lr=0.03), path),
    "RelaySGD-star": Case(RelaySGD(lr=0.03, momentum=0.5), star, Minibatch(4)),
    "RelaySGD-binary-tree": Case(RelaySGD(lr=0.03, momentum=0.5, nesterov=True), binary_tree),
    "RelaySGD-start": Case(RelaySGD(lr=0.03, momentum=0.5, unheard="start"), binary_tree),
    "GossipPGA": Case(GossipPGA(lr=0.05, period=3)),
    "GossipPGA-nesterov": Case(
        GossipPGA(lr=0.05, period=2, momentum=0.8, nesterov=True), one_peer_exponential, Minibatch(4)
    ),
    "GossipAveraging": Case(GossipAveraging(), workload=averaging(), for_own_loops=False),
    "GossipAveraging-path": Case(GossipAveraging(), path, Minibatch(3), averaging(dimension=7), for_own_loops=False),
    "GossipAveraging-one-peer": Case(
        GossipAveraging(), one_peer_exponential, workload=averaging(), for_own_loops=False
    ),
    "GossipAveraging-pairwise": Case(GossipAveraging(), pairwise, workload=averaging(), steps=80, for_own_loops=False),
    "PushSumAveraging-vectors": Case(PushSumAveraging(), random_out, workload=averaging(), for_own_loops=False),
}
