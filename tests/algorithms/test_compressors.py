"""Compressors: what they keep, how far they are from it, and their form on the wire."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from algorithms import Compressor, Identity, Message, NonFiniteError, TopK
from algorithms.randomness import Draw
from tests.algorithms import reference
from tests.algorithms.helpers import Array

HEADER = 8


def compress(compressor: Compressor, x: Array | torch.Tensor) -> Message:
    x = torch.as_tensor(x)
    return compressor.compress(x, Draw(seed=0, purpose="compression", nodes=range(len(x)), round=0))


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()


def index_bits(d: int) -> int:
    return math.ceil(math.log2(d))


@st.composite
def stacks(draw: Any) -> tuple[Array, int]:
    """A stack of up to 4 rows with many zeros, ties and magnitudes, and a k for it."""
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    rows, d = draw(st.integers(1, 4)), draw(st.integers(1, 20))
    width = np.dtype(dtype).itemsize * 8
    numbers = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, -2.0]) | st.floats(-(2.0**20), 2.0**20, width=width)
    return draw(nps.arrays(dtype, (rows, d), elements=numbers)), draw(st.integers(1, d))


hypothesis = settings(deadline=None, database=None, derandomize=True, max_examples=200)


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


@hypothesis
@given(stacks())
def test_what_is_unpacked_is_what_the_sender_uses(stack_and_k: tuple[Array, int]) -> None:
    x, k = stack_and_k
    for compressor, bits in (
        (TopK(k=k), k * (8 * x.itemsize + index_bits(x.shape[1]))),
        (Identity(), 8 * x.itemsize * x.shape[1]),
    ):
        message = compress(compressor, x)
        packed = [message.pack(row) for row in range(len(x))]
        assert all(each.dtype == np.uint8 for each in packed)
        assert message.bits.tolist() == [bits] * len(x)
        assert message.nbytes.tolist() == [len(each) for each in packed] == [HEADER + -(-bits // 8)] * len(x)
        assert same_bits(message.unpack(np.concatenate(packed)), message.dense())
        # Any rows in any order, as they come from other nodes, with any message of the same kind.
        backwards = compress(compressor, np.ones_like(x)).unpack(np.concatenate(packed[::-1]))
        assert same_bits(backwards, message.dense().flip(0))


@pytest.mark.parametrize("d", [1, 2, 3, 4, 5, 255, 256, 257, 65536, 65537])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_index_width_at_powers_of_two(d: int, dtype: type) -> None:
    x = np.random.default_rng(0).normal(size=(2, d)).astype(dtype)
    x[0, d - 1] = 100  # the largest index is kept
    k = min(d, 7)
    message = compress(TopK(k=k), x)
    assert message.bits.tolist() == [k * (8 * x.itemsize + index_bits(d))] * 2
    packed = np.concatenate([message.pack(0), message.pack(1)])
    assert same_bits(message.unpack(packed), message.dense())
    np.testing.assert_array_equal(message.dense().numpy(), [reference.top_k(row, k) for row in x])


def test_the_bytes_of_a_small_message() -> None:
    # Width 3 bits, each index with its lowest bit first: 1 -> 100, 6 -> 011.
    message = compress(TopK(k=2), np.array([[0, -2, 0, 0, 1, 0, 4, 0.5]], np.float32))
    values = np.array([-2, 4], "<f4").tobytes()
    assert message.pack(0).tobytes() == (9).to_bytes(8, "little") + values + bytes([0b10001100])


@pytest.mark.parametrize("compressor", [Identity(), TopK(k=2)], ids=str)
def test_non_contiguous_stacks(compressor: Compressor) -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(6, 8)))
    for view in (x.T, x[:, ::2], x[::3, 1:6], x[:1].expand(3, 8)):
        message, plain = compress(compressor, view), compress(compressor, view.numpy().copy(order="C"))
        assert same_bits(message.dense(), plain.dense())
        packed = np.concatenate([message.pack(row) for row in range(len(view))])
        assert same_bits(message.unpack(packed), plain.dense())


@pytest.mark.parametrize("compressor", [Identity(), TopK(k=2)], ids=str)
def test_compressing_leaves_the_stack_alone(compressor: Compressor) -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 5)))
    before = x.clone()
    compress(compressor, x)
    assert same_bits(x, before)


def test_identity_keeps_everything() -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 5)))
    assert same_bits(compress(Identity(), x).dense(), x)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_top_k_refuses_what_is_not_finite(value: float) -> None:
    x = torch.zeros(3, 4)
    x[1, 2] = value
    with pytest.raises(NonFiniteError, match=r"^TopK: "):
        compress(TopK(k=1), x)


@pytest.mark.parametrize("compressor", [Identity(), TopK(k=2)], ids=str)
def test_truncated_messages_are_refused(compressor: Compressor) -> None:
    message = compress(compressor, np.random.default_rng(0).normal(size=(2, 5)))
    packed = np.concatenate([message.pack(0), message.pack(1)])
    whole = len(message.pack(0))
    for length in range(1, len(packed)):
        if length != whole:
            with pytest.raises(ValueError, match="truncated"):
                message.unpack(packed[:length])
    assert len(message.unpack(packed[:whole])) == 1


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
