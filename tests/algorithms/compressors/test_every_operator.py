"""Compressors: what they keep, how far they are from it, and their form on the wire."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given

from algorithms import (
    QSGD,
    Blocks,
    Compressor,
    Identity,
    NonFiniteError,
    Polyline,
    RandomBlock,
    RandomK,
    ScaledSign,
    SparseDithering,
    TopK,
)
from algorithms.compressors.wire import indices
from algorithms.numerics.compiled import COMPILED, parts_of
from algorithms.randomness import Draw, Key
from tests.algorithms.compressors.helpers import (
    EVERY,
    HEADER,
    compress,
    hypothesis,
    kept_entries,
    same_bits,
    stacks,
)
from tests.algorithms.compressors.quantizers.test_qsgd import levels_of
from tests.algorithms.helpers import Array


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


def test_the_bytes_of_small_messages() -> None:
    row = np.array([[0, -2, 0, 0, 1, 0, 4, 0.5]], np.float32)
    message = compress(TopK(k=2), row)
    values = np.array([-2, 4], "<f4").tobytes()
    # Gaps 1 and 4 of Rice parameter 0: in unary, 01 00001.
    packed = message.pack(0).tobytes()
    assert packed[:4] == b"gs\x01\x00"
    assert packed[8:16] == (10).to_bytes(8, "little")
    assert packed[24:] == bytes([0, 0b1000010]) + values
    scale = np.array([7.5 / 8], "<f4").tobytes()
    assert compress(ScaledSign(), row).pack(0).tobytes()[24:] == bytes([0b00000010]) + scale


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


def drawn(compressor: Compressor) -> tuple[Array, Array]:
    """A vector (9,), and what many draws (m, 9) make of it, by compiled loops, which are the faster ones."""
    x = np.random.default_rng(1).normal(size=9)
    vector, found = torch.from_numpy(x), np.empty((5_000 if isinstance(compressor, QSGD) else 2_000, 9))
    with parts_of(COMPILED):
        for round, row in enumerate(torch.from_numpy(found)):
            compressor.decode(compressor.encode(vector, Draw(0, "compression", [0], round).key(0)), row)
    return x, found


MORE = QSGD(levels=3, norm="max"), RandomK(k=3, unbiased=True)


@pytest.mark.parametrize("compressor", [each for each in [*EVERY, *MORE] if each.random or not each.biased], ids=str)
def test_moments_of_many_draws(compressor: Compressor) -> None:
    """Both facts about the same draws, which take long."""
    x, found = drawn(compressor)
    if not compressor.biased:
        check_unbiased(compressor, x, found)
    if compressor.alpha(9) > 0 and compressor.random:
        check_contraction(compressor, x, found)


def check_unbiased(compressor: Compressor, x: Array, found: Array) -> None:
    """The mean of many draws is x, and their variance what is promised; five standard errors."""
    d = 9
    error = found.std(axis=0) / math.sqrt(len(found))
    assert (np.abs(found.mean(axis=0) - x) <= 5 * error + 1e-12).all()
    variances = ((found - x) ** 2).sum(axis=1) / (x**2).sum()
    assert variances.mean() <= compressor.omega(d) + 5 * variances.std() / math.sqrt(len(found)) + 1e-12
    if isinstance(compressor, QSGD):
        _, exact = levels_of(x, compressor.levels, compressor.norm, compressor.bucket or d, 0)
        assert found.var(axis=0) == pytest.approx(exact, rel=0.1)
    if isinstance(compressor, RandomK):
        assert variances.mean() == pytest.approx(d / compressor.kept(d) - 1, rel=0.05)


def check_contraction(compressor: Compressor, x: Array, found: Array) -> None:
    """It holds on average; five standard errors."""
    lost = ((found - x) ** 2).sum(axis=1) / (x**2).sum()
    assert lost.mean() <= 1 - compressor.alpha(9) + 5 * lost.std() / math.sqrt(len(found))
    if isinstance(compressor, RandomK):
        assert lost.mean() == pytest.approx(1 - compressor.alpha(9), rel=0.05)


@pytest.mark.parametrize("compressor", [each for each in EVERY if each.random], ids=str)
def test_draws_depend_on_seed_node_and_round_alone(compressor: Compressor) -> None:
    x = torch.randn(4, 30, generator=torch.Generator().manual_seed(0)).repeat(2, 1)
    whole = compressor.compress(x, Draw(3, "compression", range(8), 5)).dense()
    parts = [compressor.compress(x[a:b], Draw(3, "compression", range(a, b), 5)).dense() for a, b in ((0, 3), (3, 8))]
    assert same_bits(whole, torch.cat(parts))
    assert torch.equal(whole[:4], whole[4:]) == isinstance(compressor, RandomBlock)  # which has common draws alone
    for seed, round in ((4, 5), (3, 6)):
        assert not torch.equal(whole, compressor.compress(x, Draw(seed, "compression", range(8), round)).dense())


def hard_vectors(compressor: Compressor, d: int) -> Array:
    """Vectors of many kinds, and what the operator leaves of them: what is left over is often harder to compress."""
    random = np.random.default_rng(d)
    x = np.concatenate(
        [
            random.standard_normal((6, d)),
            random.laplace(size=(6, d)),
            random.standard_cauchy((6, d)),
            random.uniform(-1, 1, (3, d)),
            random.choice([-1.0, 1.0], (3, d)),
            random.standard_normal((3, d)) * (random.uniform(size=(3, d)) < 0.05) + 1e-9,
            np.arange(1, d + 1) ** -np.array([[0.5], [1.0], [2.0]]),
            np.eye(d)[:3],
            np.ones((1, d)),
        ]
    )
    found = [x]
    for _ in range(3):
        left = found[-1] - compress(compressor, found[-1]).dense().numpy()
        found.append(left / np.maximum(np.sqrt((left**2).sum(1, keepdims=True)), 1e-30) + 1e-30)
    return np.concatenate(found)


def measured(compressor: Compressor, x: Array) -> tuple[Array, Array]:
    """(|C(x) - x|^2 / |x|^2 of each row, over two draws, and the bits of its payload).

    An unbiased operator with error w is counted as the contraction C / (1 + w) that is had from it for nothing.
    """
    errors, bits = [], []
    for round in range(2 if compressor.random else 1):
        message = compress(compressor, x, round)
        errors.append(((message.dense().numpy() - x) ** 2).sum(1) / (x**2).sum(1))
        bits.append(message.bits.numpy() - 8 * HEADER)
    error = np.mean(errors, axis=0)
    return error if compressor.biased else error / (1 + error), np.mean(bits, axis=0)


def too_few(error: float, bits: float, d: int) -> bool:
    """Whether nothing can have that error with so few bits; errors below that of double precision cannot be told."""
    return max(error, 1e-30) * 4 ** min(bits / (d - 1), 500) < 1


@pytest.mark.parametrize("compressor", EVERY, ids=str)
def test_no_bits_are_missing(compressor: Compressor) -> None:
    """The worst error alpha and the most bits have alpha 4^(bits / d) >= 1 (Albasyoni, Safaryan, Condat, Richtarik,
    2020). For Gaussian vectors the mean error and the mean bits have it too, which is Shannon's bound and far sharper.
    """
    d = 50 if isinstance(compressor, Blocks) else 200  # many short blocks take as long as all the rest together
    with parts_of(COMPILED):
        error, bits = measured(compressor, hard_vectors(compressor, d))
        assert not too_few(error.max(), bits.max(), d)
        error, bits = measured(compressor, np.random.default_rng(1).standard_normal((20, d)))
    assert not too_few(error.mean(), bits.mean(), d)


@pytest.mark.parametrize("compressor", [ScaledSign(), QSGD(levels=7, norm="max"), SparseDithering()], ids=str)
def test_half_of_the_bits_would_be_too_few(compressor: Compressor) -> None:
    error, bits = measured(compressor, np.random.default_rng(1).standard_normal((20, 200)))
    assert too_few(error.mean(), bits.mean() / 2, 200)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("compressor", EVERY, ids=str)
def test_adding_a_message(compressor: Compressor, dtype: torch.dtype) -> None:
    for rows in (1, 3):
        x = torch.randn(rows, 40, generator=torch.Generator().manual_seed(0)).to(dtype)
        stack = torch.randn(rows, 40, generator=torch.Generator().manual_seed(1)).to(dtype)
        message, total = compress(compressor, x), stack.clone()
        message.add(total)
        assert torch.equal(total, stack + message.dense())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("compressor", EVERY, ids=str)
def test_compiled_or_not(compressor: Compressor, dtype: torch.dtype) -> None:
    """Torch operations and compiled loops make the same bytes, and the same numbers of them."""
    x = torch.randn(2, 50, generator=torch.Generator().manual_seed(0), dtype=dtype)
    out = torch.randn(50, generator=torch.Generator().manual_seed(1), dtype=dtype)
    found = []
    for whole in (COMPILED, 0):
        with parts_of(whole):
            message, added = compress(compressor, x), out.clone()
            message.add_to(added, message.pack(1), 0.3)
            assert same_bits(added, out + 0.3 * message.dense()[1])
            found.append((message.pack(0).tobytes(), message.pack(1).tobytes(), message.dense().numpy().tobytes()))
    assert found[0] == found[1]


@pytest.mark.parametrize("compressor", EVERY, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_payload_has_the_length_that_is_known_of_it(compressor: Compressor, dtype: type) -> None:
    for d in (4, 16, 27, 50):
        x = np.random.default_rng(0).normal(size=(8, d)).astype(dtype)
        lengths = set((compress(compressor, x).nbytes - HEADER).tolist())
        known = compressor.payload_bytes(d, x.itemsize)
        assert known is None or lengths == {known}


@pytest.mark.parametrize("compressor", EVERY, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adding_is_decoding_times_the_weight(compressor: Compressor, dtype: type) -> None:
    random = np.random.default_rng(0)
    message = compress(compressor, random.normal(size=(3, 41)).astype(dtype))
    for row in range(3):
        out = torch.from_numpy(random.normal(size=41).astype(dtype))
        expected = out + 0.3 * message.dense()[row]
        message.add_to(out, message.pack(row), 0.3)
        assert same_bits(out, expected)


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
    if isinstance(compressor, Polyline) and scale > 1:  # the only one with a fixed range, which it says
        with pytest.raises(NonFiniteError, match=r"^Polyline: .* a number beyond 2\.31e\+1[24]$"):
            compress(compressor, x)
        return
    message = compress(compressor, x)
    assert message.dense().isfinite().all()
    if compressor.alpha(50) > 0 and not compressor.random:
        assert (message.dense() - x).double().norm() <= x.double().norm() * (1 + 1e-6)


@pytest.mark.parametrize("compressor", EVERY, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_adding_what_is_decoded(compressor: Compressor, dtype: torch.dtype) -> None:
    """The product and the sum of each entry are rounded one by one."""
    for d in (5, 50, 4099 if not isinstance(compressor, Blocks) else 301):
        x, start = torch.randn(2, d, dtype=dtype, generator=torch.Generator().manual_seed(d))
        message = compress(compressor, x[None])
        out = start.clone()
        message.add_to(out, message.pack(0), 0.3)
        assert same_bits(out, start + 0.3 * message.dense()[0])


class Elsewhere(torch.Tensor):
    """A tensor that says it is on an accelerator."""

    @property
    def is_cpu(self) -> bool:  # type: ignore[override]
        return False


@pytest.mark.parametrize("compressor", [each for each in EVERY if each.on_device], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_torch_operations_give_the_bytes_of_compiled_loops(compressor: Compressor, dtype: torch.dtype) -> None:
    key = Key(0x0123456789ABCDEF, 5, 0)
    many = 4099 if not isinstance(compressor, Blocks) else 301
    for d, scale in ((5, 1.0), (70, 1e-42), (many, 1e-35)):
        x = scale * torch.randn(d, dtype=dtype, generator=torch.Generator().manual_seed(d))
        with parts_of(COMPILED):
            payload = compressor.encode(x, key)
            assert torch.equal(payload, compressor.encode(x.as_subclass(Elsewhere), key).as_subclass(torch.Tensor))
            outs = x.clone(), x.clone()
            for operation in (compressor.decode, lambda payload, out: compressor.accumulate(payload, 0.3, out)):
                operation(payload, outs[0])
                operation(payload, outs[1].as_subclass(Elsewhere))
                assert same_bits(*outs)


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
