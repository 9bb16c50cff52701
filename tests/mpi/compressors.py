"""A short run with any of the compressors that `algorithms` exports."""

from __future__ import annotations

from typing import Any

import numpy as np

import gossip
from algorithms import ChocoSGD, Compressor, Contraction
from gossip.bench.compression.operators import build, exported
from gossip.workloads import Digits
from tests.mpi.helpers import Results, results_of
from topologies import ring

NODES = 6
NO_CONTRACTIONS = {"Polyline", "Sign", "Threshold"}


def contraction(name: str, workload: Digits) -> Compressor | None:
    """The operator of this name, scaled to be a contraction if it is none and can be; None where it cannot."""
    operator = build(exported()[name])
    assert operator is not None
    layout = workload.shard(1, seed=0).layout
    bound = operator.for_layout(layout)
    if bound.alpha(layout.d) > 0:
        return operator
    return Contraction(operator) if not operator.biased and np.isfinite(bound.omega(layout.d)) else None


def compressed(name: str, **options: Any) -> Results | None:
    """A few steps of ChocoSGD with it; None if it is no contraction."""
    workload = Digits(hidden=8)
    operator = contraction(name, workload)
    if operator is None:
        return None
    algorithm = ChocoSGD(lr=0.1, gamma=0.2, compressor=operator)
    result = gossip.run(workload, ring(NODES), algorithm, steps=4, evaluate_every=4, output=None, **options)
    return results_of(result.model, result.history)
