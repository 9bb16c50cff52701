"""One-peer exponential graphs."""

import numpy as np
import pytest

from topologies import (
    one_peer_exponential,
)


def product(n: int) -> np.ndarray:
    result = np.eye(n)
    for each in one_peer_exponential(n):
        result = each.matrix @ result
    return result


@pytest.mark.parametrize("n", range(1, 34))
def test_average_is_exact_iff_n_is_a_power_of_two(n: int) -> None:
    exact = np.abs(product(n) - 1 / n).max() < 1e-15
    assert exact == (n & (n - 1) == 0)


@pytest.mark.parametrize(("n", "distance"), [(6, 0.22), (12, 0.21)])
def test_distance_from_the_average(n: int, distance: float) -> None:
    assert np.linalg.norm(product(n) - 1 / n, ord=2) == pytest.approx(distance, abs=0.005)


def test_round_t_sends_two_to_the_t_ahead() -> None:
    schedule = one_peer_exponential(11)
    assert len(schedule) == 4 and schedule.n == 11 and schedule.name == "one_peer_exponential"
    assert schedule.doubly_stochastic and not schedule.symmetric and not schedule.static
    for t in range(9):
        for i in range(11):
            assert schedule[t].neighbors(i).tolist() == [(i - 2 ** (t % 4)) % 11]
        assert set(schedule[t].matrix.data) == {0.5}


def test_one_and_two_nodes() -> None:
    assert one_peer_exponential(1)[3].matrix.toarray().tolist() == [[1.0]]
    assert one_peer_exponential(2)[0].matrix.toarray().tolist() == [[0.5, 0.5], [0.5, 0.5]]
