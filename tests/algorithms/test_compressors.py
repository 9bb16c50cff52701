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

from algorithms import QSGD, Compressor, Contraction, Identity, Message, NonFiniteError, RandomK, ScaledSign, TopK
from algorithms.compressors import indices, symbols, top_k
from algorithms.randomness import Draw
from tests.algorithms import reference
from tests.algorithms.helpers import Array

HEADER = 24
EVERY = [
    Identity(),
    TopK(k=2),
    ScaledSign(),
    RandomK(k=2),
    RandomK(fraction=0.5, unbiased=True),
    QSGD(),
    QSGD(levels=1, norm="max", bucket=5),
    Contraction(QSGD(levels=2)),
]


def compress(compressor: Compressor, x: Array | torch.Tensor, round: int = 0) -> Message:
    x = torch.as_tensor(x)
    return compressor.compress(x, Draw(seed=0, purpose="compression", nodes=range(len(x)), round=round))


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()


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
    d = x.shape[1]
    for compressor in (TopK(k=k), Identity(), ScaledSign()):
        message = compress(compressor, x)
        packed = [message.pack(row) for row in range(len(x))]
        assert all(each.dtype == np.uint8 for each in packed)
        sizes = {
            TopK: [k * x.itemsize + len(indices.encode(np.flatnonzero(kept), d)) for kept in kept_entries(x, k)],
            Identity: [d * x.itemsize] * len(x),
            ScaledSign: [x.itemsize + math.ceil(d / 8)] * len(x),
        }[type(compressor)]
        assert message.nbytes.tolist() == [len(each) for each in packed] == [HEADER + size for size in sizes]
        assert message.bits.tolist() == [8 * len(each) for each in packed]
        assert same_bits(message.unpack(np.concatenate(packed)), message.dense())
        # Any rows in any order, as they come from other nodes, with any message of the same kind.
        backwards = compress(compressor, np.ones_like(x)).unpack(np.concatenate(packed[::-1]))
        assert same_bits(backwards, message.dense().flip(0))


def kept_entries(x: Array, k: int) -> Array:
    """(rows, d) bools: which entries are kept, even where their value is 0."""
    order = np.argsort(-np.abs(x), axis=1, kind="stable")
    kept = np.zeros(x.shape, bool)
    np.put_along_axis(kept, order[:, :k], True, axis=1)
    return kept


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_top_k_of_long_vectors(dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
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
    monkeypatch.setattr(top_k, "COMPILED", 0)
    for name, row in rows.items():
        for k in (1, 17, 1000, d // 10, d // 2, d - 1, d):
            found = top_k.largest(row.astype(dtype), k)
            np.testing.assert_array_equal(found, np.flatnonzero(kept_entries(row.astype(dtype)[None], k)), name)


def test_the_bytes_of_small_messages() -> None:
    row = np.array([[0, -2, 0, 0, 1, 0, 4, 0.5]], np.float32)
    message = compress(TopK(k=2), row)
    values = np.array([-2, 4], "<f4").tobytes()
    # Gaps 1 and 4 of Rice parameter 1: the low bits 1 0, and the quotients 0 and 2 in unary, 1 001.
    packed = message.pack(0).tobytes()
    assert packed[:4] == b"gs\x01\x00"
    assert packed[8:16] == (11).to_bytes(8, "little")
    assert packed[24:] == values + bytes([1, 0b10000000, 0b10010000])
    scale = np.array([7.5 / 8], "<f4").tobytes()
    assert compress(ScaledSign(), row).pack(0).tobytes()[24:] == scale + bytes([0b01000000])


@hypothesis
@given(st.integers(1, 3000), st.floats(0, 1), st.integers(0, 99))
def test_indices(d: int, share: float, seed: int) -> None:
    k = round(share * d)
    chosen = np.sort(np.random.default_rng(seed).choice(d, k, replace=False))
    section = indices.encode(chosen, d)
    np.testing.assert_array_equal(indices.decode(section, k, d), chosen)
    assert len(section) <= 1 + math.ceil(d / 8)  # never longer than a bitmap, by more than the first byte
    for wrong in (section[:-1], section[:0], np.append(section, np.uint8(255))):
        with pytest.raises(ValueError, match="damaged"):
            indices.decode(wrong, k, d)


@pytest.mark.parametrize("share", [1e-4, 1e-3, 0.01, 0.1])
def test_indices_take_little_more_than_their_entropy(share: float) -> None:
    d = 1_000_000
    k = round(share * d)
    chosen = np.sort(np.random.default_rng(0).choice(d, k, replace=False))
    assert 8 * len(indices.encode(chosen, d)) <= 1.02 * indices.entropy(k, d)


@pytest.mark.parametrize("compressor", EVERY, ids=str)
def test_damaged_and_foreign_messages_are_refused(compressor: Compressor) -> None:
    x = np.random.default_rng(0).normal(size=(1, 16))
    message = compress(compressor, x)
    packed = message.pack(0)
    name = type(compressor).__name__
    for position in range(len(packed)):
        if position == 3:  # unused
            continue
        damaged = packed.copy()
        damaged[position] ^= 1 << position % 8
        with pytest.raises(ValueError, match=f"^{name}: ") as raised:
            message.unpack(damaged)
        assert "\n" not in str(raised.value)
    others = [compress(each, x) for each in [*EVERY, TopK(k=3)] if each != compressor]
    others += [compress(compressor, np.ones((1, 17))), compress(compressor, x.astype(np.float32))]
    for other in others:
        with pytest.raises(ValueError, match="another operator, dimension or precision"):
            message.unpack(other.pack(0))
    for foreign in (np.zeros(100, np.uint8), np.empty(0, np.uint8), np.arange(24, dtype=np.uint8)):
        with pytest.raises(ValueError, match=f"^{name}: (not a|truncated) message"):
            message.unpack(foreign)


def levels_of(x: Array, s: int, norm: str, bucket: int, key: int) -> tuple[Array, Array]:
    """What QSGD makes of one vector, entry by entry, and the variance of each entry."""
    d = len(x)
    draws = np.random.Generator(np.random.Philox(key=key)).random((math.ceil(d / bucket), bucket), x.dtype).reshape(-1)
    found, variance = np.zeros(d), np.zeros(d)
    for i in range(d):
        part = x[i // bucket * bucket :][:bucket].astype(np.float64)
        scale = np.sqrt((part**2).sum()) if norm == "l2" else np.abs(part).max()
        place = s * abs(x[i]) / scale if scale else 0.0
        found[i] = scale * np.sign(x[i]) * min(math.floor(place + draws[i]), s) / s
        variance[i] = (scale / s) ** 2 * (place % 1) * (1 - place % 1)
    return found, variance


@pytest.mark.parametrize("norm", ["l2", "max"])
@pytest.mark.parametrize("s", [1, 2, 7, 100])
@pytest.mark.parametrize("bucket", [4, 10, 13])
def test_qsgd(norm: str, s: int, bucket: int) -> None:
    x = np.random.default_rng(0).normal(size=(3, 13))
    compressor = QSGD(levels=s, norm=norm, bucket=bucket)
    draw = Draw(0, "compression", range(3), 0)
    message = compressor.compress(torch.from_numpy(x), draw)
    for row in range(3):
        expected, _ = levels_of(x[row], s, norm, bucket, draw.key(row))
        np.testing.assert_allclose(message.dense()[row], expected, rtol=1e-12)
    buckets = math.ceil(13 / bucket)
    assert message.nbytes.tolist() == [HEADER + 8 * buckets + symbols.length(13, 2 * s + 1)] * 3
    assert symbols.length(13, 2 * s + 1) == 8 * math.ceil(13 / math.floor(64 / math.log2(2 * s + 1)))


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("k", [1, 4, 13])
def test_random_k(k: int, unbiased: bool) -> None:
    x = np.random.default_rng(0).normal(size=(3, 13))
    draw = Draw(0, "compression", range(3), 0)
    message = RandomK(k=k, unbiased=unbiased).compress(torch.from_numpy(x), draw)
    for row in range(3):
        random = np.random.Generator(np.random.Philox(key=draw.key(row)))
        kept = random.choice(13, k, replace=False, shuffle=False)
        expected = np.zeros(13)
        expected[kept] = x[row, kept] * (13 / k if unbiased else 1)
        np.testing.assert_array_equal(message.dense()[row], expected)
    assert message.nbytes.tolist() == [HEADER + 8 + 8 * k] * 3


@pytest.mark.parametrize("compressor", [QSGD(levels=2, bucket=5), RandomK(k=3, unbiased=True), Identity()], ids=str)
def test_contraction_is_the_operator_scaled(compressor: Compressor) -> None:
    x = np.random.default_rng(0).normal(size=(3, 13))
    scaled, plain = compress(Contraction(compressor), x), compress(compressor, x)
    np.testing.assert_allclose(scaled.dense(), plain.dense() / (1 + compressor.omega(13)), rtol=1e-15)
    assert scaled.nbytes.tolist() == plain.nbytes.tolist()


@pytest.mark.parametrize(
    "compressor",
    [each for each in [*EVERY, QSGD(levels=3, norm="max"), RandomK(k=3, unbiased=True)] if not each.biased],
    ids=str,
)
def test_unbiased_operators(compressor: Compressor) -> None:
    """The mean of many draws is x, and their variance what is promised; five standard errors."""
    d, draws = 9, 20_000
    x = np.random.default_rng(1).normal(size=d)
    found = np.stack([compress(compressor, x[None], round).dense().numpy()[0] for round in range(draws)])
    error = found.std(axis=0) / math.sqrt(draws)
    assert (np.abs(found.mean(axis=0) - x) <= 5 * error + 1e-12).all()
    variances = ((found - x) ** 2).sum(axis=1) / (x**2).sum()
    assert variances.mean() <= compressor.omega(d) + 5 * variances.std() / math.sqrt(draws) + 1e-12
    if isinstance(compressor, QSGD):
        _, exact = levels_of(x, compressor.levels, compressor.norm, compressor.bucket or d, 0)
        assert found.var(axis=0) == pytest.approx(exact, rel=0.1)
    if isinstance(compressor, RandomK):
        assert variances.mean() == pytest.approx(d / compressor.kept(d) - 1, rel=0.05)


@pytest.mark.parametrize("compressor", [each for each in EVERY if each.random], ids=str)
def test_contractions_hold_on_average(compressor: Compressor) -> None:
    d, draws = 9, 5_000
    if compressor.alpha(d) == 0:
        return
    x = np.random.default_rng(1).normal(size=d)
    found = np.stack([compress(compressor, x[None], round).dense().numpy()[0] for round in range(draws)])
    lost = ((found - x) ** 2).sum(axis=1) / (x**2).sum()
    assert lost.mean() <= 1 - compressor.alpha(d) + 5 * lost.std() / math.sqrt(draws)
    if isinstance(compressor, RandomK):
        assert lost.mean() == pytest.approx(1 - compressor.alpha(d), rel=0.05)


@pytest.mark.parametrize("compressor", [each for each in EVERY if each.random], ids=str)
def test_draws_depend_on_seed_node_and_round_alone(compressor: Compressor) -> None:
    x = torch.randn(4, 30, generator=torch.Generator().manual_seed(0)).repeat(2, 1)
    whole = compressor.compress(x, Draw(3, "compression", range(8), 5)).dense()
    parts = [compressor.compress(x[a:b], Draw(3, "compression", range(a, b), 5)).dense() for a, b in ((0, 3), (3, 8))]
    assert same_bits(whole, torch.cat(parts))
    assert not torch.equal(whole[:4], whole[4:])
    for seed, round in ((4, 5), (3, 6)):
        assert not torch.equal(whole, compressor.compress(x, Draw(seed, "compression", range(8), round)).dense())


@pytest.mark.parametrize("compressor", EVERY, ids=str)
def test_no_bits_are_missing(compressor: Compressor) -> None:
    """alpha 4^(bits / d) >= 1 (Albasyoni, Safaryan, Condat, Richtarik, 2020), at the worst vector found."""
    d = 40
    x = np.random.default_rng(0).standard_normal((200, d))
    message = compress(compressor, x)
    error = ((message.dense().numpy() - x) ** 2).sum(1) / (x**2).sum(1)
    if error.max() < 1:
        assert max(error.max(), 1e-16) * 4 ** (float(message.bits[0]) / d) >= 1


@hypothesis
@given(st.integers(2, 70_000), st.integers(0, 200), st.integers(0, 99))
def test_symbols(base: int, n: int, seed: int) -> None:
    chosen = np.random.default_rng(seed).integers(base, size=n).astype(np.uint64)
    chosen[: n // 2] = base - 1
    packed = symbols.encode(chosen, base)
    assert len(packed) == symbols.length(n, base)
    np.testing.assert_array_equal(symbols.decode(packed, n, base), chosen)


def test_contraction_takes_unbiased_operators() -> None:
    with pytest.raises(ValueError, match=r"^Contraction: TopK\(.*\) is biased"):
        Contraction(TopK(k=1))
    assert Contraction(QSGD(levels=2)).alpha(16) == 1 / (1 + 1)  # omega = min(16/4, 4/2, 16/16)


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


@pytest.mark.parametrize("compressor", EVERY, ids=str)
def test_non_contiguous_stacks(compressor: Compressor) -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(6, 8)))
    for view in (x.T, x[:, ::2], x[::3, 1:6], x[:1].expand(3, 8)):
        message, plain = compress(compressor, view), compress(compressor, view.numpy().copy(order="C"))
        assert same_bits(message.dense(), plain.dense())
        packed = np.concatenate([message.pack(row) for row in range(len(view))])
        assert same_bits(message.unpack(packed), plain.dense())


@pytest.mark.parametrize("compressor", EVERY, ids=str)
def test_compressing_leaves_the_stack_alone(compressor: Compressor) -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 5)))
    before = x.clone()
    compress(compressor, x)
    assert same_bits(x, before)


def test_identity_keeps_everything() -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 5)))
    assert same_bits(compress(Identity(), x).dense(), x)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("compressor", EVERY, ids=str)
def test_what_is_not_finite_is_refused(compressor: Compressor, value: float) -> None:
    x = torch.zeros(3, 4)
    x[1, 2] = value
    with pytest.raises(NonFiniteError, match=f"^{type(compressor).__name__}: "):
        compress(compressor, x)


@pytest.mark.parametrize("compressor", EVERY, ids=str)
@pytest.mark.parametrize("scale", [0.0, 1e-42, 1e30])
def test_awkward_sizes(compressor: Compressor, scale: float) -> None:
    x = scale * torch.randn(2, 50, generator=torch.Generator().manual_seed(0))
    message = compress(compressor, x)
    assert message.dense().isfinite().all()
    if compressor.alpha(50) > 0 and not compressor.random:
        assert (message.dense() - x).double().norm() <= x.double().norm() * (1 + 1e-6)


@pytest.mark.parametrize("compressor", EVERY, ids=str)
def test_half_precision(compressor: Compressor) -> None:
    x = torch.randn(3, 40, generator=torch.Generator().manual_seed(0)).bfloat16()
    message = compress(compressor, x)
    assert message.dense().dtype == torch.bfloat16
    assert torch.equal(message.dense(), compress(compressor, x.float()).dense().bfloat16())


@pytest.mark.parametrize("compressor", EVERY, ids=str)
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
