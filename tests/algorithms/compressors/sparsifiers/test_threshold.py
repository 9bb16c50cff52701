"""Hard thresholds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from algorithms import Threshold
from algorithms.compressors.wire import frames, indices
from tests.algorithms.compressors.helpers import HEADER, compress, hypothesis, stacks
from tests.algorithms.helpers import Array


@hypothesis
@given(stacks(), st.sampled_from([1e-50, 0.1, 0.5, 1.0, 2.0, 1e50]))
def test_threshold(stack_and_k: tuple[Array, int], threshold: float) -> None:
    x = stack_and_k[0]
    d = x.shape[1]
    message = compress(Threshold(threshold), x)
    with np.errstate(over="ignore"):
        kept = np.abs(x) >= x.dtype.type(threshold)
    np.testing.assert_array_equal(message.dense(), np.where(kept, x, 0))
    lost = ((message.dense().double().numpy() - x) ** 2).sum(1)
    assert (lost <= d * threshold**2 * (1 + 1e-6)).all()
    for row in range(len(x)):
        k = int(kept[row].sum())
        index = len(indices.encode(np.flatnonzero(kept[row]), d))
        assert message.nbytes[row] == HEADER + 1 + index + k * x.itemsize
        bits = 8 * x.itemsize * k + math.log2(d + 1) + math.log2(math.comb(d, k))
        assert message.entropy_bits[row] == pytest.approx(bits)


def test_many_kept_entries() -> None:
    x = np.where(np.arange(1000) % 3 == 0, 1.0, 0.1)[None]
    message = compress(Threshold(0.5), x)
    np.testing.assert_array_equal(message.dense(), np.where(x == 1, x, 0))
    index = len(indices.encode(np.arange(0, 1000, 3), 1000))
    assert message.nbytes.tolist() == [HEADER + 2 + index + 334 * 8]
    assert Threshold(0.5).paper_bits(1000, 8) == 64_000 + math.log2(1001)


def test_no_contraction_and_no_damaged_numbers() -> None:
    assert Threshold(0.5).alpha(10) == 0
    assert Threshold(0.5).b1(10) is Threshold(0.5).b3(10) is None
    with pytest.raises(ValueError, match="5 of 4 entries"):
        Threshold(0.5).decode(torch.cat([frames.varints([5]), torch.zeros(30, dtype=torch.uint8)]), torch.empty(4))


@pytest.mark.parametrize("threshold", [0.0, -1.0, math.nan, math.inf])
def test_range(threshold: float) -> None:
    with pytest.raises(ValueError, match=r"^Threshold: threshold = .* is not allowed; it must be > 0"):
        Threshold(threshold)
