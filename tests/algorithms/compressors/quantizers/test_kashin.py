"""Kashin compression."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.linalg import hadamard

from algorithms import Kashin, NonFiniteError
from algorithms.compressors.quantizers.kashin import Frame
from algorithms.compressors.wire import symbols
from algorithms.randomness import Draw
from tests.algorithms.compressors.helpers import HEADER, NODES, adversarial, compress, same_bits, uniforms
from tests.algorithms.helpers import Array


def frame_of(key: int, entries: int, size: int) -> Array:
    """U (B, D): rows of the orthonormal Walsh-Hadamard matrix times signs."""
    random = np.random.Generator(np.random.Philox(key=key))
    rows = np.sort(random.choice(size, entries, replace=False, shuffle=False))
    signs = np.where(random.integers(0, 2, entries), -1.0, 1.0)
    return signs[:, None] * hadamard(size)[rows] / math.sqrt(size)


def representation(x: Array, U: Array, iterations: int) -> Array:
    """a with x = U a, by the definition."""
    size = U.shape[1]
    a, r = np.zeros(size), x.copy()
    for _ in range(iterations):
        M = math.sqrt(r @ r) / math.sqrt(size)
        c = np.clip(U.T @ r, -M, M)
        a += c
        r -= U @ c
    a += U.T @ r
    return a if np.abs(a).max() < np.abs(U.T @ x).max() else U.T @ x


def sizes(d: int, expansion: float, bucket: int) -> list[tuple[int, int]]:
    """(B, D) of each bucket."""
    entries = [min(bucket, d - start) for start in range(0, d, bucket)]
    return [(B, 2 ** math.ceil(math.log2(math.ceil(expansion * B)))) for B in entries]


@pytest.mark.parametrize("s", [1, 3, 20])
@pytest.mark.parametrize(("expansion", "bucket"), [(2.0, 8), (1.1, 13), (1.3, 6), (4.0, 1), (2.0, 1024)])
def test_definition(expansion: float, bucket: int, s: int) -> None:
    d = 29
    x = np.random.default_rng(0).standard_normal((3, d))
    draw = Draw(0, "compression", range(3), 0)
    message = Kashin(expansion, s, 4, bucket).compress(torch.from_numpy(x), draw)
    buckets = sizes(d, expansion, bucket)
    total = sum(D for _, D in buckets)
    for row in range(3):
        draws = uniforms(draw.key(row).own, total, np.float64)
        expected, start, used = [], 0, 0
        for B, D in buckets:
            U = frame_of(draw.key(row).own, B, D)
            np.testing.assert_allclose(U @ U.T, np.eye(B), atol=1e-12)
            a = representation(x[row, start : start + B], U, 4)
            np.testing.assert_allclose(U @ a, x[row, start : start + B], atol=1e-12)
            norm = np.abs(a).max()
            place = s * np.abs(a) / norm
            level = np.minimum(np.floor(place) + (draws[used : used + D] < place % 1), s)
            # Which of two levels is chosen may hang on the last bit of a place that is a level itself.
            assert (np.abs(place - np.round(place))[np.abs(a) < norm * (1 - 1e-9)] > 1e-9).all()
            level = np.where(np.abs(a) > norm * (1 - 1e-9), s, level)
            expected.append(U @ (norm * np.sign(a) * level / s))
            start, used = start + B, used + D
        np.testing.assert_allclose(message.dense()[row], np.concatenate(expected), atol=1e-9)
    size = 8 + 8 * len(buckets) + symbols.length(total, 2 * s + 1)
    assert message.nbytes.tolist() == [HEADER + size] * 3
    assert message.paper_bits == pytest.approx(63 * len(buckets) + total * math.log2(2 * s + 1))
    assert float(message.entropy_bits[0]) <= 64 + 64 * len(buckets) + total * math.log2(2 * s + 1) + 1e-9


@pytest.mark.parametrize("iterations", [0, 1, 10])
def test_representations_are_exact_and_never_worse_than_the_frame_coefficients(iterations: int) -> None:
    for entries, size in ((1, 2), (30, 64), (64, 128), (100, 128)):
        frame = Frame.drawn(7, entries, size)
        x = adversarial(entries, np.float64)
        a = Kashin(iterations=iterations)._coefficients(x, frame)
        U = frame_of(7, entries, size)
        np.testing.assert_allclose(U @ a.T, x.T, atol=1e-9 * np.abs(x).max(), rtol=1e-6)
        np.testing.assert_allclose(frame.synthesis(a), a @ U.T, rtol=1e-9, atol=1e-12 * np.abs(x).max())
        assert (np.abs(a).max(1) <= np.abs(x @ U).max(1) * (1 + 1e-12)).all()


@pytest.mark.parametrize(("expansion", "most"), [(2.0, 1.9), (4.0, 1.7), (1.5, 2.2)])
def test_iterations_flatten_the_coefficients(expansion: float, most: float) -> None:
    """K = sqrt(D) max_i |a_i| / |x|, which for U^T x grows with the logarithm of D."""
    size = 2048
    frame = Frame.drawn(1, int(size / expansion), size)
    x = np.random.default_rng(0).standard_normal((20, frame.entries))

    def K(iterations: int) -> float:
        a = Kashin(iterations=iterations)._coefficients(x, frame)
        return float((np.abs(a).max(1) / np.linalg.norm(x, axis=1)).mean() * math.sqrt(size))

    assert K(0) > 3.3
    assert K(10) < most
    assert K(0) > K(1) > K(3) > K(10) > 1


def test_unbiased_with_the_exact_variance() -> None:
    """Each coefficient rounds to one of two neighbours; the decoder takes B/D of their variance."""
    d, s, draws, some = 12, 2, 2_400, 400
    compressor = Kashin(levels=s)
    x = np.random.default_rng(1).standard_normal(d)
    B, D = 12, 32
    rows = np.tile(x, (NODES, 1))
    found = np.concatenate([compress(compressor, rows, round).dense() for round in range(draws // NODES)])
    exact = []
    for draw in range(some):
        key = Draw(0, "compression", range(NODES), draw // NODES).key(draw % NODES)
        a = representation(x, frame_of(key.own, B, D), 10)
        norm = np.abs(a).max()
        place = s * np.abs(a) / norm
        exact.append(B / D * (norm / s) ** 2 * ((place % 1) * (1 - place % 1)).sum())
    assert (np.abs(found.mean(0) - x) <= 5 * found.std(0) / math.sqrt(draws)).all()
    lost = ((found - x) ** 2).sum(1)
    both = lost.std() / math.sqrt(draws) + np.std(exact) / math.sqrt(some)
    assert abs(lost.mean() - np.mean(exact)) <= 5 * both
    assert lost.mean() <= compressor.omega(d) * (x @ x)


def test_omega() -> None:
    for expansion, s, bucket, d in ((2.0, 1, 1024, 5000), (2.0, 3, 8, 20), (1.5, 2, 100, 7), (3.0, 1, 4096, 50)):
        values = []
        for B, D in sizes(d, expansion, bucket):
            sub_gaussian = B / D * (math.log(2 * D) + 1) / (2 * s**2)
            values.append(min(sub_gaussian, B**2 / (4 * s**2 * D)))
        assert Kashin(expansion, s, 10, bucket).omega(d) == pytest.approx(max(values))
    # The bound behind it, for the frame alone and the vectors that are worst for it: E max_i D (U^T x)_i^2.
    for x in (np.ones(64), np.eye(64)[3], np.random.default_rng(0).standard_normal(64)):
        most = [128 * np.square(Frame.drawn(key, 64, 128).analysis(x[None])).max() / (x @ x) for key in range(500)]
        assert np.mean(most) <= 2 * math.log(256) + 2
    # A spike has the coefficients 1/sqrt(D) only, and no error.
    x = np.zeros((1, 64))
    x[0, 5] = -3
    np.testing.assert_allclose(compress(Kashin(), x).dense(), x, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_rounding_bias_at_the_largest_coefficient(dtype: type) -> None:
    """The norm is rounded up: every coefficient is within the levels."""
    x = np.random.default_rng(0).standard_normal((200, 8)).astype(dtype)
    draw = Draw(0, "compression", range(200), 0)
    message = Kashin(iterations=0).compress(torch.from_numpy(x), draw)
    for row in range(200):
        norm = np.frombuffer(message.pack(row)[HEADER + 8 :].tobytes(), dtype, 1)[0]
        exact = np.abs(frame_of(draw.key(row).own, 8, 16).T @ x[row].astype(np.float64)).max()
        assert exact * (1 - 1e-15) <= norm <= exact * (1 + 2 * np.finfo(dtype).eps)


def test_parts_that_are_transformed_together_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).standard_normal((1, 500)).astype(np.float32)
    whole = compress(Kashin(bucket=16), x)
    monkeypatch.setattr("algorithms.compressors.quantizers.kashin.AT_ONCE", 100)
    parts = compress(Kashin(bucket=16), x)
    assert same_bits(whole.packed[0], parts.packed[0])
    assert same_bits(parts.dense(), whole.unpack(whole.pack(0)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_awkward_vectors(dtype: type) -> None:
    for d in (1, 2, 50):
        x = adversarial(d, dtype)
        found = compress(Kashin(levels=1000), x).dense().double().numpy()
        x = x.astype(np.float64)
        assert (((found - x) ** 2).sum(1) <= 1e-3 * (x**2).sum(1)).all()
    huge = np.full((1, 4), np.finfo(dtype).max)
    message = compress(Kashin(), huge * dtype(0.1))
    assert message.dense().isfinite().all()
    with pytest.raises(NonFiniteError, match=r"^Kashin: "):
        compress(Kashin(), np.array([[1, np.nan]], dtype))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"expansion": 1.0}, "expansion = 1.0 is not allowed; it must be > 1"),
        ({"expansion": math.inf}, "expansion = inf is not allowed"),
        ({"levels": 0}, "levels = 0 is not allowed"),
        ({"iterations": -1}, "iterations = -1 is not allowed"),
        ({"bucket": 0}, "bucket = 0 is not allowed"),
    ],
)
def test_validation(fields: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=f"^Kashin: {says}"):
        Kashin(**fields)
