"""Vectors near the ends of their precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algorithms import Atomo, Compressor, Kashin, NonFiniteError, PowerSGD, SparseDithering, Spherical
from algorithms.compressors.wire import scaling
from tests.algorithms.compressors.helpers import compress

OPERATORS = [
    Atomo(budget=1),
    Atomo(atoms="singular", budget=0.5),
    Kashin(),
    PowerSGD(rank=1),
    SparseDithering(nu=0.5),
    SparseDithering(nu=2.0, randomized=True),
    Spherical(),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("compressor", OPERATORS, ids=str)
def test_what_is_decoded_is_finite_or_refused(compressor: Compressor, dtype: type) -> None:
    """With no warning of NumPy, and the same as of a vector that is far from the end, as long as it is finite."""
    random = np.random.default_rng(0)
    most = np.finfo(dtype).max
    for round in range(40):
        x = (most * random.uniform(-1, 1, (1, 36))).astype(dtype)
        for smaller in (1, 2.0**-3, 2.0**-20):
            rows = x * dtype(smaller)
            try:
                found = compress(compressor, rows, round).dense()
            except NonFiniteError as error:
                assert smaller > 2.0**-20
                assert "beyond its precision" in str(error)
                continue
            assert found.isfinite().all()
            scaled = compress(compressor, rows * dtype(2.0**-60), round).dense()
            torch.testing.assert_close(found * 2.0**-60, scaled, rtol=1e-5, atol=float(most) * 2.0**-60 * 1e-7)


def test_lifted_rows() -> None:
    x = np.array([[0.0, 0], [3, -5], [5e-324, 0], [1.7e308, 1], [1e-42, -1e-45]])
    lifted, exponents = scaling.lift(x)
    assert exponents[:, 0].tolist() == [0, 3, -1073, 1024, -139]
    np.testing.assert_array_equal(np.ldexp(lifted, exponents)[:3], x[:3])
    magnitudes = np.abs(lifted).max(1)
    assert magnitudes[0] == 0 and ((magnitudes[1:] >= 0.5) & (magnitudes[1:] < 1)).all()
    single = torch.zeros(1)
    assert scaling.drop(np.array([0.75]), np.array([128]), single, single).tolist() == [0.75 * 2.0**128]
    for exponent in (129, 2000):
        with pytest.raises(NonFiniteError, match=r"^Tensor: .* is beyond its precision$"):
            scaling.drop(np.array([0.75]), np.array([exponent]), single, single)
