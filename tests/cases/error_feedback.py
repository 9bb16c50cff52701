"""Methods around a compressed average, whose topology does not matter: by all-gather, all-reduce, and a server."""

from __future__ import annotations

from typing import Any

from algorithms import (
    QSGD,
    Accordion,
    AccordionBatch,
    Adiana,
    Autoencoder,
    ChocoSGD,
    CompressedSGD,
    Cser,
    DeepGradientCompression,
    Diana,
    DistEFSGD,
    DoubleCompressionSGD,
    DoubleSqueeze,
    Ef21,
    ErrorFeedbackSGD,
    LearnedCompression,
    Marina,
    Minibatch,
    PermK,
    PowerSGD,
    QsparseLocalSGD,
    RandomBlock,
    RandomK,
    SignSGD,
    StepAheadSGD,
    StepDecay,
    Switched,
    TopK,
    ZenoPS,
)
from tests.cases import NODES, Case
from tests.cases.workloads import digits

DECAY = StepDecay(lr=0.05, milestones=(5, 8), factor=0.3)
RANKS = Switched(light=PowerSGD(rank=2, warm_start=True), strong=PowerSGD(rank=1, warm_start=True))
LEVELS = Switched(light=TopK(fraction=0.5), strong=TopK(fraction=0.1))
PHASES: dict[str, Any] = {
    "lr": DECAY,
    "momentum": 0.5,
    "dense_steps": 2,
    "training_steps": 4,
    "autoencoder": Autoencoder(encoder=(3, 2), code=1, decoder=(2, 3), lr=0.05),
}
RANDOM = RandomK(k=2, unbiased=True)

CASES = {
    "Accordion": Case(Accordion(ErrorFeedbackSGD(lr=0.05, compressor=Switched()), epoch=2, every=1)),
    "Accordion-power": Case(
        Accordion(ErrorFeedbackSGD(lr=0.05, compressor=RANKS), epoch=2, every=1, threshold=0.1),
        workload=digits(),
        oracle=Minibatch(8),
        steps=8,
        for_own_loops=False,
    ),
    "Accordion-overlapped": Case(
        Accordion(ChocoSGD(lr=0.05, gamma=0.2, compressor=LEVELS, order="overlapped"), epoch=2, every=1, threshold=0.1),
        workload=digits(),
        oracle=Minibatch(8),
        steps=8,
    ),
    "AccordionBatch": Case(
        AccordionBatch(CompressedSGD(lr=StepDecay(0.05, (10,), 0.5), momentum=0.5), epoch=2, every=1, accumulate=3),
        oracle=Minibatch(3),
        steps=16,
        for_own_loops=False,
    ),
    "AccordionBatch-overlapped": Case(
        AccordionBatch(ChocoSGD(lr=0.02, gamma=0.2, order="overlapped"), epoch=1, every=1, threshold=2.0, accumulate=2),
        oracle=Minibatch(3),
        for_own_loops=False,
    ),
    "Adiana": Case(Adiana(lr=0.02, compressor=RANDOM, probability=0.4)),
    "CompressedSGD": Case(CompressedSGD(lr=0.05, compressor=QSGD(levels=3), momentum=0.5)),
    "ErrorFeedbackSGD": Case(ErrorFeedbackSGD(lr=DECAY, compressor=TopK(k=2), momentum=0.5, nesterov=True)),
    "ErrorFeedbackSGD-power": Case(
        ErrorFeedbackSGD(lr=0.05, compressor=PowerSGD(rank=1, warm_start=True), momentum=0.5, momentum_of="average"),
        oracle=Minibatch(3),
    ),
    "DoubleSqueeze": Case(DoubleSqueeze(lr=0.05)),
    "DistEFSGD": Case(DistEFSGD(lr=DECAY, momentum=0.5, server_compressor=RandomK(k=3))),
    "SignSGD": Case(SignSGD(lr=DECAY, weight_decay=0.01)),
    "SignSGD-momentum": Case(SignSGD(lr=0.05, momentum=0.5, server="replicated"), for_own_loops=False),
    "StepAheadSGD": Case(StepAheadSGD(lr=DECAY, momentum=0.5, average_every=4)),
    "StepAheadSGD-replicated": Case(
        StepAheadSGD(lr=0.05, coefficient=0.5, server_compressor=RandomK(k=3), server="replicated"), for_own_loops=False
    ),
    "DoubleCompressionSGD": Case(
        DoubleCompressionSGD(lr=DECAY, period=3, compressor=TopK(k=2), momentum=0.5, momentum_at_exchange="average")
    ),
    "QsparseLocalSGD": Case(QsparseLocalSGD(lr=0.05, period=3, compressor=TopK(k=2), momentum=0.5)),
    "Cser": Case(Cser(lr=0.05, compressor=RandomBlock(ratio=4), reset_compressor=TopK(k=2), period=3, momentum=0.5)),
    "DeepGradientCompression": Case(
        DeepGradientCompression(lr=0.02, fraction=0.3, momentum=0.5, clip=3.0, warm_up=6, stages=2)
    ),
    "DeepGradientCompression-whole": Case(
        DeepGradientCompression(lr=0.02, fraction=0.3, momentum=0.5, vectors="whole"),
        workload=digits(),
        oracle=Minibatch(8),
        steps=8,
        for_own_loops=False,
    ),
    "LearnedCompression": Case(LearnedCompression(fraction=0.6, dense_tensors=0, sparse_tensors=0, **PHASES)),
    "LearnedCompression-tensors": Case(
        LearnedCompression(fraction=0.1, sparse_tensors=0, **PHASES),
        workload=digits(),
        oracle=Minibatch(8),
        steps=9,
        for_own_loops=False,
    ),
    "LearnedCompression-server": Case(
        LearnedCompression(fraction=0.2, dense_tensors=0, sparse_tensors=1, innovation=0.2, server="node", **PHASES),
        workload=digits(),
        oracle=Minibatch(8),
        steps=9,
        for_own_loops=False,
    ),
    "Diana": Case(Diana(lr=0.05, compressor=RANDOM)),
    "Ef21": Case(Ef21(lr=0.05, compressor=TopK(k=2), momentum=0.5)),
    "ZenoPS": Case(ZenoPS(lr=DECAY, period=3, compressor=TopK(k=4), momentum=0.5, threshold=-1.0, excess=4.0)),
    "Marina": Case(Marina(lr=0.05, compressor=PermK(nodes=NODES), probability=0.3), for_own_loops=False),
}
