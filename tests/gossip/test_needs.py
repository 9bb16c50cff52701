"""What algorithms need of a topology: nothing averages over columns that sum to 1 without meaning to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import networkx as nx
import numpy as np
import pytest

from algorithms import (
    D2,
    Algorithm,
    Beer,
    Cedas,
    DcdPSGD,
    DecentralizedSGD,
    DeepSqueeze,
    EcdPSGD,
    ExactDiffusion,
    Extra,
    GossipAveraging,
    GradientTracking,
    Lead,
    Nids,
    PgExtra,
    ProxLead,
    PushDiging,
    PushSumAveraging,
    PushSumSGD,
    RelaySGD,
)
from gossip.needs import PROPERTIES, bias, check_needs
from topologies import (
    Schedule,
    Topology,
    complete,
    exponential,
    one_peer_exponential,
    path,
    random_out,
    randomized_gossip,
    ring,
    star,
)

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


UNIFORM = Topology(random_out(8).graph, "uniform")  # rows sum to 1, columns do not
WEIGHTED = Topology.from_matrix(np.array([[0.5, 0.5, 0.0], [0.25, 0.5, 0.25], [0.0, 0.5, 0.5]]))  # likewise
LEADS = (Lead(), ProxLead(), Cedas())
TAKE_DIRECTIONS = (DcdPSGD(), EcdPSGD(), DeepSqueeze(), Beer(), GradientTracking())


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
        (PushDiging(), UNIFORM, "column stochastic"),
        (PushSumAveraging(), UNIFORM, "column stochastic"),
        (GossipAveraging(), random_out(8), "row stochastic, and random_out is not; Topology(graph) is"),
        (RelaySGD(), ring(4), "a tree, and ring is not; path and star are"),
        (RelaySGD(), complete(4), "a tree, and complete is not"),
        (RelaySGD(), random_out(6), "a tree, and random_out is not"),
        (RelaySGD(), randomized_gossip(4, "path"), "static, and randomized_gossip is not"),
        (RelaySGD(), Schedule([path(4), star(4)]), "static"),
        (ExactDiffusion(), random_out(8), "symmetric, and random_out is not; ring"),
        *((method, exponential(8), "symmetric") for method in (D2(), Extra(), PgExtra(), Nids(), *LEADS)),
        *((method, one_peer_exponential(8), "static") for method in (D2(), *LEADS, DcdPSGD(), EcdPSGD(), Beer())),
        *((method, WEIGHTED, "symmetric") for method in LEADS),
        *((method, WEIGHTED, "doubly stochastic") for method in TAKE_DIRECTIONS),
    ],
    ids=str,
)
def test_refusals(algorithm: Algorithm, topology: Schedule, says: str) -> None:
    with pytest.raises(ValueError) as raised:
        check_needs(algorithm, topology)
    assert f"{type(algorithm).__name__} needs a topology that is {says}" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("algorithm", TAKE_DIRECTIONS, ids=str)
def test_some_take_a_directed_graph_whose_weights_are_doubly_stochastic(algorithm: Algorithm) -> None:
    check_needs(algorithm, exponential(13))
    if isinstance(algorithm, DeepSqueeze | GradientTracking):
        check_needs(algorithm, one_peer_exponential(8))


def test_the_least_eigenvalue() -> None:
    """It is -1/3 that matters for D2, and for LEAD with (I - gamma / 2 (I - W)) in the place of W; ring(8) has -1/3."""
    check_needs(D2(), ring(8))
    with pytest.raises(ValueError, match=r"D2 needs a mixing matrix with all eigenvalues above -0\.3333, .* of -0\.34"):
        check_needs(D2(), Topology.from_matrix(np.array([[0.33, 0.67], [0.67, 0.33]])))
    check_needs(Lead(gamma=2 / (1 + 1 / 3)), ring(8))
    with pytest.raises(ValueError, match=r"Lead needs a mixing matrix with all eigenvalues above -0\.33"):
        check_needs(Lead(gamma=2 / (1 + 1 / 3) + 1e-3), ring(8))


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
