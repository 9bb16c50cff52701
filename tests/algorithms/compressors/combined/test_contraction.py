"""Unbiased operators as contractions."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms import QSGD, Compressor, Contraction, Identity, RandomK, TopK
from tests.algorithms.compressors.helpers import compress


@pytest.mark.parametrize("compressor", [QSGD(levels=2, bucket=5), RandomK(k=3, unbiased=True), Identity()], ids=str)
def test_contraction_is_the_operator_scaled(compressor: Compressor) -> None:
    x = np.random.default_rng(0).normal(size=(3, 13))
    scaled, plain = compress(Contraction(compressor), x), compress(compressor, x)
    np.testing.assert_allclose(scaled.dense(), plain.dense() / (1 + compressor.omega(13)), rtol=1e-15)
    assert scaled.nbytes.tolist() == plain.nbytes.tolist()


def test_contraction_takes_unbiased_operators() -> None:
    with pytest.raises(ValueError, match=r"^Contraction: TopK\(.*\) is biased"):
        Contraction(TopK(k=1))
    assert Contraction(QSGD(levels=2)).alpha(16) == 1 / (1 + 1)  # omega = min(16/4, 4/2, 16/16)
