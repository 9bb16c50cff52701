"""Regularizers: their values and proximal operators in closed form, by definition, and by the laws that all obey."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize

from algorithms import (
    L1,
    Box,
    DecentralizedSGD,
    ElasticNet,
    GroupLasso,
    L2Ball,
    Layout,
    NonNegative,
    NuclearNorm,
    Proximal,
    Simplex,
)
from algorithms.proximal import proximal_step

Array = NDArray[Any]

LAYOUT = Layout({"matrix": (4, 3), "bias": (4,), "kernel": (2, 2, 2), "row": (1, 5)})
D = LAYOUT.d
NORMS: list[Proximal] = [
    L1(weight=0.7),
    ElasticNet(l1=0.4, l2=1.5),
    GroupLasso(weight=0.5, groups=1),
    GroupLasso(weight=0.3),
    GroupLasso(weight=0.4, groups="rows"),
    NuclearNorm(weight=0.8),
]
SETS: list[Proximal] = [
    Box(low=-0.5, high=0.25),
    Box(low=-math.inf, high=0.1),
    NonNegative(),
    L2Ball(radius=1.5),
    Simplex(total=2.0),
]
ALL = [each.for_layout(LAYOUT) for each in [*NORMS, *SETS]]


def stack(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def prox(regularizer: Proximal, z: Array, step: float) -> Array:
    return regularizer.prox(torch.from_numpy(z), step).numpy()


def value(regularizer: Proximal, x: Array) -> Array:
    return regularizer.value(torch.from_numpy(x)).numpy()


def points(rows: int, seed: int = 0) -> Array:
    """(rows, D): of sizes from tiny to huge."""
    random = np.random.default_rng(seed)
    return random.normal(size=(rows, D)) * np.geomspace(0.01, 30, rows)[:, None]


# Known values.


@pytest.mark.parametrize(
    ("regularizer", "x", "expected"),
    [
        (L1(weight=2.0), [1, -2, 0], 6),
        (ElasticNet(l1=2.0, l2=3.0), [1, -2, 0], 6 + 7.5),
        (GroupLasso(weight=2.0, groups=2), [3, 4, 0, 0], 10 * math.sqrt(2)),
        (GroupLasso(weight=2.0, groups=1), [1, -2], 6),
        (Box(low=-1.0, high=2.0), [-1, 2], 0),
        (Box(low=-1.0, high=2.0), [-1, 2.001], math.inf),
        (NonNegative(), [0, 3], 0),
        (NonNegative(), [0, -1e-9], math.inf),
        (L2Ball(radius=5.0), [3, 4], 0),
        (L2Ball(radius=5.0), [3, 4.001], math.inf),
        (Simplex(total=2.0), [0.5, 1.5, 0], 0),
        (Simplex(total=2.0), [0.5, 1.5, 0.001], math.inf),
        (Simplex(total=2.0), [2.5, -0.5], math.inf),
    ],
    ids=str,
)
def test_values(regularizer: Proximal, x: list[float], expected: float) -> None:
    values = regularizer.value(stack(x, x))
    assert values.shape == (2,)
    assert values.tolist() == pytest.approx([expected, expected])


@pytest.mark.parametrize(
    ("regularizer", "z", "step", "expected"),
    [
        (L1(weight=2.0), [3, -3, 0.9, -1, 0], 0.5, [2, -2, 0, 0, 0]),
        (ElasticNet(l1=2.0, l2=6.0), [3, -3, 0.9, 0], 0.5, [0.5, -0.5, 0, 0]),
        (GroupLasso(weight=math.sqrt(2), groups=2), [3, 4, 0.3, 0.4, 0, 0], 0.5, [2.4, 3.2, 0, 0, 0, 0]),
        (Box(low=-1.0, high=2.0), [-3, 3, 0.5], 9.0, [-1, 2, 0.5]),
        (NonNegative(), [-3, 3, 0], 9.0, [0, 3, 0]),
        (L2Ball(radius=5.0), [6, 8], 9.0, [3, 4]),
        (L2Ball(radius=5.0), [3, 3.9], 9.0, [3, 3.9]),
        (Simplex(total=2.0), [5, 4.5, -1], 9.0, [1.25, 0.75, 0]),
        (Simplex(total=2.0), [1, 1, 1, 1], 9.0, [0.5, 0.5, 0.5, 0.5]),
        (Simplex(total=3.0), [-7], 9.0, [3]),
    ],
    ids=str,
)
def test_proximal_points(regularizer: Proximal, z: list[float], step: float, expected: list[float]) -> None:
    np.testing.assert_allclose(regularizer.prox(stack(z, z), step).numpy(), [expected, expected], rtol=1e-14)


def test_nuclear_norm_of_diagonal_matrices() -> None:
    layout = Layout({"a": (2, 2), "b": (3,), "c": (1, 2)})
    regularizer = NuclearNorm(weight=2.0).for_layout(layout)
    z = stack([3, 0, 0, -0.5, 7, 8, 9, 3, 4])
    assert regularizer.value(z).item() == pytest.approx(2 * (3 + 0.5 + 5))
    np.testing.assert_allclose(regularizer.prox(z, 0.5), [[2, 0, 0, 0, 7, 8, 9, 2.4, 3.2]], atol=1e-14)


def test_groups_by_layout() -> None:
    x = points(1)
    tensors = [x[0, :12], x[0, 12:16], x[0, 16:24], x[0, 24:]]
    rows = [*tensors[0].reshape(4, 3), tensors[1], *tensors[2].reshape(2, 4), tensors[3]]
    for name, groups in (("tensors", tensors), ("rows", rows)):
        regularizer = GroupLasso(weight=0.3, groups=name).for_layout(LAYOUT)  # type: ignore[arg-type]
        penalty = 0.3 * sum(math.sqrt(len(group)) * np.linalg.norm(group) for group in groups)
        assert value(regularizer, x).item() == pytest.approx(penalty, rel=1e-14)
        shrunk = [max(0, 1 - 0.01 * 0.3 * math.sqrt(len(group)) / np.linalg.norm(group)) * group for group in groups]
        np.testing.assert_allclose(prox(regularizer, x, 0.01)[0], np.concatenate(shrunk), rtol=1e-13)


def test_equal_special_cases() -> None:
    z = torch.from_numpy(points(6))
    np.testing.assert_allclose(GroupLasso(weight=0.3, groups=1).prox(z, 0.5), L1(weight=0.3).prox(z, 0.5), atol=1e-15)
    np.testing.assert_array_equal(ElasticNet(l1=0.3, l2=0.0).prox(z, 0.5), L1(weight=0.3).prox(z, 0.5))
    np.testing.assert_array_equal(Box(low=0.0, high=math.inf).prox(z, 0.5), NonNegative().prox(z, 0.5))
    np.testing.assert_array_equal(L1(weight=0.0).prox(z, 0.5), z)
    assert proximal_step(None, z, 0.5) is z


# The definition.


@pytest.mark.parametrize("regularizer", [each.for_layout(LAYOUT) for each in NORMS], ids=str)
def test_the_prox_is_the_minimiser(regularizer: Proximal) -> None:
    z, step = points(4, seed=3), 0.6
    best = prox(regularizer, z, step)
    random = np.random.default_rng(1)

    def objective(y: Array) -> Array:
        return value(regularizer, y) + ((y - z) ** 2).sum(axis=1) / (2 * step)

    for size in (1e-4, 1e-2, 1.0):
        for _ in range(40):
            assert (objective(best + size * random.normal(size=z.shape)) > objective(best)).all()
    # A descent from elsewhere comes no lower.
    z, best = z[-1:], best[-1:]
    found = minimize(lambda y: objective(y[None])[0], np.zeros(D), method="Powell", options={"maxiter": 2})
    assert found.fun >= objective(best)[0] - 1e-12


@pytest.mark.parametrize("regularizer", [each.for_layout(LAYOUT) for each in SETS], ids=str)
def test_the_prox_of_a_set_is_the_projection(regularizer: Proximal) -> None:
    z = points(30, seed=4)
    projected = prox(regularizer, z, 0.1)
    assert (value(regularizer, projected) == 0).all()
    assert np.isinf(value(regularizer, z)).any()
    np.testing.assert_array_equal(prox(regularizer, z, 100.0), projected)
    np.testing.assert_allclose(prox(regularizer, projected, 1.0), projected, atol=1e-14)
    # Of a convex set: the angle from the projection to any other point of it is obtuse.
    inside = prox(regularizer, points(200, seed=5), 1.0)
    for row in range(len(z)):
        slopes = (inside - projected[row]) @ (z[row] - projected[row])
        assert slopes.max() <= 1e-12 * (1 + np.abs(z[row]).max() ** 2)


# Laws of all convex functions.

VECTORS = st.lists(st.floats(-50, 50, allow_subnormal=False), min_size=D, max_size=D).map(np.array)
STEPS = st.floats(1e-3, 10)


@pytest.mark.parametrize("regularizer", ALL, ids=str)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(VECTORS, VECTORS, STEPS)
def test_firmly_nonexpansive(regularizer: Proximal, u: Array, v: Array, step: float) -> None:
    p, q = prox(regularizer, np.stack([u, v]), step)
    assert (p - q) @ (p - q) <= (p - q) @ (u - v) + 1e-9


# r*(y) = sup_x <x, y> - r(x), whose prox follows from that of r by Moreau: z = prox_{c r}(z) + c prox_{r*/c}(z / c).
# Here r* is known by itself, as the projection on the unit ball of a dual norm or as a support function.
CONJUGATES: list[tuple[Proximal, Callable[[Array], Array]]] = [
    (L1(weight=0.7), lambda y: np.clip(y, -0.7, 0.7)),
    (
        GroupLasso(weight=0.5, groups=D),
        lambda y: y * min(1, 0.5 * math.sqrt(D) / max(np.linalg.norm(y), 1e-300)),
    ),
    (NonNegative(), lambda y: np.minimum(y, 0)),
    (
        NuclearNorm(weight=0.8).for_layout(Layout({"m": (D // 3, 3), "rest": (D % 3,)})),
        lambda y: np.concatenate([_clipped_singular_values(y[: D // 3 * 3], 0.8), np.zeros(D % 3)]),
    ),
]


def _clipped_singular_values(y: Array, bound: float) -> Array:
    left, singular, right = np.linalg.svd(y.reshape(-1, 3), full_matrices=False)
    return (left * np.minimum(singular, bound) @ right).ravel()


@pytest.mark.parametrize(("regularizer", "dual"), CONJUGATES, ids=[str(r) for r, _ in CONJUGATES])
@settings(max_examples=25, deadline=None, derandomize=True)
@given(VECTORS, STEPS)
def test_moreau_decomposition(regularizer: Proximal, dual: Callable[[Array], Array], z: Array, step: float) -> None:
    (p,) = prox(regularizer, z[None], step)
    np.testing.assert_allclose(p + step * dual(z / step), z, atol=1e-11)


# Numerics.


@pytest.mark.parametrize("regularizer", ALL, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_row_does_not_depend_on_the_others(regularizer: Proximal, dtype: torch.dtype) -> None:
    z = torch.from_numpy(points(7)).to(dtype)
    before = z.clone()
    together = regularizer.prox(z, 0.3)
    values = regularizer.value(z)
    assert together.dtype == values.dtype == dtype
    assert together.data_ptr() != z.data_ptr()
    assert z.equal(before)
    for i in range(7):
        assert regularizer.prox(z[i : i + 1], 0.3).equal(together[i : i + 1])
        assert regularizer.value(z[i : i + 1]).equal(values[i : i + 1])
    assert regularizer.prox(z.T.contiguous().T, 0.3).equal(together)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert regularizer.prox(z, 0.3).equal(together)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("regularizer", [L1(0.1), GroupLasso(0.1, groups=100), L2Ball(2.0), Simplex(2.0)], ids=str)
def test_long_rows_do_not_depend_on_the_threads(regularizer: Proximal) -> None:
    z = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 200_000)))
    threads = torch.get_num_threads()
    results = []
    try:
        for number in (1, 4):
            torch.set_num_threads(number)
            results.append((regularizer.prox(z, 0.3), regularizer.value(z)))
    finally:
        torch.set_num_threads(threads)
    assert results[0][0].equal(results[1][0])
    assert results[0][1].equal(results[1][1])


@pytest.mark.parametrize("regularizer", [each.for_layout(LAYOUT) for each in SETS], ids=str)
def test_a_rounded_projection_counts_as_inside(regularizer: Proximal) -> None:
    z = torch.from_numpy(points(50) * 1e4).float()
    assert regularizer.value(regularizer.prox(z, 1.0)).eq(0).all()


def test_far_away_points_are_projected_on_the_simplex_without_cancellation() -> None:
    z = stack([1e12 + 0.25, 1e12, -1e12])
    np.testing.assert_allclose(Simplex(total=1.0).prox(z, 1.0), [[0.625, 0.375, 0]], rtol=1e-12)


def test_zero_stays_zero() -> None:
    for regularizer in (each.for_layout(LAYOUT) for each in NORMS):
        assert regularizer.prox(torch.zeros(2, D), 0.5).eq(0).all()
        assert regularizer.prox(torch.zeros(2, D), 0.0).eq(0).all()


# Refusals.


@pytest.mark.parametrize(
    ("kind", "options", "name"),
    [
        *((kind, {"weight": bad}, "weight") for kind in (L1, GroupLasso, NuclearNorm) for bad in (-1, math.inf)),
        (L1, {"weight": math.nan}, "weight"),
        *((ElasticNet, {name: -0.1}, name) for name in ("l1", "l2")),
        *((GroupLasso, {"groups": bad}, "groups") for bad in (0, -2, "layers")),
        (Box, {"low": 2.0, "high": 1.0}, "high"),
        (Box, {"low": math.nan}, "low"),
        (Box, {"high": math.nan}, "high"),
        (Box, {"low": math.inf, "high": math.inf}, "low"),
        *((L2Ball, {"radius": bad}, "radius") for bad in (0, -1, math.inf)),
        *((Simplex, {"total": bad}, "total") for bad in (0, -1, math.inf)),
    ],
)  # fmt: skip
def test_out_of_range(kind: type, options: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{kind.__name__}: {name} = .* is not allowed; it must be .*$"):
        kind(**options)


def test_models_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"^GroupLasso: groups = 4 .* a divisor of d = 29"):
        GroupLasso(groups=4).for_layout(LAYOUT)
    with pytest.raises(ValueError, match=r"^NuclearNorm: the model has no matrix"):
        NuclearNorm().for_layout(Layout.vector(5))
    for regularizer in (NuclearNorm(), GroupLasso()):
        with pytest.raises(ValueError, match=r"needs the model's tensors"):
            regularizer.prox(torch.zeros(1, D), 0.5)
        with pytest.raises(ValueError, match=r"shapes hold 29 parameters, the vector 30"):
            regularizer.for_layout(LAYOUT).value(torch.zeros(1, D + 1))


def test_an_algorithm_hands_the_layout_on() -> None:
    algorithm = DecentralizedSGD(prox=NuclearNorm()).for_layout(LAYOUT)
    assert algorithm.prox == NuclearNorm(shapes=((4, 3), (4,), (2, 2, 2), (1, 5)))
    with pytest.raises(ValueError, match=r"^DecentralizedSGD: prox = 0.1 is not allowed; it must be None, or a"):
        DecentralizedSGD(prox=0.1)  # type: ignore[arg-type]
