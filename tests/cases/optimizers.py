"""Local update rules in decentralized SGD."""

from __future__ import annotations

from functools import partial

from algorithms import (
    SGD,
    Adam,
    AdamW,
    Clars,
    Clipped,
    DecentralizedSGD,
    Lamb,
    Lars,
    Minibatch,
    NesterovMomentum,
    ResidualSGD,
    TorchOptimizer,
    UncorrectedAdam,
    Yogi,
)
from tests.cases import Case
from tests.cases.workloads import digits
from topologies import one_peer_exponential

OnDigits = partial(Case, workload=digits(), oracle=Minibatch(8), steps=6)

CASES = {
    "SGD": Case(DecentralizedSGD(optimizer=SGD(momentum=0.9, nesterov=True, weight_decay=0.1))),
    "NesterovMomentum": Case(DecentralizedSGD(optimizer=NesterovMomentum(momentum=0.5))),
    "UncorrectedAdam": Case(DecentralizedSGD(optimizer=UncorrectedAdam())),
    "Yogi": Case(DecentralizedSGD(optimizer=Yogi())),
    "Clipped": Case(DecentralizedSGD(optimizer=Clipped(1.0, Adam()), order="combine-then-adapt")),
    "AdamW": Case(DecentralizedSGD(optimizer=AdamW(), period=3), one_peer_exponential),
    "ResidualSGD": Case(DecentralizedSGD(optimizer=ResidualSGD(0.3, 0.7, momentum=0.5), order="consensus")),
    "TorchOptimizer": OnDigits(DecentralizedSGD(optimizer=TorchOptimizer("torch.optim.Adamax"))),
    "Lars": OnDigits(DecentralizedSGD(optimizer=Lars(weight_decay=0.01))),
    "Clars": OnDigits(DecentralizedSGD(optimizer=Clars(), order="consensus")),
    "Clars-samples": OnDigits(
        DecentralizedSGD(optimizer=Clars(over="samples")), oracle=Minibatch(8, microbatch=2), steps=4
    ),
    "Lamb": OnDigits(DecentralizedSGD(optimizer=Lamb())),
}
