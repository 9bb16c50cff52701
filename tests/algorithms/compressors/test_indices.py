"""Index sets on the wire."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.compressors import indices
from tests.algorithms.compressors.helpers import hypothesis


@hypothesis
@given(st.integers(1, 3000), st.floats(0, 1), st.integers(0, 99))
def test_indices(d: int, share: float, seed: int) -> None:
    k = round(share * d)
    chosen = np.sort(np.random.default_rng(seed).choice(d, k, replace=False))
    section = indices.encode(chosen, d)
    found, rest = indices.decode(np.append(section, np.uint8(77)), k, d)
    np.testing.assert_array_equal(found, chosen)
    assert rest.tolist() == [77]
    assert len(section) <= 1 + math.ceil(d / 8)  # never longer than a bitmap, by more than the first byte
    for wrong in (section[:-1], section[:0]):
        if k or not len(wrong):
            with pytest.raises(ValueError, match="damaged"):
                indices.decode(wrong, k, d)


@pytest.mark.parametrize("share", [1e-4, 1e-3, 0.01, 0.1])
def test_indices_take_little_more_than_their_entropy(share: float) -> None:
    d = 1_000_000
    k = round(share * d)
    chosen = np.sort(np.random.default_rng(0).choice(d, k, replace=False))
    assert 8 * len(indices.encode(chosen, d)) <= 1.02 * indices.entropy(k, d)
