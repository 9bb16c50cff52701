"""The study of exact diffusion: its closed forms against linear algebra, and its machinery at a tiny size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure

from gossip.reproduce.studies import exact_diffusion
from gossip.reproduce.studies.exact_diffusion import CURVATURE, DEVIATION, METHODS, closed_form, graphs
from tests.conftest import OnRanks, Run


def stationary(T: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """The covariance P = T P T' + noise, summed up as a series."""
    P, power = noise.copy(), T.copy()
    for _ in range(40):  # doubles the number of terms
        P = P + power @ P @ power.T
        power = power @ power
    return P


def literal(method: str, W: np.ndarray, mu: float, c: np.ndarray) -> float:
    """The mean-square deviation of the recursions for all nodes at once, without modes of W."""
    n, h = len(W), CURVATURE
    I = np.eye(n)  # noqa: E741
    gradient_noise = mu * DEVIATION * I
    if method == "exact diffusion":
        lazy = (I + W) / 2
        # z = (x, psi) -> (lazy ((2 - mu h) x - psi + mu h c), (1 - mu h) x + mu h c), noise in both
        T = np.block([[(2 - mu * h) * lazy, -lazy], [(1 - mu * h) * I, np.zeros((n, n))]])
        inside = np.vstack([lazy @ gradient_noise, gradient_noise])
        # The averages of x and psi stay equal, an eigenvalue of T that is 1 and never excited. Apart:
        rest = np.kron(np.eye(2), I - 1 / n)
        P = stationary(rest @ T, rest @ inside @ inside.T @ rest)
        average = (mu * DEVIATION) ** 2 / n / (1 - (1 - mu * h) ** 2)
        return float(np.trace(P[:n, :n]) / n + average)
    T, inside = {
        "diffusion": ((1 - mu * h) * W, W @ gradient_noise),
        "consensus": (W - mu * h * I, gradient_noise),
    }[method]
    pull = {"diffusion": mu * h * W, "consensus": mu * h * I}[method]
    limit = np.linalg.solve(I - T, pull @ c)
    bias = np.mean((limit - c.mean(axis=0)) ** 2)
    return float(np.trace(stationary(T, inside @ inside.T)) / n + bias)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mu", [0.02, 0.3])
def test_the_closed_forms_are_the_stationary_states(method: str, mu: float) -> None:
    c = np.random.default_rng(3).normal(size=(20, 4))
    for topology in graphs(4, 5):
        W = topology.matrix.toarray()
        assert closed_form(method, W, mu, c) == pytest.approx(literal(method, W, mu, c), rel=1e-8)


def test_the_closed_forms_have_the_values_that_are_known() -> None:
    """Of 20 nodes at mu = 0.02, and what they become on one node: plain stochastic gradient descent."""
    c = np.zeros((20, 1))
    known = {"path": (1.29e-3, 1.79e-3), "ring": (1.06e-3, 1.54e-3), "grid": (7.3e-4, 1.09e-3)}
    known |= {"complete": (5.05e-4, 6.55e-4)}
    for topology in graphs(4, 5):
        values = [closed_form(m, topology.matrix.toarray(), 0.02, c) for m in ("diffusion", "exact diffusion")]
        np.testing.assert_allclose(values, known[topology.name], rtol=5e-3)
    alone = [closed_form(method, np.eye(1), 0.1, c[:1]) for method in (*METHODS, "centralized")]
    np.testing.assert_allclose(alone, 0.1 / 1.9, rtol=1e-12)
    with pytest.raises(ValueError, match="no closed form of 'magic'"):
        closed_form("magic", np.eye(1), 0.1, c[:1])


def test_a_tiny_study() -> None:
    said: list[str] = []
    sizes = {"rates": (0.1, 0.3), "rows": 2, "columns": 3, "components": 2000, "discarded": 200, "steps": 200}
    findings = exact_diffusion.run([0], said.append, **sizes)  # type: ignore[arg-type]
    assert len(findings.rows) == 4 * 2 * 2 * 3
    assert len(said) == 4 * 2
    for row in findings.rows:
        assert row["simulated / theory"] == pytest.approx(1, abs=0.05)
    assert [claim.holds for claim in findings.claims] == [True] * 6, findings.claims
    figure = Figure()
    findings.draw(figure)
    assert len(figure.axes) == 8


def test_a_formula_that_is_wrong_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_diffusion, "closed_form", lambda *arguments: 1.1 * closed_form(*arguments))
    sizes = {"rates": (0.3,), "rows": 2, "columns": 3, "components": 400, "discarded": 100, "steps": 50}
    findings = exact_diffusion.run([0], lambda text: None, **sizes)  # type: ignore[arg-type]
    assert not findings.claims[0].holds


def test_on_ranks_the_numbers_are_the_same(here: Run, on_ranks: Callable[..., list[OnRanks]]) -> None:
    code = """
from gossip.reproduce.studies.exact_diffusion import run
findings = run([0], lambda text: None, rates=(0.1,), rows=2, columns=3, components=10, discarded=10, steps=20)
print(sorted(row["simulated"] for row in findings.rows))
"""
    (together,) = on_ranks([["-c", code]], ranks=2)
    alone = here("-c", code)
    assert (together.codes, alone.returncode) == ([0, 0], 0), (together.stderr, alone.stderr)
    assert together.stdout == [alone.stdout] * 2 and alone.stdout
