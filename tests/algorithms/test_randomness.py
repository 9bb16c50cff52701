"""Streams of random numbers."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms.randomness import WORD, Draw, random_bits, stream


@pytest.mark.parametrize("key", [0, 5, 1 << 63, WORD])
def test_streams_are_those_of_philox(key: int) -> None:
    expected = np.random.Generator(np.random.Philox(key=key))
    found = stream(key)
    np.testing.assert_array_equal(found.standard_normal(9), expected.standard_normal(9))
    np.testing.assert_array_equal(found.choice(50, 7, replace=False), expected.choice(50, 7, replace=False))


def test_keys_of_a_round_share_the_common_bits() -> None:
    draw = Draw(3, "compression", range(4, 7), 11)
    keys = [draw.key(row) for row in range(3)]
    assert {key.common for key in keys} == {draw.common}
    assert [key.own for key in keys] == [random_bits(draw.common, node) for node in (4, 5, 6)]
    assert draw.common not in {
        Draw(*other).common for other in ((3, "compression", range(4, 7), 12), (3, "x", [4], 11))
    }
