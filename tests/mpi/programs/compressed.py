"""Trains ChocoSGD with every compressor for a few steps and saves the models: compressed.py FILE."""

from __future__ import annotations

import sys

import numpy as np

import gossip
from algorithms import ChocoSGD, Compressor, Contraction
from gossip.bench.compression.operators import build, exported, label
from gossip.processes import launcher
from gossip.workloads import Digits
from topologies import ring

WORKLOAD = Digits(hidden=8)
LAYOUT = WORKLOAD.shard(1, seed=0).layout
NODES = 6


def contractions() -> list[Compressor]:
    """The operators that `algorithms` exports, those that are no contractions scaled to be some if they can be."""
    found = []
    for kind in exported().values():
        operator = build(kind)
        assert operator is not None, kind
        bound = operator.for_layout(LAYOUT)
        if bound.alpha(LAYOUT.d) > 0:
            found.append(operator)
        elif not operator.biased and np.isfinite(bound.omega(LAYOUT.d)):
            found.append(Contraction(operator))
    return found


def main() -> None:
    models = {}
    for operator in contractions():
        algorithm = ChocoSGD(lr=0.1, gamma=0.2, compressor=operator)
        result = gossip.run(WORKLOAD, ring(NODES), algorithm, steps=4, evaluate_every=4, output=None)
        models[label(operator)] = result.model.numpy()
        models[f"{label(operator)} bytes"] = np.array(result.history[-1]["bytes_sent_per_node"])
    if launcher.world().rank == 0:
        np.savez(sys.argv[1], **models)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
