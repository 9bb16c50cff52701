"""Signs, scaled and as they are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given

from algorithms import ErrorFeedbackSGD, ScaledSign, Sign
from tests.algorithms.compressors.helpers import HEADER, compress, hypothesis, stacks
from tests.algorithms.error_feedback.literal import trained
from tests.algorithms.helpers import Array


@hypothesis
@given(stacks())
def test_scaled_sign(stack_and_k: tuple[Array, int]) -> None:
    x = stack_and_k[0].astype(np.float64)
    d = x.shape[1]
    signs = np.where(x < 0, -1.0, 1.0)
    found = compress(ScaledSign(), x).dense().numpy()
    np.testing.assert_allclose(found, np.abs(x).mean(axis=1, keepdims=True) * signs, rtol=1e-15)
    lost, whole, one = ((found - x) ** 2).sum(1), (x**2).sum(1), np.abs(x).sum(1)
    np.testing.assert_allclose(lost, whole - one**2 / d, rtol=1e-9, atol=1e-9 * whole.max())
    assert (lost <= (1 - 1 / d) * whole * (1 + 1e-12)).all()


@hypothesis
@given(stacks())
def test_sign(stack_and_k: tuple[Array, int]) -> None:
    x = stack_and_k[0]
    message = compress(Sign(), x)
    np.testing.assert_array_equal(message.dense().numpy(), np.where(x < 0, -1.0, 1.0))
    assert message.nbytes.tolist() == [HEADER + math.ceil(x.shape[1] / 8)] * len(x)


def test_without_a_scale_it_is_no_contraction() -> None:
    assert Sign().alpha(5) == 0
    with pytest.raises(ValueError, match="compressor"):
        trained(ErrorFeedbackSGD(compressor=Sign()), steps=1)
