"""Top-k."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given

from algorithms import TopK
from algorithms.compressors.sparsifiers import top_k
from tests.algorithms import reference
from tests.algorithms.compressors.helpers import compress, hypothesis, kept_entries, stacks
from tests.algorithms.helpers import Array


@hypothesis
@given(stacks())
def test_top_k_keeps_what_it_should(stack_and_k: tuple[Array, int]) -> None:
    x, k = stack_and_k
    kept = compress(TopK(k=k), x).dense().numpy()
    assert kept.dtype == x.dtype
    np.testing.assert_array_equal(kept, np.stack([reference.top_k(row, k) for row in x]))


@hypothesis
@given(stacks())
def test_top_k_contracts(stack_and_k: tuple[Array, int]) -> None:
    x, k = stack_and_k
    exact = x.astype(np.float64)
    lost = np.sum((compress(TopK(k=k), x).dense().numpy() - exact) ** 2, axis=1)
    kept = np.sum(exact**2, axis=1) - lost
    assert (lost <= (1 - k / x.shape[1]) * np.sum(exact**2, axis=1) * (1 + 1e-12)).all()
    np.testing.assert_allclose(kept, np.sum(compress(TopK(k=k), x).dense().double().numpy() ** 2, axis=1))


@pytest.mark.parametrize("d", [1, 4, 9])
def test_top_k_contracts_no_more_than_promised(d: int) -> None:
    ones = np.ones((1, d))
    for k in range(1, d + 1):
        lost = np.sum((ones - compress(TopK(k=k), ones).dense().numpy()) ** 2)
        assert lost == pytest.approx((1 - k / d) * d)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_top_k_of_long_vectors(dtype: type) -> None:
    """The compiled filter finds what sorting finds, also where its sample tells it little."""
    random = np.random.default_rng(0)
    d = 100_003
    rows = {
        "normal": random.standard_normal(d),
        "heavy tails": random.standard_cauchy(d),
        "few values": random.integers(-3, 4, d).astype(float),
        "zeros": np.zeros(d),
        "one spike": np.eye(1, d, 5)[0],
        "sorted": np.linspace(-1, 1, d),
        "all large ones together": np.where(np.arange(d) // 1000 == 7, 5.0, random.random(d)),
        "large ones where no sample is": np.where(np.arange(d) % 5, 2.0, 1.0),
    }
    for name, row in rows.items():
        for k in (1, 17, 1000, d // 10, d // 2, d - 1, d):
            found = top_k.largest_entries(torch.from_numpy(row.astype(dtype)), k).numpy()
            np.testing.assert_array_equal(found, np.flatnonzero(kept_entries(row.astype(dtype)[None], k)), name)


@pytest.mark.parametrize("arguments", [{}, {"fraction": 0.5, "k": 3}])
def test_top_k_takes_either_k_or_a_fraction(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^TopK: .*exactly one of fraction .* and k") as raised:
        TopK(**arguments)
    assert "\n" not in str(raised.value)


def test_k_is_at_most_d() -> None:
    assert TopK(k=4).kept(4) == 4
    with pytest.raises(ValueError, match=r"^TopK: k = 5 .* 4"):
        TopK(k=5).kept(4)
    with pytest.raises(ValueError, match=r"^TopK: k = 5 .* 4"):
        compress(TopK(k=5), np.ones((2, 4)))


@pytest.mark.parametrize(
    ("fraction", "d", "k"),
    [
        (1.0, 7, 7),
        (0.5, 7, 3),
        (0.01, 1, 1),
        (0.01, 99, 1),
        (0.01, 100, 1),
        (0.01, 299, 2),
        (0.1, 30, 3),
        (1e-9, 5, 1),
    ],
)
def test_fraction(fraction: float, d: int, k: int) -> None:
    assert TopK(fraction=fraction).kept(d) == k
    assert np.count_nonzero(compress(TopK(fraction=fraction), np.ones((1, d))).dense()) == k
