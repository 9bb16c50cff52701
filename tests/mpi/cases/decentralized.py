"""Uncompressed methods on doubly stochastic matrices."""

from __future__ import annotations

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
    GradientTracking,
    GroupLasso,
    L2Ball,
    Minibatch,
    Nids,
    NonNegative,
    NuclearNorm,
    PgExtra,
    QuasiGlobalMomentum,
    Simplex,
    StepDecay,
)
from gossip.workloads import Digits
from tests.mpi.cases import NODES, Case
from topologies import Topology, exponential, one_peer_exponential, ring

DECAY = StepDecay(lr=0.05, milestones=(5,), factor=0.5)
LAZY = Topology.from_matrix((np.eye(NODES) + ring(NODES).matrix.toarray()) / 2)

CASES = [
    Case(ExactDiffusion(lr=0.05)),
    Case(ExactDiffusion(lr=DECAY, prox=GroupLasso(weight=0.1, groups=5))),
    *(
        Case(DecentralizedSGD(lr=DECAY, order=order, momentum=0.5, prox=prox), one_peer_exponential(NODES))
        for order, prox in (
            ("adapt-then-combine", ElasticNet(l1=0.1, l2=0.1)),
            ("combine-then-adapt", Box(low=-0.1, high=0.1)),
            ("consensus", NonNegative()),
        )
    ),
    Case(D2(lr=DECAY), LAZY),
    Case(Extra(lr=DECAY)),
    Case(PgExtra(lr=DECAY, prox=L2Ball(radius=0.5))),
    Case(Nids(lr=DECAY, gamma=0.8)),
    Case(Nids(lr=DECAY, prox=Simplex())),
    *(
        Case(GradientTracking(lr=DECAY, order=order, momentum=0.3, nesterov=True), topology)
        for order in ("diging", "adapt-then-combine")
        for topology in (exponential(NODES), one_peer_exponential(NODES))
    ),
    Case(DecentLaM(lr=DECAY)),
    Case(QuasiGlobalMomentum(lr=DECAY, nesterov=True), one_peer_exponential(NODES)),
    Case(DecentralizedAdamW(lr=DECAY), exponential(NODES)),
    Case(PgExtra(lr=0.1, prox=NuclearNorm(weight=0.05)), oracle=Minibatch(batch=8), workload=Digits(), steps=4),
    Case(PgExtra(lr=0.1, prox=L1()), oracle=Minibatch(batch=8), workload=Digits(), steps=4),
]
