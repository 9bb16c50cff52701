"""Random-k."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algorithms import RandomK
from algorithms.randomness import Draw
from tests.algorithms.compressors.helpers import HEADER


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("k", [1, 4, 13])
def test_random_k(k: int, unbiased: bool) -> None:
    x = np.random.default_rng(0).normal(size=(3, 13))
    draw = Draw(0, "compression", range(3), 0)
    message = RandomK(k=k, unbiased=unbiased).compress(torch.from_numpy(x), draw)
    for row in range(3):
        random = np.random.Generator(np.random.Philox(key=draw.key(row).own))
        kept = random.choice(13, k, replace=False, shuffle=False)
        expected = np.zeros(13)
        expected[kept] = x[row, kept] * (13 / k if unbiased else 1)
        np.testing.assert_array_equal(message.dense()[row], expected)
    assert message.nbytes.tolist() == [HEADER + 8 + 8 * k] * 3
