"""DecentLaM."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algorithms import DecentLaM, DecentralizedSGD, LearningRate
from tests.algorithms.helpers import (
    ALL,
    RATES,
    Array,
    assert_follows,
    common,
    distance,
    fixed,
    least_squares,
    run,
    same_curvature,
    starts,
)
from topologies import Schedule, Topology, complete, exponential, ring


def matching(first: int) -> Topology:
    """Eight nodes, each averaging with one other."""
    W = np.zeros((8, 8))
    for i in range(first, 8, 2):
        pair = [i, (i + 1) % 8]
        W[np.ix_(pair, pair)] = 0.5
    return fixed(W)


TOPOLOGIES = {name: ALL[name] for name in ("ring-16", "ring-13", "erdos_renyi-13")}
TOPOLOGIES["matchings-8"] = Schedule([matching(0), matching(1)])


@pytest.mark.parametrize("topology", TOPOLOGIES.values(), ids=TOPOLOGIES)
@pytest.mark.parametrize("lr", RATES.values(), ids=RATES)
@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_trajectory(momentum: float, lr: float | LearningRate, topology: Schedule) -> None:
    def equations(X, gradient, W, rate, steps):
        V = np.zeros_like(X)
        models = [X]
        for k in range(steps):
            eta = rate(k)
            Z = X - eta * gradient(X)
            V *= rate(k - 1) / eta if k else 1  # the velocity stays
            V = momentum * V + (X - W(k) @ Z) / eta
            X = X - eta * V
            models.append(X)
        return np.stack(models)

    assert_follows(DecentLaM(lr=lr, momentum=momentum), topology, equations)


@pytest.mark.parametrize("name", ["ring-16", "exponential-13", "one_peer_exponential-16"])
@pytest.mark.parametrize("lr", RATES.values(), ids=RATES)
def test_without_momentum_it_is_adapt_then_combine(lr: float | LearningRate, name: str) -> None:
    problem = least_squares(ALL[name].n)
    got, wanted = (
        run(algorithm, ALL[name], problem, starts(problem), 50).models
        for algorithm in (DecentLaM(lr=lr, momentum=0.0), DecentralizedSGD(lr=lr))
    )
    np.testing.assert_array_equal(got, wanted)


def torch_momentum(problem, x: Array, steps: int, lr: float, momentum: float) -> Array:
    """(steps + 1, d): heavy-ball SGD on the average loss."""
    parameter = torch.nn.Parameter(torch.tensor(x))
    optimizer = torch.optim.SGD([parameter], lr=lr, momentum=momentum)
    models = [x]
    for _ in range(steps):
        here = np.tile(parameter.detach().numpy(), (problem.n, 1))
        parameter.grad = torch.tensor(problem.gradient(here).mean(axis=0))
        optimizer.step()
        models.append(parameter.detach().numpy().copy())
    return np.stack(models)


def test_on_a_complete_graph_it_is_heavy_ball_minibatch_sgd() -> None:
    problem = least_squares(8)
    models = run(DecentLaM(lr=0.05, momentum=0.8), complete(8), problem, common(problem), 60).models
    wanted = torch_momentum(problem, common(problem)[0], 60, 0.05, 0.8)
    assert np.abs(models - wanted[:, None]).max() <= 1e-12


def test_without_edges_the_nodes_run_the_heavy_ball_on_their_own() -> None:
    problem = least_squares(3)
    models = run(DecentLaM(lr=0.05, momentum=0.8), fixed(np.eye(3)), problem, starts(problem), 60).models
    for i, x in enumerate(starts(problem)):
        wanted = torch_momentum(problem.relabelled(np.array([i])), x, 60, 0.05, 0.8)
        assert np.abs(models[:, i] - wanted).max() <= 1e-12


def limit(algorithm, problem) -> Array:
    models = run(algorithm, ring(8), problem, np.tile(problem.optimum, (8, 1)), 1000).models
    assert np.abs(models[-1] - models[-2]).max() <= 1e-12
    return models[-1]


def test_the_bias_does_not_depend_on_momentum_while_that_of_local_momentum_does() -> None:
    problem = same_curvature(8, 1.5)
    plain = limit(DecentralizedSGD(lr=0.02), problem)
    assert distance(plain, problem.optimum) > 1e-3
    for momentum in (0.5, 0.9):
        assert distance(limit(DecentLaM(lr=0.02, momentum=momentum), problem), plain) <= 1e-10
    squares = [
        np.sum((limit(DecentralizedSGD(lr=0.02, momentum=momentum), problem) - problem.optimum) ** 2)
        for momentum in (0.0, 0.5, 0.9)
    ]
    # 4 and 100 in the limit of small learning rates; less here, where lr / (1 - momentum) is not small.
    assert 3 < squares[1] / squares[0] < 4
    assert 20 < squares[2] / squares[0] < 100


@pytest.mark.parametrize(("momentum", "stable"), [(0.5, True), (0.9, False)])
def test_it_asks_for_a_symmetric_matrix_for_a_reason(momentum: float, stable: bool) -> None:
    problem = least_squares(16)
    final = run(DecentLaM(lr=0.02, momentum=momentum), exponential(16), problem, starts(problem), 300).final
    assert distance(final, problem.optimum) < 0.5 if stable else distance(final, problem.optimum) > 1e3


def test_sends_one_vector_a_round() -> None:
    problem = least_squares(13, d=11)
    result = run(DecentLaM(), ring(13), problem, starts(problem), 9)
    assert result.messages.tolist() == [18] * 13
    assert result.bytes.tolist() == [18 * 88] * 13


def test_refusals() -> None:
    assert DecentLaM.needs == ("symmetric",)
    for momentum in (-0.1, 1.0):
        with pytest.raises(ValueError, match=rf"^DecentLaM: momentum = {momentum} is not allowed"):
            DecentLaM(momentum=momentum)
