"""PowerSGD, and how matrices lie in vectors."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from algorithms import Atomo, Contraction, Layout, PowerSGD
from algorithms.compressors.low_rank.low_rank import Part
from algorithms.randomness import Draw
from tests.algorithms.compressors.helpers import HEADER, adversarial, compress, same_bits
from tests.algorithms.helpers import Array

LAYOUT = Layout({"conv": (6, 2, 3, 3), "bias": (6,), "wide": (5, 40), "scalar": (), "tiny": (2, 2), "tall": (30, 4)})
SHAPES = [(6, 18), (1, 6), (5, 40), (1, 1), (2, 2), (30, 4)]


def matrices(x: Array) -> list[Array]:
    """The tensors of LAYOUT in a vector, as matrices."""
    ends = np.cumsum([n * m for n, m in SHAPES])
    return [part.reshape(shape) for part, shape in zip(np.split(x, ends[:-1]), SHAPES, strict=True)]


def sketched(M: Array, r: int, iterations: int, random: np.random.Generator) -> tuple[Array, Array]:
    """P and Q of a matrix that has at least as many rows as columns, by the definition."""
    Q = random.standard_normal((M.shape[1], r))
    for _ in range(iterations):
        P, _ = np.linalg.qr(M @ Q)
        Q = M.T @ P
    return P, Q


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rank", "iterations"), [(1, 1), (2, 1), (3, 4)])
def test_definition(rank: int, iterations: int, dtype: type) -> None:
    x = np.random.default_rng(0).standard_normal((2, LAYOUT.d)).astype(dtype)
    draw = Draw(0, "compression", range(2), 0)
    compressor = PowerSGD(rank=rank, iterations=iterations).for_layout(LAYOUT)
    message = compressor.compress(torch.from_numpy(x), draw)
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype == np.float32 else {"rtol": 1e-9, "atol": 1e-10}
    for row in range(2):
        random = np.random.Generator(np.random.Philox(key=draw.key(row).own))
        size = 0
        for M, found in zip(matrices(x[row]), matrices(message.dense().numpy()[row]), strict=True):
            n, m = M.shape
            if rank * (n + m) >= n * m:
                np.testing.assert_array_equal(found, M)
                size += n * m
                continue
            tall = (M if n >= m else M.T).astype(np.float64)
            P, Q = sketched(tall, rank, iterations, random)
            expected = P @ Q.T
            np.testing.assert_allclose(found, expected if n >= m else expected.T, **tolerance)
            np.testing.assert_allclose(P.T @ (tall - P @ P.T @ tall), 0, atol=1e-9)
            size += rank * (n + m)
        assert message.nbytes[row] == HEADER + size * x.itemsize
        assert message.paper_bits == 8 * size * x.itemsize


@pytest.mark.parametrize(
    ("d", "n", "m"), [(1, 1, 1), (2, 1, 2), (9, 3, 3), (12, 3, 4), (13, 4, 4), (50, 7, 8), (57, 8, 8)]
)
def test_a_vector_without_layout_is_nearly_square(d: int, n: int, m: int) -> None:
    compressor = PowerSGD(rank=1)
    assert list(compressor.parts(d)) == [Part(0, d, n, m)]
    x = np.random.default_rng(0).standard_normal((1, d))
    message = compress(compressor, x)
    numbers = min(d, n + m)
    assert message.nbytes.tolist() == [HEADER + 8 * numbers]
    random = np.random.Generator(np.random.Philox(key=Draw(0, "compression", range(1), 0).key(0).own))
    tall = np.pad(x[0], (0, n * m - d)).reshape(n, m)
    tall = tall if n >= m else tall.T
    P, Q = sketched(tall, 1, 1, random)
    expected = x[0] if numbers == d else (P @ Q.T if n >= m else Q @ P.T).flatten()[:d]
    np.testing.assert_allclose(message.dense()[0], expected, rtol=1e-9, atol=1e-12)


def test_a_model_of_vectors_is_one_matrix() -> None:
    assert (
        PowerSGD().for_layout(Layout.vector(100)) == PowerSGD() == PowerSGD().for_layout(Layout({"w": (99,), "b": ()}))
    )
    assert PowerSGD().for_layout(LAYOUT).shapes == tuple(LAYOUT.shapes.values())
    assert PowerSGD(rank=1).for_layout(LAYOUT).for_layout(Layout.vector(3)).shapes is None
    inner = Contraction(Atomo(atoms="singular", budget=1)).for_layout(LAYOUT).compressor
    assert isinstance(inner, Atomo) and inner.shapes == tuple(LAYOUT.shapes.values())
    # Tensors without entries are nothing.
    hollow = PowerSGD().for_layout(Layout({"a": (0, 7), "b": (4, 4), "c": (3, 0)}))
    assert list(hollow.parts(16)) == [Part(0, 16, 4, 4)]
    for each in (PowerSGD().for_layout(LAYOUT), Atomo(atoms="singular", budget=1).for_layout(LAYOUT)):
        each.check_dimension(LAYOUT.d)
        with pytest.raises(ValueError, match=rf"^{type(each).__name__}: shapes hold 439 parameters, the vector 440$"):
            each.check_dimension(LAYOUT.d + 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("true", [0, 1, 2, 3])
@pytest.mark.parametrize("shape", [(9, 20), (20, 9)])
def test_exact_up_to_the_rank(shape: tuple[int, int], true: int, dtype: type) -> None:
    """Also where the rank is less: columns that depend on each other, or that are zero, are no NaN."""
    random = np.random.default_rng(0)
    M = (random.standard_normal((shape[0], true)) @ random.standard_normal((true, shape[1]))).astype(dtype)
    M[:, 3] = 0
    found = compress(PowerSGD(rank=3).for_layout(Layout({"M": shape})), M.reshape(1, -1)).dense().numpy()
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(found, M.reshape(1, -1), atol=tolerance * max(np.abs(M).max(), 1))


@pytest.mark.parametrize("shape", [(8, 24), (24, 8)])
def test_iterations_converge_to_the_best_approximation(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    left, right = (np.linalg.qr(random.standard_normal((size, 8)))[0] for size in shape)
    M = left * 1.5 ** -np.arange(8.0) @ right.T
    errors = []
    for iterations in (1, 2, 3, 10, 60):
        compressor = PowerSGD(rank=2, iterations=iterations).for_layout(Layout({"M": shape}))
        found = compress(compressor, M.reshape(1, -1)).dense().numpy().reshape(shape)
        errors.append(((found - M) ** 2).sum())
        assert errors[-1] == pytest.approx((M**2).sum() - (found**2).sum())
    best = (np.linalg.svd(M)[1][2:] ** 2).sum()
    assert all(after <= before * (1 + 1e-12) for before, after in pairwise(errors))
    assert best * (1 - 1e-12) <= errors[-1] <= best * (1 + 1e-9) < errors[0]


@pytest.mark.parametrize("shape", [(6, 15), (15, 6), (7, 7)])
@pytest.mark.parametrize("rank", [1, 2])
def test_contraction(shape: tuple[int, int], rank: int) -> None:
    """In expectation at least r / min(n, m) of a matrix remains; near to it where all singular values are equal."""
    compressor = PowerSGD(rank=rank).for_layout(Layout({"M": shape}))
    random, draws, d = np.random.default_rng(0), 1000, shape[0] * shape[1]
    assert compressor.alpha(d) == rank / min(shape)
    gaussian = random.standard_normal(shape)
    left, _, right = np.linalg.svd(gaussian, full_matrices=False)
    for M, attained in ((gaussian, False), (left @ right, True)):
        energy = (M**2).sum()
        kept = np.empty(draws)
        for round in range(draws):
            found = compress(compressor, M.reshape(1, -1), round).dense().numpy().reshape(shape)
            kept[round] = 1 - ((found - M) ** 2).sum() / energy
        error = 5 * kept.std() / math.sqrt(draws) + 1e-12
        assert kept.mean() >= compressor.alpha(d) - error
        if attained:
            np.testing.assert_allclose(kept, compressor.alpha(d))


def test_constants() -> None:
    compressor = PowerSGD(rank=2).for_layout(LAYOUT)
    # (6, 18) and (5, 40) and (30, 4) are sent as products, the others as they are.
    assert [compressor.shortens(part) for part in compressor.parts(LAYOUT.d)] == [True, False, True, False, False, True]
    assert compressor.alpha(LAYOUT.d) == 2 / 6
    assert (compressor.b1(LAYOUT.d), compressor.b2(LAYOUT.d)) == ((1 / 3, 1), (1 / 3, 1))
    assert compressor.biased and compressor.omega(LAYOUT.d) == math.inf
    assert PowerSGD(rank=20).for_layout(LAYOUT).alpha(LAYOUT.d) == 1
    assert PowerSGD(rank=2).alpha(100) == 0.2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "compressor", [PowerSGD(rank=1), PowerSGD(iterations=5), Atomo(atoms="singular", fraction=0.3)], ids=str
)
def test_awkward_vectors(compressor: PowerSGD | Atomo, dtype: type) -> None:
    for d in (1, 2, 7, 100):
        x = adversarial(d, dtype)
        if dtype == np.float64:
            x = np.concatenate([x, x[6:7] * 1e300, x[6:7] * 1e-310])
        found = compress(compressor, x).dense().double().numpy()
        assert np.isfinite(found).all() and not found[0].any()
        if isinstance(compressor, PowerSGD):
            scale = np.maximum(np.abs(x).max(1, keepdims=True), np.finfo(dtype).tiny).astype(np.float64)
            x, found = x / scale, found / scale
            assert (((found - x) ** 2).sum(1) <= (x**2).sum(1) * (1 + 1e-5)).all()


def test_the_number_of_threads_does_not_matter() -> None:
    x = torch.randn(1, 300 * 400, generator=torch.Generator().manual_seed(0))
    threads = torch.get_num_threads()
    found = []
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            for compressor in (PowerSGD(rank=4), Atomo(atoms="singular", budget=4)):
                found.append(compressor.compress(x, Draw(0, "compression", range(1), 0)).packed[0])
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(threads)
    for more in (found[2:4], found[4:6]):
        assert all(same_bits(a, b) for a, b in zip(found[:2], more, strict=True))


def test_damaged_payloads_are_refused() -> None:
    x = np.random.default_rng(0).standard_normal((1, LAYOUT.d))
    out = torch.empty(LAYOUT.d, dtype=torch.float64)
    for compressor in (PowerSGD(rank=1).for_layout(LAYOUT), Atomo(atoms="singular", budget=1).for_layout(LAYOUT)):
        payload = torch.from_numpy(compress(compressor, x).pack(0)[HEADER:])
        for damaged in (payload[:-1], torch.cat([payload, payload[:8]]), payload[:0]):
            with pytest.raises(ValueError, match=r"missing|instead|damaged"):
                compressor.decode(damaged, out)


@pytest.mark.parametrize("name", ["rank", "iterations"])
def test_validation(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^PowerSGD: {name} = 0 is not allowed; it must be >= 1$"):
        PowerSGD(**{name: 0})
