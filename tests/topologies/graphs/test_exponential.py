"""Exponential graphs."""

from __future__ import annotations

import numpy as np
import pytest

from topologies import exponential


@pytest.mark.parametrize(("n", "hops"), [(2, [1]), (3, [1, 2]), (7, [1, 2, 4]), (8, [1, 2, 4]), (9, [1, 2, 4, 8])])
def test_exponential_sends_powers_of_two_ahead(n: int, hops: list[int]) -> None:
    topology = exponential(n)
    for i in range(n):
        for hop in hops:
            assert i in topology.neighbors((i + hop) % n)
    assert (topology.in_degrees == len(hops)).all()
    np.testing.assert_array_equal(topology.matrix.data, 1 / (1 + len(hops)))
