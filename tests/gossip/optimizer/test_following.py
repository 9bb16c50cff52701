"""Which algorithms follow a change of the parameters between steps."""

from __future__ import annotations

import pytest

from algorithms import Algorithm
from gossip.optimizer.following import follows
from tests.cases import FAMILIES, table

CASES = {
    f"{family}/{name}": case.algorithm
    for family in FAMILIES
    for name, case in table(family).items()
    if case.for_own_loops
}
# They keep iterates of before, what neighbours think that they have, or an anchor that pulls them; or they add noise.
KEEPING = {
    "Adiana",
    "D2",
    "DcdPSGD",
    "DoubleCompressionSGD",
    "EcdPSGD",
    "ElasticAveraging",
    "ExactDiffusion",
    "NoisyMessages",
    "OverlapLocalSGD",
    "PushDiging",
    "PushSumSGD",
    "QsparseLocalSGD",
    "StepAheadSGD",
    "ZenoPS",
}


@pytest.mark.parametrize("name", CASES)
def test_who_follows_a_change(name: str) -> None:
    algorithm: Algorithm = CASES[name].replicated()
    if getattr(algorithm, "prox", None) is None:  # a regularizer moves what has no gradient, from wherever it is
        assert follows(algorithm) == (type(algorithm).__name__ not in KEEPING)
