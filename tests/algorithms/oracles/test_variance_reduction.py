"""What the variance-reduced oracles have in common: draws, unbiasedness, vanishing variance, convergence."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
import torch

import gossip
from algorithms import ExactDiffusion, LooplessSvrg, Minibatch, Oracle, Saga, Svrg, importance_batch, uniform_batch
from gossip.workloads import Digits, LeastSquares
from tests.algorithms.helpers import least_squares
from tests.algorithms.oracles.helpers import SIZES, Problem, starts
from topologies import ring

KINDS = (Svrg, LooplessSvrg, Saga)


def test_uniform_batches_are_random_subsets() -> None:
    draws = [tuple(uniform_batch(5, 2, node, step, 7).tolist()) for node in range(20) for step in range(100)]
    counts = Counter(draws)
    assert sorted(counts) == list(combinations(range(5), 2))
    assert max(abs(count - 200) for count in counts.values()) < 5 * np.sqrt(200)
    assert uniform_batch(5, 5, 0, 0, 0).tolist() == list(range(5))
    assert len({tuple(uniform_batch(50, 5, *key)) for key in product(range(2), repeat=3)}) == 8


def test_importance_batches_have_their_probabilities() -> None:
    p = np.array([0.5, 0.3, 0.2, 0.0])
    pairs = Counter(tuple(importance_batch(p, 2, node, step, 7).tolist()) for node in range(20) for step in range(100))
    for first, second in product(range(4), repeat=2):
        expected = 2000 * p[first] * p[second]
        assert abs(pairs[first, second] - expected) <= 5 * np.sqrt(expected)


def test_probabilities_are_in_proportion_to_smoothness() -> None:
    for loss in ("logistic", "half square"):
        problem = Problem(loss)
        x = torch.tensor(starts())
        state = Svrg(1, sampling="importance").start(problem.linear(), x, range(5), 0)
        for i, p in enumerate(state.probabilities):
            np.testing.assert_allclose(p, problem.constants(i) / problem.constants(i).sum(), rtol=1e-14)


def moved(oracle: Oracle, workload: Any, x: torch.Tensor) -> Any:
    """The state after some steps on the way to x, at node 1."""
    state = oracle.start(workload, x + 2, [1], 0)
    for step in range(5):
        oracle.sample(state, workload, x + 1 / (step + 1), [1], step, 0)
    return state


@pytest.mark.parametrize("how", ["uniform", "importance"])
@pytest.mark.parametrize("kind", KINDS)
def test_unbiased_over_all_possible_batches(kind: type[Oracle], how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    problem, x = Problem(), torch.tensor(starts())[:1]
    for workload in (problem.linear(), problem.plain()):
        m, mean = SIZES[1], torch.zeros_like(x)
        p = problem.constants(1) / problem.constants(1).sum()
        options: dict[str, Any] = {"period": 100} if kind is Svrg else {}
        oracle = kind(batch=2, sampling=how, **options)
        if how == "uniform":
            batches = [(np.array(pair), 1 / (m * (m - 1) / 2)) for pair in combinations(range(m), 2)]
        else:
            batches = [(np.array(pair), p[pair[0]] * p[pair[1]]) for pair in product(range(m), repeat=2)]
        for chosen, probability in batches:
            state = moved(oracle, workload, x)
            with monkeypatch.context() as patch:
                patch.setattr(f"algorithms.oracles.batches.{how}_batch", lambda *_, chosen=chosen: chosen)
                mean += probability * oracle.sample(state, workload, x, [1], 6, 0).gradient
        exact = torch.tensor(problem.full(1, x[0].numpy()))
        np.testing.assert_allclose(mean[0], exact, atol=1e-13)


@pytest.mark.parametrize("how", ["uniform", "importance"])
@pytest.mark.parametrize("kind", KINDS)
def test_variance_vanishes_where_one_stays(kind: type[Oracle], how: str) -> None:
    workload, x = Problem().linear(), torch.tensor(starts())
    full = workload.gradient(x, range(5)).gradient
    oracle, state = kind(batch=2, sampling=how), None  # type: ignore[call-arg]
    state = oracle.start(workload, x + 1, range(5), 0)
    errors = [
        float((oracle.sample(state, workload, x, range(5), step, 0).gradient - full).abs().max()) for step in range(120)
    ]
    assert max(errors[-20:]) < 1e-13
    spread = Minibatch(2)
    other = spread.start(workload, x, range(5), 0)
    assert float((spread.sample(other, workload, x, range(5), 100, 0).gradient - full).abs().max()) > 0.05


def test_all_examples_give_the_exact_gradient() -> None:
    problem, x = Problem(), torch.tensor(starts())[:1]
    workload = problem.linear()
    for kind in KINDS:
        oracle = kind(batch=SIZES[1])
        state = moved(oracle, workload, x)
        estimate = oracle.sample(state, workload, x, [1], 6, 0).gradient[0]
        np.testing.assert_allclose(estimate, problem.full(1, x[0].numpy()), atol=1e-14)


def distance_to_optimum(oracle: Oracle, steps: int) -> float:
    """Of all nodes of a ring with heterogeneous least squares, after exact diffusion."""
    problem = least_squares(8)
    workload = LeastSquares(problem.A, problem.b)
    arguments: dict[str, Any] = {"evaluate_every": steps, "evaluate_nodes": 0, "output": None}
    result = gossip.run(workload, ring(8), ExactDiffusion(lr=0.06), oracle=oracle, steps=steps, **arguments)
    return float(np.abs(result.model.numpy() - problem.optimum).max())


@pytest.mark.parametrize(
    "oracle", [Svrg(4), LooplessSvrg(4), Saga(4), Saga(4, "importance"), Saga(4, refresh="independent")]
)
def test_heterogeneous_least_squares_to_the_optimum(oracle: Oracle) -> None:
    assert distance_to_optimum(oracle, 700) < 1e-8


def test_minibatches_alone_stall() -> None:
    assert distance_to_optimum(Minibatch(4), 700) > 1e-2


@pytest.mark.parametrize("kind", KINDS)
def test_refused_in_one_line(kind: type[Oracle]) -> None:
    x = torch.tensor(starts())
    with pytest.raises(ValueError, match=f"{kind.__name__}: batch = 7 .* at most 6, the number of examples of node 1"):
        kind(batch=7).start(Problem().linear(), x, range(5), 0)  # type: ignore[call-arg]
    workload = Digits(hidden=2).shard(2, 0)
    with pytest.raises(ValueError, match=f"{kind.__name__}: importance sampling .* Supervised does not tell") as raised:
        kind(sampling="importance").start(workload, workload.initial().expand(2, -1), range(2), 0)  # type: ignore
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("oracle", [Svrg(4), LooplessSvrg(4), Saga(4)])
def test_any_torch_model(oracle: Oracle) -> None:
    """Over all batches of one example the estimates average to the gradient, and the first is exact."""
    workload = Digits(hidden=3).shard(20, 0)
    x = workload.initial().expand(20, -1).clone()
    full = workload.gradient(x, range(20)).gradient
    state = oracle.start(workload, x, range(20), 0)
    np.testing.assert_allclose(oracle.sample(state, workload, x, range(20), 0, 0).gradient, full, atol=1e-5)
