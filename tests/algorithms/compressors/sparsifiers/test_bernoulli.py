"""Lazy communication."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algorithms import Bernoulli, NonFiniteError
from algorithms.randomness import Draw, Key
from tests.algorithms.compressors.helpers import HEADER


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [0.1, 0.3, 0.75, 1.0])
def test_bernoulli(p: float, dtype: type) -> None:
    x = np.random.default_rng(0).normal(size=(40, 7)).astype(dtype)
    draw = Draw(0, "compression", range(40), 0)
    message = Bernoulli(p).compress(torch.from_numpy(x), draw)
    sent = [np.random.Generator(np.random.Philox(key=draw.key(row).own)).random() < p for row in range(40)]
    expected = np.where(np.array(sent)[:, None], x * dtype(1 / p), 0)
    np.testing.assert_array_equal(message.dense(), expected)
    assert p == 1 or 0 < sum(sent) < 40
    assert message.nbytes.tolist() == [HEADER + 1 + 7 * x.itemsize * each for each in sent]
    assert message.entropy_bits.tolist() == [1 + 8 * 7 * x.itemsize * each for each in sent]
    assert message.paper_bits == pytest.approx(1 + 8 * 7 * x.itemsize * p)
    assert Bernoulli(p).omega(7) == pytest.approx(1 / p - 1)


@pytest.mark.parametrize("p", [0.0, -0.1, 1.1, float("nan")])
def test_range(p: float) -> None:
    with pytest.raises(ValueError, match=r"^Bernoulli: p = .* is not allowed; it must be in \(0, 1\]"):
        Bernoulli(p)


def test_refusals() -> None:
    with pytest.raises(NonFiniteError, match=r"^Bernoulli: .*beyond its precision"):
        Bernoulli(0.1).encode(torch.full((3,), 1e38), Key(0, 0, 0))
    for damaged in ([], [2], [0, 0], [1, 0, 0]):
        with pytest.raises(ValueError, match="payload"):
            Bernoulli(0.5).decode(torch.tensor(damaged, dtype=torch.uint8), torch.empty(3))
