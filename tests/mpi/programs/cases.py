"""Runs all cases of a family and saves what came out: cases.py FILE MODULE [TRANSPORT PLACEMENT].

MODULE is one of tests/mpi/cases.
"""

from __future__ import annotations

import sys
from importlib import import_module

import numpy as np

import gossip
from gossip import launch


def main() -> None:
    file, module, transport, placement = [*sys.argv[1:], *("auto", "contiguous")][:4]
    saved: dict[str, np.ndarray] = {}
    for i, case in enumerate(import_module(f"tests.mpi.cases.{module}").CASES):
        result = gossip.run(
            case.workload,
            case.topology,
            case.algorithm,
            oracle=case.oracle,
            steps=case.steps,
            evaluate_every=case.steps // 2,
            output=None,
            transport=transport,  # type: ignore[arg-type]
            placement=placement,  # type: ignore[arg-type]
            clock=case.clock,
        )
        name = f"{i} {case.algorithm} {case.topology} {case.oracle}"
        saved[name] = result.model.numpy()
        for measured in sorted(result.history[0].keys() - {"seconds"}):
            saved[f"{name} {measured}"] = np.array([record[measured] for record in result.history])
    if launch.world().rank == 0:
        np.savez(file, **saved)  # type: ignore[arg-type]


main()
