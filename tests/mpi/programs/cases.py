"""Runs all cases of tests/mpi/cases, or those of one family, and saves what came out.

cases.py FILE TRANSPORT PLACEMENT [FAMILY]
"""

from __future__ import annotations

import sys
from importlib import import_module
from pkgutil import iter_modules

import numpy as np

import gossip
from gossip.processes import launcher
from tests.mpi import cases


def cases_of(family: str) -> list[cases.Case]:
    return import_module(f"tests.mpi.cases.{family}").CASES


def main() -> None:
    file, transport, placement, *chosen = sys.argv[1:]
    families = chosen or sorted(module.name for module in iter_modules(cases.__path__))
    every = [(family, *case) for family in families for case in enumerate(cases_of(family))]
    saved: dict[str, np.ndarray] = {}
    for family, i, case in every:
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
        name = f"{family} {i} {case.algorithm} {case.topology} {case.oracle}"
        saved[name] = result.model.numpy()
        for measured in sorted(result.history[0].keys() - {"seconds"}):
            saved[f"{name} {measured}"] = np.array([record[measured] for record in result.history])
    if launcher.world().rank == 0:
        np.savez(file, **saved)  # type: ignore[arg-type]


main()
