"""Runs all cases of a family and saves what came out: cases.py FILE MODULE [TRANSPORT], MODULE in tests/mpi/cases."""

from __future__ import annotations

import sys
from importlib import import_module

import numpy as np

import gossip
from gossip import launch


def main() -> None:
    file, module, *transport = sys.argv[1:]
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
            clock=case.clock,
            transport=transport[0] if transport else "auto",  # type: ignore[arg-type]
        )
        name = f"{i} {case.algorithm} {case.topology} {case.oracle}"
        saved[name] = result.model.numpy()
        for measured in sorted(result.history[0].keys() - {"seconds"}):
            saved[f"{name} {measured}"] = np.array([record[measured] for record in result.history])
    if launch.world().rank == 0:
        np.savez(file, **saved)  # type: ignore[arg-type]


main()
