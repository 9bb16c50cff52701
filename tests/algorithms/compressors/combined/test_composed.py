"""Sparsification and quantization together."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given

from algorithms import (
    QSGD,
    AdaptiveRandom,
    Composed,
    Compressor,
    Contraction,
    Identity,
    NonFiniteError,
    OneBit,
    PermK,
    QTopK,
    RandomBlock,
    RandomK,
    ScaledSign,
    SignTopK,
    Threshold,
    TopK,
)
from algorithms.compressors.wire import indices, symbols
from algorithms.layout import Layout
from algorithms.randomness import Draw, Key
from tests.algorithms.compressors.helpers import HEADER, NODES, compress, hypothesis, kept_entries, same_bits, stacks
from tests.algorithms.compressors.quantizers.test_qsgd import levels_of
from tests.algorithms.helpers import Array


def omega_of(k: int, s: int) -> float:
    return min(k / s**2, math.sqrt(k) / s, k / (4 * s**2))


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("s", [1, 3])
@pytest.mark.parametrize("k", [1, 5, 13])
def test_top_k_and_qsgd(k: int, s: int, scaled: bool) -> None:
    x = np.random.default_rng(0).standard_cauchy((3, 13))
    message = compress(Composed(TopK(k=k), QSGD(levels=s), scaled), x)
    omega = omega_of(k, s)
    for row, kept in enumerate(kept_entries(x, k)):
        key = Draw(0, "compression", [row], 0).key(0).part(1).own
        quantized, _ = levels_of(x[row, kept], s, "l2", k, key)
        expected = np.zeros(13)
        expected[kept] = quantized / (1 + omega if scaled else 1)
        np.testing.assert_allclose(message.dense()[row], expected, rtol=1e-12)
        index = len(indices.encode(np.flatnonzero(kept), 13))
        assert message.nbytes[row] == HEADER + index + 8 + symbols.length(k, 2 * s + 1)
    ideal = 63 + k * math.log2(2 * s + 1) + math.log2(math.comb(13, k))
    assert message.paper_bits == pytest.approx(ideal)
    operator = Composed(TopK(k=k), QSGD(levels=s), scaled)
    alpha = k / (13 * (1 + omega)) if scaled else max(0, 1 - omega) * k / 13
    assert operator.alpha(13) == pytest.approx(alpha)
    assert operator.biased and operator.omega(13) == math.inf


@hypothesis
@given(stacks())
def test_sign_top_k(stack_and_k: tuple[Array, int]) -> None:
    x, k = stack_and_k
    x = x.astype(np.float64)
    d = x.shape[1]
    kept = kept_entries(x, k)
    found = compress(SignTopK(k=k), x)
    sums = np.where(kept, np.abs(x), 0).sum(axis=1, keepdims=True)
    signs = np.where(x < 0, -1.0, 1.0)
    np.testing.assert_allclose(found.dense(), np.where(kept, sums / k * signs, 0), rtol=1e-14)
    lost, whole = ((found.dense().numpy() - x) ** 2).sum(1), (x**2).sum(1)
    np.testing.assert_allclose(lost, whole - sums[:, 0] ** 2 / k, rtol=1e-9, atol=1e-9 * whole.max())
    assert (lost <= (1 - SignTopK(k=k).alpha(d)) * whole * (1 + 1e-9)).all()
    index = [len(indices.encode(np.flatnonzero(row), d)) for row in kept]
    assert found.nbytes.tolist() == [HEADER + each + 8 + math.ceil(k / 8) for each in index]
    assert found.paper_bits == pytest.approx(k + 64 + math.log2(math.comb(d, k)))
    assert SignTopK(k=k).alpha(d) == pytest.approx(min(1 / k, k / d))


@pytest.mark.parametrize("quantizer", [ScaledSign(), ScaledSign(bucket=3), OneBit(), OneBit(bucket=4)], ids=str)
@pytest.mark.parametrize(("k", "d"), [(1, 1), (1, 9), (4, 9), (3, 30), (9, 9), (20, 30), (5, 500)])
def test_signs_of_the_largest_entries_contract_as_much_as_they_say(quantizer: Compressor, k: int, d: int) -> None:
    """No vector is compressed worse than alpha allows, and some are not better."""
    operator, random = Composed(TopK(k=k), quantizer), np.random.default_rng(d)
    flat = [(np.arange(d) < j) * 1.0 for j in range(1, d + 1, max(1, d // 40))] + [np.ones(d)]
    x = np.concatenate(
        [
            random.standard_normal((20, d)),
            random.standard_cauchy((20, d)),
            np.arange(1, d + 1) ** -random.uniform(0, 3, (20, 1)),
            random.permuted(np.array(flat), axis=1),
            np.array(flat),
        ]
    )
    kept = ((compress(operator, x).dense().numpy() - x) ** 2).sum(1) / (x**2).sum(1)
    assert (1 - kept).min() == pytest.approx(operator.alpha(d), rel=1e-9)


def test_the_theory_of_gamma_is_not_timid() -> None:
    """At 1 % of 10,000 entries alpha is 100 times the 1/d that was known before."""
    assert SignTopK(fraction=0.01).alpha(10_000) == pytest.approx(0.01)
    assert Composed(TopK(fraction=0.01), ScaledSign()).alpha(10_000) == pytest.approx(0.01)


def test_the_named_ones_are_the_compositions() -> None:
    x = torch.randn(3, 40, generator=torch.Generator().manual_seed(0))
    pairs: list[tuple[Compressor, Compressor]] = [
        (SignTopK(fraction=0.2), Composed(TopK(fraction=0.2), ScaledSign())),
        (QTopK(k=5), Composed(TopK(k=5), QSGD())),
        (QTopK(k=5, levels=2, norm="max", scaled=False), Composed(TopK(k=5), QSGD(levels=2, norm="max"), scaled=False)),
    ]
    for named, general in pairs:
        assert same_bits(compress(named, x).dense(), compress(general, x).dense())
        assert named.alpha(40) == general.alpha(40) and named.paper_bits(40, 4) == general.paper_bits(40, 4)


@pytest.mark.parametrize(
    "sparsifier",
    [TopK(k=3), Threshold(0.7), AdaptiveRandom(), RandomBlock(2, 4), RandomK(k=3, unbiased=True), PermK(8)],
    ids=str,
)
def test_a_quantizer_that_loses_nothing_leaves_the_sparsifier(sparsifier: Any) -> None:
    """With the draws of its part of the key."""
    x = torch.randn(9, generator=torch.Generator().manual_seed(0)).double()
    for node in range(NODES):
        key = Draw(0, "compression", range(NODES), 0).key(node)
        composed, alone = torch.empty(9).double(), torch.empty(9).double()
        Composed(sparsifier, Identity()).decode(Composed(sparsifier, Identity()).encode(x, key), composed)
        sparsifier.decode(sparsifier.encode(x, key.part(0)), alone)
        assert same_bits(composed, alone)
    assert Composed(sparsifier, Identity()).alpha(9) == sparsifier.alpha(9)
    assert Composed(sparsifier, Identity()).omega(9) == sparsifier.omega(9)


def test_a_number_of_kept_entries_that_varies() -> None:
    x = np.array([[0.1, -0.2, 0.3], [0.1, 2, 0.3], [3, -4, 5], [0, 0, 0]])
    kept = np.abs(x) >= 1
    found = compress(Composed(Threshold(1), ScaledSign()), x)
    means = np.where(kept, np.abs(x), 0).sum(1) / np.maximum(kept.sum(1), 1)
    np.testing.assert_allclose(found.dense(), np.where(kept, means[:, None] * np.sign(x), 0), rtol=1e-15)
    # The number of kept entries, their indices in 2 bytes, or 1 where there are none, a scale and the signs.
    assert found.nbytes.tolist() == [HEADER + size for size in (2, 1 + 2 + 9, 1 + 2 + 9, 2)]
    quantized = compress(Composed(Threshold(1), QSGD(levels=1)), x).dense()
    for row in range(4):
        k = int(kept[row].sum())
        key = Draw(0, "compression", [row], 0).key(0).part(1).own
        if k:
            expected, _ = levels_of(x[row, kept[row]], 1, "l2", k, key)
            np.testing.assert_allclose(quantized[row][torch.from_numpy(kept[row])], expected / (1 + omega_of(k, 1)))
    assert quantized.count_nonzero() > 0
    with pytest.raises(ValueError, match="payload of 1 bytes instead of 0"):
        payload = Composed(Threshold(1), QSGD()).encode(torch.zeros(3), Key(0, 0, 0))
        Composed(Threshold(1), QSGD()).decode(torch.cat([payload, payload[:1]]), torch.empty(3))


def test_constants() -> None:
    assert Composed(TopK(k=4), ScaledSign(bucket=2)).alpha(10) == pytest.approx(4 / 10)
    assert Composed(RandomK(k=4), ScaledSign(bucket=2)).alpha(10) == pytest.approx(4 / 10 / 2)
    assert Composed(RandomK(k=4), Contraction(QSGD(levels=1))).alpha(10) == pytest.approx(4 / 10 / 2)
    assert Composed(AdaptiveRandom(), QSGD(levels=2)).alpha(10) == pytest.approx(1 / 10 / (1 + 1 / 16))
    assert Composed(TopK(k=9), QSGD(levels=1), scaled=False).alpha(10) == 0  # omega = 9/4
    assert Composed(Threshold(1), ScaledSign()).alpha(10) == 0
    # Blocks of 2 and 3 entries of 10: one of them is kept.
    assert Composed(RandomBlock(4, 4), QSGD(levels=1)).alpha(10) == pytest.approx(1 / 4 / (1 + 3 / 4))
    both = Composed(RandomK(k=4, unbiased=True), QSGD(levels=1))
    assert not both.biased and both.omega(10) == pytest.approx(2.5 * 2 - 1)
    assert Composed(PermK(4), QSGD(levels=1)).omega(10) == pytest.approx(4 * (1 + 3 / 4) - 1)
    assert Composed(RandomK(k=4, unbiased=True), ScaledSign()).alpha(10) == 0
    assert QTopK(k=4, levels=2).payload_bytes(10, 4) is None
    assert Composed(RandomK(k=4), QSGD(levels=1)).payload_bytes(10, 4) == 8 + 4 + 1
    assert Composed(TopK(k=2), QSGD()).for_layout(Layout.vector(5)) == Composed(TopK(k=2), QSGD())


def test_draws_are_independent() -> None:
    """Random entries of random entries are random entries: every pair is equally frequent."""
    draws, pairs = 1500, 28
    ones = np.ones((1, 8))
    found = np.concatenate([compress(Composed(RandomK(k=4), RandomK(k=2)), ones, r).dense() for r in range(draws)])
    counts = np.unique(found @ 2 ** np.arange(8), return_counts=True)[1]
    assert len(counts) == pairs
    assert (np.abs(counts / draws - 1 / pairs) < 5 * math.sqrt(1 / pairs / draws)).all()


def test_what_overflows_is_refused() -> None:
    with pytest.raises(NonFiniteError, match=r"^Composed: .*beyond its precision"):
        Composed(RandomK(k=1, unbiased=True), Identity()).encode(torch.full((10,), 1e38), Key(0, 0, 0))


@pytest.mark.parametrize("kind", [SignTopK, QTopK])
def test_ranges(kind: type) -> None:
    with pytest.raises(ValueError, match=f"^{kind.__name__}: give exactly one of fraction"):
        kind()
    with pytest.raises(ValueError, match=rf"^{kind.__name__}: fraction = 2 is not allowed; it must be in \(0, 1\]"):
        kind(fraction=2)
    with pytest.raises(ValueError, match=f"^{kind.__name__}: k = 5 is not allowed; it must be at most d = 4"):
        kind(k=5).check_dimension(4)
    with pytest.raises(ValueError, match="levels = 0 is not allowed"):
        QTopK(k=1, levels=0)


def test_a_quantizer_for_fewer_entries_than_are_kept() -> None:
    with pytest.raises(ValueError, match="k = 3 is not allowed; it must be at most d = 2"):
        Composed(TopK(k=2), TopK(k=3)).check_dimension(10)
