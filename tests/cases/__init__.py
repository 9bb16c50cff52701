"""Runs of every algorithm, one table a family: `CASES`, name -> `Case`. They are plain data and need no `gossip`.

Tests run them in one process against full matrices, on ranks, from checkpoints, and in `gossip.Optimizer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module

from algorithms import Algorithm, Full, Oracle
from tests.cases.workloads import least_squares
from topologies import Schedule, ring

NODES = 7
FAMILIES = ("decentralized", "compressed", "cooperative", "federated", "error_feedback", "robust", "privacy")
TABLES = (*FAMILIES, "optimizers", "oracles", "clock")


@dataclass(frozen=True)
class Case:
    """One run, by default on full gradients of a small least-squares problem on a ring."""

    algorithm: Algorithm
    topology: Callable[[int], Schedule] = ring
    """Makes that of so many nodes."""
    oracle: Oracle = field(default_factory=Full)
    workload: Callable[[int], object] = least_squares
    """Makes that of so many nodes with data."""
    steps: int = 12
    clock: Mapping[str, object] | None = None
    """Arguments of `gossip.SimulatedClock`."""
    for_own_loops: bool = True
    """Whether the algorithm runs in `gossip.Optimizer` too: on three nodes, with nothing but gradients."""


def table(family: str) -> dict[str, Case]:
    """The cases of one table, by name."""
    cases: dict[str, Case] = import_module(f"tests.cases.{family}").CASES
    return cases


def every_case() -> dict[str, Case]:
    """Those of all tables, by table and name: "decentralized/D2"."""
    return {f"{family}/{name}": case for family in TABLES for name, case in table(family).items()}
