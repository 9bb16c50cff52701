"""ATOMO."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from algorithms import Atomo, Layout, NonFiniteError
from algorithms.compressors.low_rank.atomo import probabilities
from algorithms.compressors.wire import frames, indices
from algorithms.randomness import Draw
from tests.algorithms.compressors.helpers import HEADER, NODES, adversarial, compress, hypothesis
from tests.algorithms.helpers import Array


def filled(sizes: Array, s: float) -> Array:
    """The probabilities by the loop of the paper: set those above 1 to 1, share what is left among the others."""
    p, capped = np.zeros(len(sizes)), np.zeros(len(sizes), bool)
    while True:
        free = ~capped & (sizes > 0)
        if not free.any():
            return np.where(capped, 1.0, 0.0)
        p = np.where(capped, 1.0, 0.0)
        p[free] = (s - capped.sum()) * sizes[free] / sizes[free].sum()
        if (p <= 1 + 1e-12).all():
            return np.minimum(p, 1)
        capped |= p > 1


magnitudes = st.lists(
    st.sampled_from([0.0, 1.0, 1.0, 2.0, 1e-3, 1e5]) | st.floats(0, 1, width=32), min_size=1, max_size=12
)


@hypothesis
@given(magnitudes, st.floats(0.01, 1))
def test_water_filling(sizes: list[float], share: float) -> None:
    array, s = np.array(sizes), share * len(sizes)
    p = probabilities(array, s)
    assert ((p >= 0) & (p <= 1)).all()
    assert p.sum() == pytest.approx(min(s, np.count_nonzero(array)), rel=1e-9)
    np.testing.assert_allclose(p, filled(array, s), rtol=1e-6, atol=1e-9)
    # Optimal: the derivatives -(size / p)^2 agree where p < 1, and are not above theirs where p = 1.
    some = array > 0
    ratios = array[some] / p[some]
    below = p[some] < 1 - 1e-9
    if below.any():
        np.testing.assert_allclose(ratios[below], ratios[below][0], rtol=1e-6)
        assert (ratios[~below] >= ratios[below][0] * (1 - 1e-6)).all()


def test_water_filling_against_a_general_solver() -> None:
    sizes, s = np.array([5.0, 2, 1, 1, 0.5, 0.1]), 2.7
    found = minimize(
        lambda p: (sizes**2 / p).sum(),
        np.full(6, s / 6),
        bounds=[(1e-6, 1)] * 6,
        constraints={"type": "eq", "fun": lambda p: p.sum() - s},
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    np.testing.assert_allclose(probabilities(sizes, s), found.x, atol=1e-4)
    # One pass alone, as in the authors' code, stays below the budget.
    assert np.minimum(s * sizes / sizes.sum(), 1).sum() < s - 0.1
    np.testing.assert_allclose(probabilities(np.array([1e-320, 1, 1]), 2.5), [0.5, 1, 1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "fields", [{"budget": 3}, {"budget": 0.2}, {"budget": 2.5}, {"fraction": 0.25}, {"fraction": 1}]
)
def test_entries(fields: dict[str, float], dtype: type) -> None:
    d = 20
    x = np.random.default_rng(0).standard_cauchy((4, d)).astype(dtype)
    draw = Draw(0, "compression", range(4), 0)
    compressor = Atomo(**fields)
    message = compressor.compress(torch.from_numpy(x), draw)
    s = fields.get("budget") or fields["fraction"] * d
    for row in range(4):
        p = filled(np.abs(x[row]).astype(np.float64), s)
        random = np.random.Generator(np.random.Philox(key=draw.key(row).own))
        kept = random.random(d) < p
        expected = np.where(kept, x[row] / np.where(kept, p, 1), 0)
        np.testing.assert_allclose(message.dense()[row], expected, rtol=1e-6 if dtype == np.float32 else 1e-12)
        k = np.flatnonzero(kept)
        assert message.nbytes[row] == HEADER + 1 + len(indices.encode(k, d)) + len(k) * x.itemsize
        out = torch.ones(d, dtype=message.dense().dtype)
        message.add_to(out, message.pack(row), 0.3)
        assert torch.equal(out, 1 + 0.3 * message.dense()[row])
    assert message.paper_bits == pytest.approx(8 * x.itemsize * s + indices.entropy(s, d))
    assert compressor.omega(d) == pytest.approx(d / s - 1)


def products_of(payload: torch.Tensor, n: int, m: int) -> tuple[Array, Array]:
    (count,), rest = frames.read_varints(payload, 1)
    numbers = frames.from_bytes(rest, torch.float64).numpy()
    assert len(numbers) == count * (n + m)
    return numbers[: count * n].reshape(count, n), numbers[count * n :].reshape(count, m)


@pytest.mark.parametrize("shape", [(9, 20), (20, 9)])
@pytest.mark.parametrize("budget", [1.0, 2.5, 4.0])
def test_singular_vectors(shape: tuple[int, int], budget: float) -> None:
    n, m = max(shape), min(shape)
    M = np.random.default_rng(0).standard_normal((5, *shape))
    draw = Draw(0, "compression", range(5), 0)
    compressor = Atomo(atoms="singular", budget=budget).for_layout(Layout({"M": shape}))
    message = compressor.compress(torch.from_numpy(M.reshape(5, -1)), draw)
    for row in range(5):
        u, sigma, v = np.linalg.svd(M[row] if shape[0] >= shape[1] else M[row].T, full_matrices=False)
        p = filled(sigma, budget)
        random = np.random.Generator(np.random.Philox(key=draw.key(row).own))
        kept = random.random(m) < p
        expected = (u[:, kept] * (sigma / p)[kept]) @ v[kept]
        found = message.dense()[row].numpy().reshape(shape)
        np.testing.assert_allclose(found if shape[0] >= shape[1] else found.T, expected, atol=1e-10)
        units, others = products_of(torch.from_numpy(message.pack(row)[HEADER:]), n, m)
        assert len(units) == kept.sum()
        np.testing.assert_allclose(units @ units.T, np.eye(len(units)), atol=1e-12)
        np.testing.assert_allclose(np.linalg.norm(others, axis=1), (sigma / p)[kept])
        assert message.nbytes[row] == HEADER + 1 + 8 * kept.sum() * (n + m)
    assert message.paper_bits == 64 * budget * (n + m)
    assert compressor.omega(n * m) == pytest.approx(m / budget - 1)


@pytest.mark.parametrize("atoms", ["entries", "singular"])
def test_unbiased_with_the_exact_variance(atoms: str) -> None:
    """E|C(x) - x|^2 = sum_i lambda_i^2 (1/p_i - 1)."""
    x, draws, s = np.random.default_rng(2).standard_normal(36), 2400, 2.0
    compressor = Atomo(atoms=atoms, budget=s)
    sizes = np.abs(x) if atoms == "entries" else np.linalg.svd(x.reshape(6, 6))[1]
    p = filled(sizes, s)
    exact = (sizes**2 * (1 / p - 1)).sum()
    messages = [compress(compressor, np.tile(x, (NODES, 1)), round) for round in range(draws // NODES)]
    found = np.concatenate([each.dense() for each in messages])
    assert (np.abs(found.mean(0) - x) <= 5 * found.std(0) / math.sqrt(draws) + 1e-12).all()
    lost = ((found - x) ** 2).sum(1)
    assert abs(lost.mean() - exact) <= 5 * lost.std() / math.sqrt(draws)
    assert exact <= compressor.omega(36) * (x @ x)
    packed = [each.pack(row)[HEADER:] for each in messages for row in range(NODES)]
    sent = np.array([frames.read_varints(torch.from_numpy(each), 1)[0][0] for each in packed])
    assert abs(sent.mean() - s) <= 5 * sent.std() / math.sqrt(draws)
    assert not compressor.biased


def test_omega_is_attained_where_all_atoms_are_equal() -> None:
    sizes, s = np.ones(10), 3.0
    p = probabilities(sizes, s)
    assert (sizes**2 * (1 / p - 1)).sum() / (sizes**2).sum() == pytest.approx(Atomo(budget=s).omega(10))


def test_omega_of_a_model_is_that_of_its_worst_matrix() -> None:
    layout = Layout({"a": (10, 10), "b": (100,), "c": (40, 20), "d": (2, 2)})
    compressor = Atomo(atoms="singular", budget=2).for_layout(layout)
    assert compressor.omega(layout.d) == 20 / 2 - 1
    assert compressor.paper_bits(layout.d, 4) == 32 * (2 * 20 + 100 + 2 * 60 + 4)
    assert Atomo(atoms="singular", fraction=0.1).for_layout(layout).omega(layout.d) == pytest.approx(9)
    assert Atomo(atoms="singular", budget=30).for_layout(layout).omega(layout.d) == 0
    x = np.random.default_rng(0).standard_normal((1, layout.d))
    found = compress(compressor, x).dense().numpy()
    np.testing.assert_array_equal(found[0, 100:200], x[0, 100:200])


def test_few_entries_are_all_kept() -> None:
    x = np.zeros((1, 50), np.float32)
    x[0, [3, 40]] = 1, -1e-30
    np.testing.assert_array_equal(compress(Atomo(budget=2), x).dense(), x)
    assert compress(Atomo(budget=2), np.zeros((1, 50))).nbytes.tolist() == [HEADER + 2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_awkward_vectors(dtype: type) -> None:
    for d in (1, 2, 50):
        x = adversarial(d, dtype)
        np.testing.assert_allclose(compress(Atomo(fraction=1), x).dense(), x, rtol=1e-6)
        assert compress(Atomo(fraction=0.1), x).dense().isfinite().all()
    huge = np.full((1, 100), np.finfo(dtype).max)
    with pytest.raises(NonFiniteError, match=r"^Atomo: .* beyond its precision"):
        for round in range(20):
            compress(Atomo(budget=1), huge, round)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "give exactly one of fraction"),
        ({"fraction": 0.1, "budget": 1}, "give exactly one of fraction"),
        ({"fraction": 0.0}, "fraction = 0.0 is not allowed"),
        ({"fraction": 1.1}, "fraction = 1.1 is not allowed"),
        ({"budget": 0}, "budget = 0 is not allowed; it must be positive and finite"),
        ({"budget": math.inf}, "budget = inf is not allowed"),
        ({"budget": 1, "atoms": "fourier"}, "atoms = 'fourier' is not allowed; it must be one of entries, singular"),
    ],
)
def test_validation(fields: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=f"^Atomo: {says}"):
        Atomo(**fields)


def test_budgets_above_the_number_of_entries_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^Atomo: budget = 9 is not allowed; it must be at most d = 8"):
        Atomo(budget=9).check_dimension(8)
    Atomo(budget=9, atoms="singular").check_dimension(8)
