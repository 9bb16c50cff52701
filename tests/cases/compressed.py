"""Compressed methods: CHOCO and those with a trigger, LEAD and its relatives, with random and deterministic operators.

Of gamma there is some from theory and some from a search; some nodes are silent; and some matrices vary.
"""

from __future__ import annotations

from algorithms import (
    L1,
    QSGD,
    Beer,
    Cedas,
    ChocoGossip,
    ChocoSGD,
    Contraction,
    DcdPSGD,
    DeepSqueeze,
    EcdPSGD,
    InfinityNorm,
    Lead,
    Minibatch,
    PerTensor,
    ProxLead,
    RandomK,
    SignTopK,
    SparqSGD,
    SquarmSGD,
    StepDecay,
    StepwiseThreshold,
    TopK,
)
from tests.cases import Case
from topologies import erdos_renyi, exponential, one_peer_exponential

DECAY = StepDecay(lr=0.05, milestones=(8,), factor=0.3)
FASTER = StepDecay(lr=0.1, milestones=(5,), factor=0.3)
GROWING = StepwiseThreshold(start=5.0, step=10.0, every=4)
TWO_BITS = InfinityNorm(bits=2, bucket=4)

CASES = {
    "ChocoGossip": Case(ChocoGossip(gamma=0.3, compressor=TopK(k=3)), for_own_loops=False),
    "ChocoGossip-auto": Case(ChocoGossip(gamma="auto", compressor=RandomK(k=5)), for_own_loops=False),
    "ChocoSGD": Case(ChocoSGD(lr=0.05, gamma="theory", compressor=TopK(k=3))),
    "ChocoSGD-overlapped": Case(
        ChocoSGD(lr=0.05, gamma="theory", compressor=Contraction(QSGD(levels=3)), order="overlapped"), exponential
    ),
    "ChocoSGD-one-peer": Case(ChocoSGD(lr=0.05, gamma=0.3, compressor=TopK(k=3)), one_peer_exponential),
    "SquarmSGD": Case(
        SquarmSGD(lr=DECAY, period=2, threshold=GROWING, gamma=0.3, compressor=PerTensor(SignTopK(fraction=0.2)))
    ),
    "SquarmSGD-one-peer": Case(
        SquarmSGD(lr=0.05, threshold=30.0, period=1, gamma=0.3, compressor=RandomK(k=4)), one_peer_exponential
    ),
    "SparqSGD": Case(SparqSGD(lr=DECAY, period=3, threshold=20.0, gamma="auto", compressor=TopK(k=2))),
    "Lead": Case(Lead(lr=FASTER, compressor=TWO_BITS)),
    "Lead-minibatch": Case(Lead(lr=0.05, compressor=TWO_BITS), erdos_renyi, Minibatch(3)),
    "ProxLead": Case(ProxLead(lr=FASTER, compressor=TWO_BITS, prox=L1(0.05))),
    "Cedas": Case(Cedas(lr=FASTER, compressor=TWO_BITS)),
    "DcdPSGD": Case(DcdPSGD(lr=0.05, compressor=RandomK(k=8, unbiased=True)), exponential),
    "EcdPSGD": Case(EcdPSGD(lr=0.05, compressor=InfinityNorm(bits=8)), exponential),
    "DeepSqueeze": Case(DeepSqueeze(lr=0.05, gamma=0.2, compressor=TopK(k=4)), one_peer_exponential),
    "Beer": Case(Beer(lr=0.02, gamma=0.3, compressor=TopK(k=4)), exponential),
    "Beer-random": Case(Beer(lr=0.02, gamma=0.3, compressor=RandomK(k=5))),
}
