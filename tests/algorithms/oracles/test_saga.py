"""SAGA against a literal transcription, with both kinds of tables."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import algorithms.oracles.saga as module
from algorithms import Saga, importance_batch, uniform_batch
from tests.algorithms.oracles.helpers import SIZES, STEPS, Array, Problem, assert_same, drive, starts, transcribed

SEED = 5


@pytest.mark.parametrize(("lr", "refresh"), [(0.05, "independent"), (None, "batch")])
@pytest.mark.parametrize("sampling", ["uniform", "importance"])
@pytest.mark.parametrize(("linear", "batch"), [(True, 1), (True, 4), (False, 3)])
def test_trajectories(lr: float | None, sampling: str, refresh: str, linear: bool, batch: int) -> None:
    problem, X = Problem(), starts()
    l2 = problem.l2 if linear else 0.0  # taken exactly, outside the table

    def component(i: int, l: int, x: Array) -> Array:  # noqa: E741
        return problem.component(i, l, x) - l2 * x

    def draw(i: int, t: int, purpose: str) -> tuple[list[int], Array]:
        p = problem.constants(i) / problem.constants(i).sum()
        if sampling == "uniform":
            return list(uniform_batch(SIZES[i], batch, i, t, SEED, purpose)), np.full(SIZES[i], 1.0)
        return list(importance_batch(p, batch, i, t, SEED, purpose)), 1 / (SIZES[i] * p)

    table = [np.stack([component(i, l, x) for l in range(SIZES[i])]) for i, x in enumerate(X)]  # noqa: E741

    def estimate(t: int, X: Array) -> Array:
        G = []
        for i, x in enumerate(X):
            examples, weights = draw(i, t, "batch")
            terms = [weights[l] * (component(i, l, x) - table[i][l]) for l in examples]  # noqa: E741
            G.append(np.mean(terms, axis=0) + table[i].mean(axis=0) + l2 * x)
            for l in examples if refresh == "batch" else draw(i, t, "refresh")[0]:  # noqa: E741
                table[i][l] = component(i, l, x)
        return np.stack(G)

    workload = problem.linear() if linear else problem.plain()
    oracle = Saga(batch, sampling, refresh)  # type: ignore[arg-type]
    ours, memory = drive(oracle, workload, X, STEPS, lr)
    assert_same(ours, transcribed(estimate, X, STEPS, lr))
    each = batch * (1 + (refresh == "independent"))
    assert memory.gradients.tolist() == [m + STEPS * each for m in SIZES]
    means = [t.mean(axis=0) for t in table]
    np.testing.assert_allclose(memory.mean, means, atol=1e-10)


@pytest.mark.parametrize("sampling", ["uniform", "importance"])
def test_whole_gradients_in_the_table_are_the_method_of_the_paper_for_linear_models_too(sampling: str) -> None:
    problem, X = Problem(), starts()
    literal, _ = drive(Saga(3, sampling, table="gradients"), problem.linear(), X, STEPS, 0.05)  # type: ignore[arg-type]
    paper, _ = drive(Saga(3, sampling), problem.plain(), X, STEPS, 0.05)  # type: ignore[arg-type]
    outside, _ = drive(Saga(3, sampling), problem.linear(), X, STEPS, 0.05)  # type: ignore[arg-type]
    np.testing.assert_array_equal(literal, paper)
    assert np.abs(literal[-1] - outside[-1]).max() > 1e-9


def test_memory_of_the_table() -> None:
    for workload, each in ((Problem().linear(), ()), (Problem().plain(), (4,))):
        state = Saga(2).start(workload, torch.tensor(starts()), range(5), 0)
        assert [entry.shape for entry in state.table] == [(m, *each) for m in SIZES]


@pytest.mark.parametrize("linear", [True, False])
def test_the_mean_of_the_table_does_not_drift(linear: bool) -> None:
    """Entries that were large once leave no rounding errors behind."""
    problem = Problem("half square", l2=0.0)
    workload = problem.linear() if linear else problem.plain()
    oracle, x = Saga(2), torch.tensor(starts())
    state = oracle.start(workload, 1e12 * x, range(5), 0)
    for step in range(300):
        oracle.sample(state, workload, x, range(5), step, 0)
    exact = workload.gradient(x, range(5)).gradient
    assert float((state.mean - exact).abs().max()) < 1e-12


def test_the_whole_as_batch_is_the_full_gradient_and_one_refresh() -> None:
    problem, x = Problem(), torch.tensor(starts())
    for workload in (problem.linear(), problem.plain()):
        state = Saga(7).start(workload, x[:1], [4], 0)  # node 4 has 7 examples
        for step, point in enumerate((x[:1] + 1, x[1:2])):
            estimate = Saga(7).sample(state, workload, point, [4], step, 0).gradient
            full = workload.gradient(point, [4]).gradient
            np.testing.assert_allclose(estimate, full, atol=1e-14)
            l2 = problem.l2 if hasattr(workload, "slopes") else 0.0
            np.testing.assert_allclose(state.mean, full - l2 * point, atol=1e-14)


def test_a_table_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.os, "sysconf", lambda name: 36 if name == "SC_PAGE_SIZE" else 1)
    x = torch.tensor(starts())
    Saga(2).start(Problem().linear(), x, range(5), 0)
    with pytest.raises(ValueError, match="Saga: a table with the gradients of 39 examples") as raised:
        Saga(2).start(Problem().plain(), x, range(5), 0)
    assert "\n" not in str(raised.value)


def test_refused() -> None:
    for options, says in (
        ({"batch": 0}, "Saga: batch = 0"),
        ({"refresh": "x"}, "Saga: refresh = 'x'"),
        ({"table": "x"}, "Saga: table = 'x'"),
    ):
        with pytest.raises(ValueError, match=says):
            Saga(**options)  # type: ignore[arg-type]
