"""What algorithms need of a topology: nothing averages over columns that sum to 1 without meaning to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import networkx as nx
import pytest

from algorithms import Algorithm, DecentralizedSGD, ExactDiffusion, GossipAveraging, PushSumSGD, RelaySGD
from gossip.needs import PROPERTIES, bias, check_needs
from topologies import Schedule, Topology, one_peer_exponential, path, random_out, randomized_gossip, ring, star

PUSH_SUM = {"PushSumSGD", "PushDiging", "PushSumAveraging"}


def classes(kind: type[Algorithm] = Algorithm) -> list[type[Algorithm]]:
    """All algorithms of the package, of all generations."""
    found = [each for child in kind.__subclasses__() for each in (child, *classes(child))]
    named = [each for each in found if each.__module__.startswith("algorithms.")]
    return [each for each in named if isinstance(each.needs, tuple)]  # others need what a method within them does


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_only_push_sum_methods_and_those_without_w_take_columns_that_sum_to_1(kind: type[Algorithm]) -> None:
    assert set(kind.needs) <= set(PROPERTIES)
    algorithm = object.__new__(kind)  # only its class is looked at
    columns = Topology(nx.DiGraph(random_out(8).graph), "push")
    if kind.__name__ in PUSH_SUM or not kind.needs:
        check_needs(algorithm, columns)
    else:
        with pytest.raises(ValueError, match=f"^{kind.__name__} needs a topology that is "):
            check_needs(algorithm, columns)


@dataclass(frozen=True)
class Unspecific(Algorithm):
    """A user's, that says nothing."""


@dataclass(frozen=True)
class Fixed(Algorithm):
    """A user's, that says nothing about sums."""

    needs: ClassVar[tuple[str, ...]] = ("static",)


@pytest.mark.parametrize(
    ("algorithm", "topology", "says"),
    [
        (Unspecific(), random_out(8), "row stochastic, and random_out is not; Topology(graph) is"),
        (Fixed(), random_out(8), "row stochastic, and random_out is not; Topology(graph) is"),
        (Fixed(), one_peer_exponential(8), "static, and one_peer_exponential is not; ring"),
        (
            PushSumSGD(),
            Topology(star(4).graph, "uniform"),
            "column stochastic, and custom is not; Topology(graph, weig",
        ),
        (RelaySGD(), ring(4), "a tree, and ring is not; path and star are"),
        (RelaySGD(), randomized_gossip(4, "path"), "static, and randomized_gossip is not"),
        (ExactDiffusion(), random_out(8), "symmetric, and random_out is not; ring"),
    ],
)
def test_refusals(algorithm: Algorithm, topology: Schedule, says: str) -> None:
    with pytest.raises(ValueError) as raised:
        check_needs(algorithm, topology)
    assert f"{type(algorithm).__name__} needs a topology that is {says}" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("algorithm", "topology", "biased"),
    [
        (DecentralizedSGD(), Topology(star(5).graph, "uniform"), True),
        (Fixed(), Topology(star(5).graph, "uniform"), True),
        (GossipAveraging(), randomized_gossip(5), False),
        (DecentralizedSGD(), ring(5), False),
        (PushSumSGD(), random_out(5), False),
        (RelaySGD(), path(5, "uniform"), False),
    ],
)
def test_only_averaging_by_rows_alone_is_biased(algorithm: Algorithm, topology: Schedule, biased: bool) -> None:
    check_needs(algorithm, topology)
    warning = bias(algorithm, topology)
    assert (warning is not None) == biased
    assert warning is None or f"of {topology.name} is not doubly stochastic" in warning
