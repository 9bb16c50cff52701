"""The classes of Beznosikov, Horváth, Richtárik, Safaryan: every operator is in those that it says it is in."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from algorithms import (
    QSGD,
    AdaptiveRandom,
    Compressor,
    Contraction,
    Identity,
    PermK,
    QTopK,
    RandomBlock,
    RandomK,
    TopK,
)
from algorithms.compressors.theory import B1, B2, B3
from algorithms.numerics.compiled import COMPILED, parts_of
from algorithms.randomness import Draw
from tests.algorithms.compressors.helpers import EVERY
from tests.algorithms.helpers import Array

D, DRAWS = 9, 250
CASES: dict[str, Array] = {
    "normal": np.random.default_rng(0).standard_normal(D),
    "heavy tails": np.random.default_rng(1).standard_cauchy(D),
    "equal": np.ones(D),
    "one spike": np.eye(1, D, 3)[0],
}


def moments(compressor: Compressor, x: Array) -> tuple[Array, Array, float]:
    """|C(x)|^2 and <C(x), x> of many draws, and |x|^2."""
    vector, found = torch.from_numpy(x), np.empty((DRAWS if compressor.random else 1, len(x)))
    with parts_of(COMPILED):
        for round in range(len(found)):
            payload = compressor.encode(vector, Draw(0, "compression", [round % 3], round).key(0))
            compressor.decode(payload, torch.from_numpy(found[round]))
    return (found**2).sum(1), found @ x, float(x @ x)


def at_least(values: Array, bound: float = 0.0) -> bool:
    """Whether the mean is, within five standard errors."""
    return bool(
        values.mean() >= bound - 5 * values.std() / math.sqrt(len(values)) - 1e-9 * np.abs(values).max() - 1e-12
    )


def in_b1(b: B1, q: Array, p: Array, n: float) -> bool:
    return at_least(q, b.alpha * n) and at_least(b.beta * p - q)


def in_b2(b: B2, q: Array, p: Array, n: float) -> bool:
    return at_least(p, b.gamma * n) and at_least(p - q / b.beta)


def in_b3(b: B3, q: Array, p: Array, n: float) -> bool:
    return at_least(-(b.scale**2 * q - 2 * b.scale * p + n), -(1 - 1 / b.delta) * n)


@pytest.mark.parametrize(
    "compressor", [*EVERY, QTopK(k=2, levels=1), Contraction(RandomK(k=2, unbiased=True))], ids=str
)
@pytest.mark.parametrize("case", CASES)
def test_every_operator_is_in_its_classes(compressor: Compressor, case: str) -> None:
    """And so in those that follow from them, scaled where that is needed."""
    which = q, p, n = moments(compressor, CASES[case])
    b1, b2, b3 = compressor.b1(D), compressor.b2(D), compressor.b3(D)
    alpha, omega = compressor.alpha(D), compressor.omega(D)
    assert (b1 is None) == (b2 is None) == (b3 is None) == (alpha == 0 and omega == math.inf)
    assert in_b3(B3(1 / alpha, 1), *which) if alpha else True
    if math.isfinite(omega):
        assert not compressor.biased
        assert at_least(-(q - 2 * p + n), -omega * n)
        for scale in (0.5 / (1 + omega), 1 / (1 + omega), 1.5 / (1 + omega)):
            scaled = scale**2 * q, scale * p, n
            assert in_b1(B1(scale**2, scale * (1 + omega)), *scaled)
            assert in_b2(B2(scale, scale * (1 + omega)), *scaled)
            assert in_b3(B3(1 / (scale * (2 - scale * (1 + omega))), scale), *which)
    if b1:
        assert 0 < b1.alpha <= b1.beta**2 * (1 + 1e-12)
        assert in_b1(b1, *which)
        assert in_b2(B2(b1.alpha / b1.beta, b1.beta), *which)
        assert in_b3(B3(b1.beta**2 / b1.alpha, 1 / b1.beta), *which)
    if b2:
        assert 0 < b2.gamma <= b2.beta * (1 + 1e-12)
        assert in_b2(b2, *which)
        assert in_b1(B1(b2.gamma**2, b2.beta), *which)
        assert in_b3(B3(b2.beta / b2.gamma, 1 / b2.beta), *which)
    if b3:
        assert b3.delta >= 1
        assert in_b3(b3, *which)
        scaled = b3.scale**2 * q, b3.scale * p, n
        assert in_b2(B2(1 / (2 * b3.delta), 2), *scaled)
        assert in_b1(B1(1 / (4 * b3.delta**2), 2), *scaled)


@pytest.mark.parametrize(
    ("compressor", "b1", "b2", "b3"),
    [
        (Identity(), (1, 1), (1, 1), (1, 1)),
        (TopK(k=3), (1 / 3, 1), (1 / 3, 1), (3, 1)),
        (RandomK(k=3), (1 / 3, 1), (1 / 3, 1), (3, 1)),
        (RandomK(k=3, unbiased=True), (3, 3), (1, 3), (3, 1 / 3)),
        (AdaptiveRandom(), (1 / 9, 1), (1 / 9, 1), (9, 1)),
        (RandomBlock(ratio=3, blocks=3), (1 / 3, 1), (1 / 3, 1), (3, 1)),
        (PermK(nodes=3), (3, 3), (1, 3), (3, 1 / 3)),
        (QSGD(levels=2), (1, 25 / 16), (1, 25 / 16), (25 / 16, 16 / 25)),  # omega = 9/16
        (QTopK(k=4, levels=1), (1 / 9, 1), (2 / 9, 1), (9 / 2, 1)),  # omega = 1 for 4 entries
        (QTopK(k=4, levels=1, scaled=False), (4 / 9, 2), (4 / 9, 2), (9 / 2, 1 / 2)),
    ],
    ids=str,
)
def test_constants(compressor: Compressor, b1: tuple[float, float], b2: tuple[float, float], b3: object) -> None:
    assert compressor.b1(9) == pytest.approx(b1)
    assert compressor.b2(9) == pytest.approx(b2)
    assert compressor.b3(9) == pytest.approx(b3)


@pytest.mark.parametrize(
    "compressor", [TopK(k=3), RandomK(k=3), RandomK(k=3, unbiased=True), AdaptiveRandom(), PermK(nodes=3)], ids=str
)
def test_the_constants_are_attained(compressor: Compressor) -> None:
    """By the vector of ones; so none is better than said."""
    q, p, n = (np.mean(each) for each in moments(compressor, np.ones(9)))
    b1, b2, b3 = compressor.b1(9), compressor.b2(9), compressor.b3(9)
    assert b1 and b2 and b3
    assert q == pytest.approx(b1.alpha * n, rel=0.1)
    assert q == pytest.approx(b1.beta * p, rel=0.1)
    assert p == pytest.approx(b2.gamma * n, rel=0.1)
    assert b3.scale**2 * q - 2 * b3.scale * p + n == pytest.approx((1 - 1 / b3.delta) * n, rel=0.1)
