"""Spherical compression."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from algorithms import Spherical
from algorithms.compressors.quantizers import spherical
from algorithms.compressors.wire import frames
from algorithms.randomness import Draw, random_bits
from tests.algorithms.compressors.helpers import HEADER, adversarial, compress, same_bits
from tests.algorithms.helpers import Array


def vectors(key: int, count: int, block: int) -> Array:
    """The first vectors of the sequence."""
    found = []
    for chunk in range(math.ceil(count / 1024)):
        random = np.random.Generator(np.random.Philox(key=random_bits(key, chunk)))
        found.append(random.standard_normal((1024, block)))
    together = np.concatenate(found)[:count]
    return together / np.linalg.norm(together, axis=1, keepdims=True)


def indices_of(message_row: Array, compressor: Spherical, d: int, dtype: torch.dtype = torch.float64) -> Array:
    payload = torch.from_numpy(message_row[HEADER:])
    return compressor._read(payload, torch.empty(d, dtype=dtype))[2] + 1


@pytest.mark.parametrize(("error", "block"), [(0.5, 8), (0.8, 3), (0.3, 4), (0.9, 2), (0.6, 16)])
def test_definition(error: float, block: int) -> None:
    d = 3 * block - 1
    x = np.random.default_rng(0).standard_normal((4, d))
    draw = Draw(0, "compression", range(4), 0)
    compressor = Spherical(error, block)
    message = compressor.compress(torch.from_numpy(x), draw)
    for row in range(4):
        sequence = vectors(draw.key(row).own, 200_000, block)
        parts = np.pad(x[row], (0, 1)).reshape(-1, block)
        expected, chosen = [], []
        for part in parts:
            norm = math.sqrt((part**2).sum())
            j = int(np.argmax(sequence @ part >= math.sqrt(1 - error) * norm))
            chosen.append(j + 1)
            expected.append(math.sqrt(1 - error) * norm * sequence[j])
        np.testing.assert_allclose(message.dense()[row], np.concatenate(expected)[:d], rtol=1e-12)
        assert indices_of(message.pack(row), compressor, d).tolist() == chosen
        r = compressor._parameter
        size = 8 + 3 * 8 + math.ceil(3 * r / 8) + math.ceil(sum((j - 1 >> r) + 1 for j in chosen) / 8)
        assert message.nbytes[row] == HEADER + size


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("error", "block"), [(0.5, 8), (0.9, 2), (0.97, 5), (0.2, 3)])
def test_the_bound_is_hard(error: float, block: int, dtype: type) -> None:
    for d in (1, 2, block, 400):
        x = np.concatenate([adversarial(d, dtype), np.random.default_rng(1).standard_normal((20, d)).astype(dtype)])
        x = np.pad(x, ((0, 0), (0, -d % block)))  # so that the error of the filled entries counts
        found = compress(Spherical(error, block), x).dense().numpy().astype(np.longdouble)
        x = x.astype(np.longdouble)
        lost = ((found - x) ** 2).reshape(len(x), -1, block).sum(-1)
        assert (lost <= error * (x**2).reshape(len(x), -1, block).sum(-1)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("error", [0.1, 0.5, 0.95])
def test_denormal_numbers_end(error: float, dtype: type) -> None:
    least = np.finfo(dtype).smallest_subnormal
    x = least * np.round(3 * np.random.default_rng(0).standard_normal((5, 12))).astype(dtype)
    x[0, 1:] = 0
    x[0, 0] = least
    found = compress(Spherical(error, 4), x).dense().numpy()
    lost = np.linalg.norm((found / least - x / least).astype(float), axis=1)
    allowed = math.sqrt(error) * np.linalg.norm((x / least).astype(float), axis=1)
    assert (lost <= allowed + math.sqrt(3) * 1.5).all()


def test_the_least_margin_is_found_by_rounding_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors exactly at the edge of the cap: whether one is taken must follow from what is decoded."""
    x = np.array([1.0, 0, 0], np.float32)
    angles = math.acos(math.sqrt(0.5)) + np.linspace(-3e-8, 3e-8, 1024)
    edge = np.stack([np.cos(angles), np.sin(angles), np.zeros(1024)], axis=1)[::-1].copy()
    monkeypatch.setattr(spherical, "_chunk", lambda own, number, block: edge)
    message = compress(Spherical(0.5, 3), x[None])
    found = message.dense().double().numpy()[0]
    assert ((found - x) ** 2).sum() <= 0.5
    (chosen,) = indices_of(message.pack(0), Spherical(0.5, 3), 3, torch.float32)
    before = (math.sqrt(0.5) * edge[: chosen - 1]).astype(np.float32).astype(float)
    assert 1 < chosen < 1024
    assert (((before - x) ** 2).sum(1) > 0.5 * (1 - 1e-13)).all()


@pytest.mark.parametrize(("error", "block"), [(0.5, 8), (0.8, 3), (0.6, 2)])
def test_law_of_the_index_and_bits(error: float, block: int) -> None:
    """J is geometric; one block of each of many vectors, which have sequences of their own."""
    n = 3000
    compressor = Spherical(error, block)
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((n, block)))
    message = compressor.compress(x, Draw(0, "compression", range(n), 0))
    chosen = np.array([indices_of(message.pack(row), compressor, block)[0] for row in range(n)])
    # p by integrating the density of the cosine, and the average of the cosine on the cap.
    cosines = np.linspace(math.sqrt(1 - error), 1, 400_001)[:-1] + (1 - math.sqrt(1 - error)) / 800_000
    density = (1 - cosines**2) ** ((block - 3) / 2)
    total = math.sqrt(math.pi) * math.gamma((block - 1) / 2) / math.gamma(block / 2)
    p = density.mean() * (1 - math.sqrt(1 - error)) / total
    assert compressor._share == pytest.approx(p, rel=2e-3)
    m = (density * cosines).sum() / density.sum()
    assert compressor._cosine == pytest.approx(m, rel=1e-3)
    assert abs(chosen.mean() - 1 / p) <= 5 * math.sqrt(1 - p) / p / math.sqrt(n)
    edges = [stats.geom.ppf(q, p) for q in np.linspace(0, 1, 9)[1:-1]]
    edges = np.unique(edges)
    observed = np.histogram(chosen, np.concatenate([[0], edges + 0.5, [np.inf]]))[0]
    cdf = np.concatenate([[0], stats.geom.cdf(edges, p), [1]])
    assert stats.chisquare(observed, n * np.diff(cdf)).pvalue > 1e-4
    entropy = float(stats.geom(p).entropy()) / math.log(2)
    assert compressor.paper_bits(10 * block, 4) == pytest.approx(10 * (31 + entropy), rel=1e-4)
    ideal = float(message.entropy_bits.mean()) - 64 - 64
    assert ideal == pytest.approx(entropy, rel=0.05)
    r = compressor._parameter
    coded = [float((low + 1 + (chosen - 1 >> low)).mean()) for low in range(12)]
    assert coded[r] == pytest.approx(entropy, rel=0.06)
    assert coded[r] <= min(coded) + 0.03


@pytest.mark.parametrize(("error", "block"), [(0.5, 8), (0.8, 3)])
def test_constants(error: float, block: int) -> None:
    """In expectation C(x) = sqrt(1 - a) m x, from which all follows; attained by every x."""
    compressor = Spherical(error, block)
    x = np.random.default_rng(0).standard_normal((1500, block))
    found = compress(compressor, x).dense().numpy()
    energy = (x**2).sum(1)
    lost, inner = ((found - x) ** 2).sum(1) / energy, (found * x).sum(1) / energy

    def near(sample: Array, value: float) -> bool:
        return abs(sample.mean() - value) <= 5 * sample.std() / math.sqrt(len(sample))

    assert near(lost, 1 - compressor.alpha(block))
    assert compressor.alpha(block) > 1 - error
    square = (found**2).sum(1) / energy
    np.testing.assert_allclose(square, 1 - error, rtol=1e-12)
    b1, b2, b3 = compressor.b1(block), compressor.b2(block), compressor.b3(block)
    assert b1.alpha == 1 - error
    assert near(inner, (1 - error) / b1.beta) and near(inner, b2.gamma) and b2.beta == b1.beta
    assert near(((b3.scale * found - x) ** 2).sum(1) / energy, 1 - 1 / b3.delta)
    assert 1 / b3.delta > compressor.alpha(block)


def test_the_order_of_the_search_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).standard_normal((2, 333)).astype(np.float32)
    whole = compress(Spherical(), x)
    monkeypatch.setattr(spherical, "ROWS", 5)
    parts = compress(Spherical(), x)
    assert all(same_bits(a, b) for a, b in zip(whole.packed, parts.packed, strict=True))


def test_zero_blocks_have_no_index() -> None:
    x = np.zeros((1, 80), np.float32)
    assert compress(Spherical(), x).nbytes.tolist() == [HEADER + 8 + 10 * 4]
    x[0, 17] = 1
    message = compress(Spherical(), x)
    (index,) = indices_of(message.pack(0), Spherical(), 80, torch.float32)
    r = Spherical()._parameter
    assert message.nbytes[0] == HEADER + 8 + 10 * 4 + math.ceil(r / 8) + math.ceil(((index - 1 >> r) + 1) / 8)


def test_damaged_payloads_are_refused() -> None:
    message = compress(Spherical(), np.random.default_rng(0).standard_normal((1, 80)))
    payload = torch.from_numpy(message.pack(0)[HEADER:])
    out = torch.empty(80, dtype=torch.float64)
    for damaged in (payload[:50], payload[:-1], torch.cat([payload, payload[:1]])):
        with pytest.raises(ValueError, match=r"instead|norms|damaged|too much"):
            Spherical().decode(damaged, out)
    assert frames.read_word(payload)[0] == Draw(0, "compression", range(1), 0).key(0).own


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"error": 0.0}, r"error = 0.0 is not allowed; it must be in \(0, 1\)"),
        ({"error": 1.0}, r"error = 1.0 is not allowed"),
        ({"block": 1}, "block = 1 is not allowed; it must be >= 2"),
        ({"error": 0.1, "block": 16}, r"block = 16 is not allowed; it must be smaller for error = 0.1: one vector of "),
        ({"error": 1e-9, "block": 500}, r"block = 500 .* one vector of inf is near enough, of 1e\+06 allowed"),
    ],
)
def test_validation(fields: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=f"^Spherical: {says}"):
        Spherical(**fields)
