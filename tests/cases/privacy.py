"""Methods that are private for clients or nodes."""

from __future__ import annotations

from algorithms import (
    DPFTRL,
    AdaptiveClipping,
    DecentralizedSGD,
    DiscreteGaussianMechanism,
    DPFedAvg,
    FedAvg,
    GradientTracking,
    NoisyMessages,
)
from tests.cases import Case

CASES = {
    "DPFedAvg": Case(DPFedAvg(lr=0.05, local_steps=3, participation=3, adaptive=AdaptiveClipping(deviation=1.0))),
    "DPFedAvg-replicated": Case(
        DPFedAvg(
            lr=0.05,
            local_steps=2,
            participation=3,
            sampling="uniform",
            mechanism=DiscreteGaussianMechanism(1 / 128),
            adaptive=AdaptiveClipping(deviation=2.0),
            server="replicated",
        ),
        for_own_loops=False,
    ),
    "DPFTRL": Case(DPFTRL(lr=0.05, local_steps=2, participation=2, momentum=0.5)),
    "NoisyMessages": Case(NoisyMessages(GradientTracking(lr=0.05), clip=20.0, noise_multiplier=0.01)),
    "NoisyMessages-consensus": Case(
        NoisyMessages(DecentralizedSGD(lr=0.05, order="consensus", period=2), clip=20.0, noise_multiplier=0.01),
        for_own_loops=False,
    ),
    "NoisyMessages-server": Case(
        NoisyMessages(FedAvg(lr=0.05, local_steps=2, participation=2), mechanism=DiscreteGaussianMechanism(1 / 64)),
        for_own_loops=False,
    ),
}
