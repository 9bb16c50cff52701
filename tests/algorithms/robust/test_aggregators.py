"""Rules that withstand forged rows, against loops over the numbers as the papers say them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch

from algorithms import (
    Aggregator,
    Bucketing,
    Bulyan,
    CenteredClipping,
    CoordinateMedian,
    FoolsGold,
    GeometricMedian,
    Krum,
    Mean,
    NearestNeighborMixing,
    NormBound,
    TrimmedMean,
)
from algorithms.randomness import Draw
from tests.algorithms.helpers import Array

M, D = 11, 4
DRAW = Draw(5, "aggregation", [0], 3)


def rows(seed: int = 0, m: int = M) -> Array:
    return np.random.default_rng(seed).normal(size=(m, D)) * np.array([1, 3, 0.1, 1])


def made(rule: Aggregator, v: Array, center: Array | None = None) -> Array:
    start = np.zeros(D) if center is None else center
    return rule.aggregate(torch.from_numpy(v), torch.from_numpy(start), DRAW).numpy()


def krum_scores(v: Array, f: int) -> list[float]:
    """The smallest sum of squared distances over all sets of m - f - 2 others."""
    m = len(v)
    return [
        min(
            sum(float(((v[i] - v[j]) ** 2).sum()) for j in some)
            for some in combinations([j for j in range(m) if j != i], m - f - 2)
        )
        for i in range(m)
    ]


def median(v: Array, center: Array) -> Array:
    return np.array([np.median(column) for column in v.T])


def trimmed(v: Array, center: Array) -> Array:
    return np.array([np.mean(sorted(column)[3:-3]) for column in v.T])


def krum(v: Array, center: Array) -> Array:
    best = np.argsort(krum_scores(v, 2), kind="stable")
    return v[best[0]]


def multi_krum(v: Array, center: Array) -> Array:
    best = np.argsort(krum_scores(v, 3), kind="stable")
    return np.mean([v[i] for i in best[:4]], axis=0)


def bulyan(v: Array, center: Array) -> Array:
    left, kept, f = list(range(len(v))), [], 2
    while len(kept) < len(v) - 2 * f:
        # Krum's number of neighbours with as many rows as are left
        count = max(1, len(left) - f - 2)
        found = {i: sum(sorted(float(((v[i] - v[j]) ** 2).sum()) for j in left if j != i)[:count]) for i in left}
        first = min(left, key=lambda i: (found[i], i))
        kept.append(first)
        left.remove(first)
    out = []
    for column in v[sorted(kept)].T:
        middle = np.median(column)
        near = sorted(column, key=lambda value: abs(value - middle))[: len(kept) - 2 * f]
        out.append(np.mean(near))
    return np.array(out)


def geometric_median(v: Array, center: Array) -> Array:
    z = v.mean(axis=0)
    for _ in range(300):
        weights = [1 / max(1e-9, float(np.linalg.norm(z - row))) for row in v]
        z = np.average(v, axis=0, weights=weights)
    return z


def centered_clipping(v: Array, center: Array) -> Array:
    for _ in range(3):
        center = center + np.mean([(row - center) * min(1, 2.0 / np.linalg.norm(row - center)) for row in v], axis=0)
    return center


def norm_bound(v: Array, center: Array) -> Array:
    return np.mean([row * min(1, 1.5 / np.linalg.norm(row)) for row in v], axis=0)


def nearest(v: Array, center: Array) -> Array:
    mixed = []
    for row in v:
        order = sorted(range(len(v)), key=lambda j: float(((row - v[j]) ** 2).sum()))
        mixed.append(np.mean([v[j] for j in order[: len(v) - 3]], axis=0))
    return median(np.array(mixed), center)


RULES: dict[str, tuple[Aggregator, Callable[[Array, Array], Array]]] = {
    "mean": (Mean(), lambda v, center: v.mean(axis=0)),
    "median": (CoordinateMedian(), median),
    "trimmed": (TrimmedMean(trim=3), trimmed),
    "krum": (Krum(forged=2), krum),
    "multi-krum": (Krum(forged=3, kept=4), multi_krum),
    "bulyan": (Bulyan(forged=2), bulyan),
    "geometric-median": (GeometricMedian(iterations=300, smoothing=1e-9), geometric_median),
    "centered-clipping": (CenteredClipping(radius=2.0, iterations=3), centered_clipping),
    "norm-bound": (NormBound(bound=1.5), norm_bound),
    "nearest": (NearestNeighborMixing(CoordinateMedian(), forged=3), nearest),
}


def fools_gold(history: Array, v: Array, kappa: float) -> Array:
    """Algorithm 1 of the paper, given the sums H_i after this round; cosines below 0 as in the released code."""
    m = len(v)
    cs = np.zeros((m, m))
    for i in range(m):
        for j in range(m):
            if i != j:
                lengths = np.linalg.norm(history[i]) * np.linalg.norm(history[j])
                cs[i, j] = max(0, history[i] @ history[j] / lengths) if lengths else 0
    largest = [max(cs[i, j] for j in range(m) if j != i) for i in range(m)]
    for i in range(m):
        for j in range(m):
            if largest[j] > largest[i]:
                cs[i, j] *= largest[i] / largest[j]
    alpha = np.array([1 - max(cs[i]) for i in range(m)])
    alpha = alpha / max(alpha)
    for i in range(m):
        alpha[i] = kappa * (np.log(alpha[i] / (1 - alpha[i])) + 0.5) if 0 < alpha[i] < 1 else np.inf * (alpha[i] - 0.5)
    return np.clip(alpha, 0, 1) @ v / m


@pytest.mark.parametrize("kappa", [1.0, 0.2])
def test_fools_gold(kappa: float) -> None:
    rule, weights = FoolsGold(confidence=kappa), np.empty(0)
    for seed in range(10):
        history = np.zeros((M, D))
        remembered, zero = torch.zeros(M, D, dtype=torch.float64), torch.zeros(D, dtype=torch.float64)
        for round in range(5):
            v = rows(10 * seed + round)
            v[3] = 0.9 * v[7] + 0.02  # two that want the same
            v[5] = 0 if round < 2 else v[5]
            history += v
            found, remembered = rule.recall(torch.from_numpy(v), remembered, zero, DRAW)
            np.testing.assert_allclose(found.numpy(), fools_gold(history, v, kappa), rtol=0, atol=1e-10)
            np.testing.assert_array_equal(remembered.numpy(), history)
            if round == 0:
                np.testing.assert_array_equal(made(rule, v), found.numpy())
        weights = fools_gold(history, np.eye(M), kappa)
        assert weights[3] == weights[7] < weights.max()


def test_fools_gold_at_its_edges() -> None:
    orthogonal = np.eye(D)
    np.testing.assert_allclose(made(FoolsGold(), orthogonal), np.full(D, 1 / D), atol=1e-12)  # the mean
    np.testing.assert_array_equal(made(FoolsGold(), np.ones((3, D))), 0)  # all are as one
    orthogonal[1] = np.nan
    np.testing.assert_allclose(made(FoolsGold(), orthogonal), np.eye(D).sum(axis=0) * [1, 0, 1, 1] / D, atol=1e-12)


@pytest.mark.parametrize("name", RULES)
def test_the_rules(name: str) -> None:
    rule, literal = RULES[name]
    for seed in range(20):
        v, center = rows(seed), rows(seed + 100)[0]
        np.testing.assert_allclose(made(rule, v, center), literal(v, center), rtol=0, atol=1e-10)


def test_an_even_number_of_rows_has_two_in_the_middle() -> None:
    np.testing.assert_array_equal(made(CoordinateMedian(), rows(m=4)), np.median(rows(m=4), axis=0))


def test_the_geometric_median_has_the_smallest_sum_of_distances() -> None:
    from scipy.optimize import minimize

    v = rows(3)
    best = minimize(lambda z: np.linalg.norm(v - z, axis=1).sum(), v.mean(axis=0), method="BFGS", tol=1e-10)
    np.testing.assert_allclose(made(GeometricMedian(iterations=500), v), best.x, atol=1e-4)


def test_identities() -> None:
    v = rows()
    np.testing.assert_array_equal(made(TrimmedMean(trim=0), v), made(Mean(), v))
    np.testing.assert_allclose(made(CenteredClipping(radius=np.inf), v, v[3]), v.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(made(Krum(forged=0, kept=M), v), v.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(made(Bucketing(Mean(), size=M), v), v.mean(axis=0), atol=1e-12)


def test_buckets_are_a_partition_that_is_drawn_anew() -> None:
    v = 2.0 ** np.arange(M)[:, None].repeat(D, 1)  # a sum says which rows are in it

    class Seen(Mean):
        def aggregate(self, rows: torch.Tensor, center: torch.Tensor, draw: Draw) -> torch.Tensor:
            seen.append(rows[:, 0].tolist())
            return super().aggregate(rows, center, draw)

    seen: list[list[float]] = []
    for round in range(5):
        drawn = replace(DRAW, round=round)
        Bucketing(Seen(), size=3).aggregate(torch.from_numpy(v), torch.zeros(D), drawn)
    buckets = [[mean * size for mean, size in zip(means, (3, 3, 3, 2), strict=True)] for means in seen]
    assert all(sum(each) == pytest.approx(2**M - 1) for each in buckets)
    assert len({tuple(np.round(each, 6)) for each in buckets}) == 5


@pytest.mark.parametrize("forged", [1e6, np.nan, np.inf], ids=str)
@pytest.mark.parametrize("name", ["median", "trimmed", "krum", "multi-krum", "bulyan"])
def test_two_forged_rows_move_nothing_far(name: str, forged: float) -> None:
    """The aggregate stays within the honest rows, whatever the two are; numbers that are none are as bad as large."""
    v, center = rows(7), np.zeros(D)
    v[[2, 5]] = forged
    found, honest = made(RULES[name][0], v, center), np.delete(v, [2, 5], axis=0)
    assert np.isfinite(found).all()
    assert (found <= honest.max(axis=0) + 1e-9).all() and (found >= honest.min(axis=0) - 1e-9).all()
    assert not (np.abs(made(Mean(), v)) < 1e4).all()


@pytest.mark.parametrize("forged", [1e6, np.nan, np.inf], ids=str)
def test_a_forged_row_moves_a_clipped_mean_by_the_radius_at_most(forged: float) -> None:
    v, rule = rows(7), CenteredClipping(radius=2.0)
    honest = made(rule, v)
    v[[2, 5]] = forged
    assert np.linalg.norm(made(rule, v) - honest) <= 2 * (2 * 2.0) / M + 1e-9
    assert np.linalg.norm(made(NormBound(bound=2.0), v)) <= 2.0 + 1e-9


def test_numbers_that_are_none_count_as_the_largest() -> None:
    v = rows(7)
    large = v.copy()
    v[[2, 5]], large[[2, 5]] = np.nan, np.inf
    for name in ("median", "trimmed"):
        np.testing.assert_array_equal(made(RULES[name][0], v), made(RULES[name][0], large))


@pytest.mark.parametrize(
    ("rule", "least"),
    [
        (TrimmedMean(trim=2), 5),
        (Krum(forged=1), 5),
        (Krum(forged=1, kept=6), 7),
        (Bulyan(forged=1), 7),
        (NearestNeighborMixing(forged=2), 5),
        (NearestNeighborMixing(Krum(forged=2), forged=2), 7),
        (Bucketing(Krum(forged=1), size=2), 9),
    ],
    ids=str,
)
def test_too_few_rows_are_refused(rule: Aggregator, least: int) -> None:
    rule.check_rows(least)
    with pytest.raises(ValueError, match="rows or more, and there are"):
        rule.check_rows(least - 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TrimmedMean(trim=-1), "trim = -1 is not allowed; it must be >= 0"),
        (lambda: Krum(kept=0), "kept = 0 is not allowed; it must be >= 1"),
        (lambda: Bucketing(size=1), "size = 1 is not allowed; it must be >= 2"),
        (lambda: CenteredClipping(radius=0), "radius = 0 is not allowed; it must be > 0"),
        (lambda: GeometricMedian(iterations=0), "iterations = 0 is not allowed; it must be >= 1"),
        (lambda: FoolsGold(confidence=0), "confidence = 0 is not allowed; it must be > 0"),
        (lambda: Bucketing(FoolsGold()), "must be a rule that remembers nothing of single nodes"),
        (lambda: NearestNeighborMixing(FoolsGold()), "must be a rule that remembers nothing of single nodes"),
    ],
    ids=["trim", "kept", "size", "radius", "iterations", "confidence", "buckets", "nearest"],
)
def test_parameters_out_of_range_are_refused(make: Callable[[], Aggregator], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
