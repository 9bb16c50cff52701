"""CHOCO, SQuARM and SPARQ: gamma from theory and from a search, silent nodes, and matrices that vary."""

from __future__ import annotations

from algorithms import (
    QSGD,
    ChocoGossip,
    ChocoSGD,
    Contraction,
    PerTensor,
    RandomK,
    SignTopK,
    SparqSGD,
    SquarmSGD,
    StepDecay,
    StepwiseThreshold,
    TopK,
)
from tests.mpi.cases import NODES, Case
from topologies import exponential, one_peer_exponential

DECAY = StepDecay(lr=0.05, milestones=(8,), factor=0.3)
GROWING = StepwiseThreshold(start=5.0, step=10.0, every=4)

CASES = [
    Case(ChocoGossip(gamma=0.3, compressor=TopK(k=3))),
    Case(ChocoGossip(gamma="auto", compressor=RandomK(k=5))),
    Case(ChocoSGD(lr=0.05, gamma="theory", compressor=TopK(k=3))),
    Case(
        ChocoSGD(lr=0.05, gamma="theory", compressor=Contraction(QSGD(levels=3)), order="overlapped"),
        exponential(NODES),
    ),
    Case(ChocoSGD(lr=0.05, gamma=0.3, compressor=TopK(k=3)), one_peer_exponential(NODES)),
    Case(SquarmSGD(lr=DECAY, period=2, threshold=GROWING, gamma=0.3, compressor=PerTensor(SignTopK(fraction=0.2)))),
    Case(SquarmSGD(lr=0.05, threshold=30.0, period=1, gamma=0.3, compressor=RandomK(k=4)), one_peer_exponential(NODES)),
    Case(SparqSGD(lr=DECAY, period=3, threshold=20.0, gamma="auto", compressor=TopK(k=2))),
]
