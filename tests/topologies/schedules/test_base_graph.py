"""Base-(k+1) graphs: exact for every n, degrees, lengths, and the paper's example."""

import numpy as np
import pytest

from topologies import base_graph, contraction_per_round, one_peer_hypercube, simple_base_graph
from topologies.schedules.base_graph import Round, base_rounds, simple_base_rounds


def applied(rounds: list[Round], x: np.ndarray) -> np.ndarray:
    """What a period makes of a vector."""
    for each in rounds:
        if each:
            i, j = np.array(list(each)).T
            moved = np.array(list(each.values())) * (x[j] - x[i])
            x = x + np.bincount(i, moved, len(x)) - np.bincount(j, moved, len(x))
    return x


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
@pytest.mark.parametrize("make", [base_rounds, simple_base_rounds])
def test_the_average_is_exact_for_every_n(make, degree: int) -> None:
    for n in range(2, 201):
        rounds = make(range(n), degree)
        x = np.random.default_rng(n).normal(size=n)  # no inexact sequence averages such a vector
        assert np.abs(applied(rounds, x) - x.mean()).max() < 1e-13
        assert len(rounds) <= 2 * np.log(n) / np.log(degree + 1) + 2 + 1e-9
        for each in rounds:
            assert np.bincount(np.ravel(list(each))).max() <= degree
            assert min(each.values()) > 0


@pytest.mark.parametrize("n", [1, 2, 3, 6, 7, 25])
@pytest.mark.parametrize("family", [base_graph, simple_base_graph])
def test_schedules(family, n: int) -> None:
    schedule = family(n, 2)
    assert schedule.symmetric and schedule.doubly_stochastic and contraction_per_round(schedule) == 1
    assert all(each.matrix.min() >= 0 and each.in_degrees.max() <= 2 for each in schedule)


def test_a_power_is_the_hypercube() -> None:
    for ours, theirs in zip(base_graph(8), one_peer_hypercube(8), strict=True):
        np.testing.assert_array_equal(ours.matrix.toarray(), theirs.matrix.toarray())


def test_simple_base_2_graph_of_five_nodes() -> None:
    """5 = 4 + 1: the four average in pairs twice, the fifth meets one of them at 4/5, the four average again."""
    assert simple_base_graph(5).period == len(simple_base_rounds(range(5), 1)) == 5
    (third,) = [each for each in simple_base_graph(5) if 4 in np.flatnonzero(each.in_degrees)]
    assert third.matrix[4].toarray().ravel().max() == pytest.approx(4 / 5)
    assert base_graph(6).period == 4 < simple_base_graph(6).period  # as in the paper, figures 3 and 4


@pytest.mark.parametrize("n", [1, 2, 4, 16, 64])
def test_one_peer_hypercube_is_exact(n: int) -> None:
    schedule = one_peer_hypercube(n)
    assert contraction_per_round(schedule) == 1 and schedule.period == max(n.bit_length() - 1, 1)
    assert n == 1 or all((each.in_degrees == 1).all() for each in schedule)
    with pytest.raises(ValueError, match="got n = 12; nearest are 8 and 16"):
        one_peer_hypercube(12)
