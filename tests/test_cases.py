"""The tables of cases leave nothing out."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

import algorithms
from algorithms import Algorithm, Federated, LocalOptimizer, Oracle, TwoWayMethod
from tests.cases import FAMILIES, NODES, every_case, table

BASES = {Algorithm, Oracle, Federated, TwoWayMethod}  # what others are made from


def below(base: type) -> set[type]:
    """The classes of this kind, however deep."""
    return {base}.union(*map(below, base.__subclasses__()))


def exported(base: type) -> set[type]:
    """The classes of this kind that a user can name, and those that no other is made from."""
    ours = {kind for kind in below(base) if kind.__module__.startswith("algorithms.")}
    return {kind for kind in ours if kind in vars(algorithms).values() or not below(kind) & ours - {kind}} - BASES


def parts(owner: object) -> set[type]:
    """The classes of all that this consists of."""
    inside = [getattr(owner, field.name) for field in fields(owner)] if is_dataclass(owner) else []  # type: ignore[arg-type]
    return {type(owner)}.union(*map(parts, inside))


def names(kinds: set[type]) -> list[str]:
    return sorted(kind.__name__ for kind in kinds)


def test_every_algorithm_is_in_the_table_of_its_family() -> None:
    for family in FAMILIES:
        here = {kind for kind in exported(Algorithm) if kind.__module__.startswith(f"algorithms.{family}.")}
        tried = {type(case.algorithm) for case in table(family).values()}
        assert names(here - tried) == [], f"tests/cases/{family}.py has no case of these"
        assert names(tried - here) == [], f"tests/cases/{family}.py has algorithms of another family"


def test_every_algorithm_has_a_family() -> None:
    packages = {kind.__module__.split(".")[1] for kind in exported(Algorithm)}
    assert packages == set(FAMILIES)


def test_every_oracle_and_every_optimizer_is_tried() -> None:
    tried = set().union(*(parts(case.algorithm) | parts(case.oracle) for case in every_case().values()))
    oracles = {kind for kind in exported(Oracle) if kind.gives == "gradients"}  # others are for asynchronous methods
    assert names(oracles - tried) == []
    assert names(exported(LocalOptimizer) - tried - {LocalOptimizer}) == []


def test_topologies_have_the_nodes_that_are_asked_for() -> None:
    for name, case in every_case().items():
        assert case.topology(NODES).n == NODES, name
