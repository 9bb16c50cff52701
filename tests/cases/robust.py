"""Attacks on methods of all kinds, and methods that withstand them."""

from __future__ import annotations

from algorithms import (
    ALittleIsEnough,
    Attacked,
    Bucketing,
    CenteredClipping,
    ChocoSGD,
    CoordinateMedian,
    FoolsGold,
    GaussianNoise,
    InnerProductManipulation,
    Krum,
    Mimic,
    Minibatch,
    OverlapLocalSGD,
    RandomK,
    RobustFedAvg,
    RobustGossip,
    RobustSGD,
    SignFlip,
    StepDecay,
    TopK,
    Zeno,
    ZenoPS,
    Zeros,
)
from tests.cases import Case
from tests.cases.workloads import digits
from topologies import complete

DECAY = StepDecay(lr=0.05, milestones=(5, 8), factor=0.3)

CASES = {
    "Zeno": Case(Zeno(lr=DECAY, trim=2, batch=3), oracle=Minibatch(3), for_own_loops=False),
    "RobustSGD": Case(RobustSGD(lr=0.05, aggregator=Bucketing(CenteredClipping(radius=2.0), size=3))),
    "RobustSGD-replicated": Case(
        RobustSGD(lr=0.05, aggregator=Bucketing(CoordinateMedian(), size=2), momentum=0.0, server="replicated")
    ),
    "RobustSGD-remembering": Case(RobustSGD(lr=0.05, aggregator=FoolsGold(), momentum=0.5)),
    "RobustFedAvg": Case(
        Attacked(
            RobustFedAvg(lr=0.05, local_steps=2, participation=4, aggregator=FoolsGold()),
            Mimic(node=5),
            attackers=(0, 3),
            since=2,
        ),
        for_own_loops=False,
    ),
    "RobustFedAvg-replicated": Case(
        RobustFedAvg(lr=0.05, local_steps=3, aggregator=FoolsGold(confidence=0.5), server="replicated")
    ),
    "RobustGossip": Case(RobustGossip(lr=0.05, aggregator=CenteredClipping(radius=0.5), momentum=0.5), complete),
    "RobustGossip-bridge": Case(
        RobustGossip(lr=0.05, aggregator=CoordinateMedian(), order="combine-then-adapt"), complete
    ),
    "Attacked-krum": Case(
        Attacked(RobustSGD(lr=0.05, aggregator=Krum(forged=2)), InnerProductManipulation(0.5), attackers=(1, 3)),
        for_own_loops=False,
    ),
    "Attacked": Case(
        Attacked(Zeno(lr=0.05, trim=3, batch=4), GaussianNoise(5.0), attackers=(4, 1, 2)),
        oracle=Minibatch(8),
        workload=digits(hidden=4),
        steps=8,
        for_own_loops=False,
    ),
    "Attacked-neighbors": Case(
        Attacked(ChocoSGD(lr=0.05, gamma=0.2, compressor=TopK(k=2)), GaussianNoise(0.2), attackers=(0, 2), since=3)
    ),
    "Attacked-ahead": Case(
        Attacked(OverlapLocalSGD(lr=0.05, period=2), ALittleIsEnough(deviations=0.7), attackers=(0, 2))
    ),
    "Attacked-server": Case(
        Attacked(ZenoPS(lr=0.05, period=3, compressor=RandomK(k=4)), SignFlip(scale=2.0), attackers=(1,))
    ),
    "Attacked-zeros": Case(Attacked(ZenoPS(lr=0.05, period=2), Zeros(), attackers=(0,)), for_own_loops=False),
}
