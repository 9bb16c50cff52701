"""LEAD and its relatives, with random and with deterministic operators."""

from __future__ import annotations

from algorithms import (
    L1,
    Beer,
    Cedas,
    DcdPSGD,
    DeepSqueeze,
    EcdPSGD,
    InfinityNorm,
    Lead,
    Minibatch,
    ProxLead,
    RandomK,
    StepDecay,
    TopK,
)
from tests.mpi.cases import NODES, Case
from topologies import erdos_renyi, exponential, one_peer_exponential

TWO_BITS = InfinityNorm(bits=2, bucket=4)
DECAY = StepDecay(lr=0.1, milestones=(5,), factor=0.3)

CASES = [
    Case(Lead(lr=DECAY, compressor=TWO_BITS)),
    Case(Lead(lr=0.05, compressor=TWO_BITS), topology=erdos_renyi(NODES), oracle=Minibatch(3)),
    Case(ProxLead(lr=DECAY, compressor=TWO_BITS, prox=L1(0.05))),
    Case(Cedas(lr=DECAY, compressor=TWO_BITS)),
    Case(DcdPSGD(lr=0.05, compressor=RandomK(k=8, unbiased=True)), topology=exponential(NODES)),
    Case(EcdPSGD(lr=0.05, compressor=InfinityNorm(bits=8)), topology=exponential(NODES)),
    Case(DeepSqueeze(lr=0.05, gamma=0.2, compressor=TopK(k=4)), topology=one_peer_exponential(NODES)),
    Case(Beer(lr=0.02, gamma=0.3, compressor=TopK(k=4)), topology=exponential(NODES)),
    Case(Beer(lr=0.02, gamma=0.3, compressor=RandomK(k=5))),
]
