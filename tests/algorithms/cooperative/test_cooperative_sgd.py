"""Cooperative SGD against dense matrices, and the table of its special cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import gossip
from algorithms import (
    Algorithm,
    CooperativeSGD,
    DecentralizedSGD,
    ElasticAveraging,
    LocalSGD,
    StepDecay,
    decentralized_periodic_averaging,
    decentralized_sgd,
    elastic_averaging_sgd,
    fully_synchronous_sgd,
    periodic_averaging_sgd,
)
from gossip.workloads import LeastSquares as Workload
from tests.algorithms.helpers import (
    ALL,
    UNDIRECTED,
    Array,
    LeastSquares,
    common,
    dense,
    fixed,
    least_squares,
    run,
    starts,
)
from topologies import Schedule, Topology, complete, elastic_averaging, ring

STEPS = 100
DECAY = StepDecay(lr=0.05, milestones=(30, 61), factor=0.3)


def rate(k: int) -> float:
    return 0.05 if k < 30 else 0.015 if k < 61 else 0.0045


def with_auxiliary(m: int, v: int) -> LeastSquares:
    """A problem whose last v nodes have no data."""
    problem = least_squares(m + v)
    A, b = problem.A.copy(), problem.b.copy()
    A[m:], b[m:] = 0, 0
    return LeastSquares(A, b)


def transcription(problem: LeastSquares, X: Array, W: list[Array], period: int, beta: float = 0.0) -> Array:
    """X_{k+1} = (X_k - eta G_k) W_k^T with models as columns."""
    X = X.T
    V = np.zeros_like(X)
    models = [X.T]
    averagings = 0
    for k in range(STEPS):
        V = beta * V + problem.gradient(X.T).T
        W_k = np.eye(problem.n)
        if (k + 1) % period == 0:
            W_k = W[averagings % len(W)]
            averagings += 1
        X = (X - rate(k) * V) @ W_k.T
        models.append(X.T)
    return np.stack(models)


@pytest.mark.parametrize("period", [1, 3])
@pytest.mark.parametrize("momentum", [0.0, 0.8])
@pytest.mark.parametrize("v", [0, 1, 3])
@pytest.mark.parametrize("topology", UNDIRECTED.values(), ids=UNDIRECTED)
def test_the_matrix_form(topology: Topology, v: int, momentum: float, period: int) -> None:
    problem = with_auxiliary(topology.n - v, v)
    x = starts(problem)
    models = run(CooperativeSGD(DECAY, period, v, momentum), topology, problem, x, STEPS).models
    assert np.abs(models - transcription(problem, x, [dense(topology)], period, momentum)).max() <= 1e-10


def test_a_matrix_that_varies() -> None:
    matrices = [dense(ring(13)), dense(UNDIRECTED["erdos_renyi-13"])]
    problem = with_auxiliary(11, 2)
    schedule = Schedule(list(map(fixed, matrices)))
    models = run(CooperativeSGD(DECAY, 2, 2), schedule, problem, starts(problem), STEPS).models
    assert np.abs(models - transcription(problem, starts(problem), matrices, 2)).max() <= 1e-10


def test_the_average_of_all_models_moves_with_the_effective_learning_rate() -> None:
    problem = with_auxiliary(10, 3)
    algorithm = CooperativeSGD(lr=0.05, period=4, auxiliary=3)
    ran = run(algorithm, ring(13), problem, common(problem), 50)
    u = ran.models.mean(axis=1)
    assert algorithm.effective_lr(13) == pytest.approx(0.05 * 10 / 13)
    assert replace(algorithm, lr=DECAY).effective_lr(13, 40) == pytest.approx(0.015 * 10 / 13)
    for t in range(50):
        mean = problem.gradient(ran.models[t])[:10].mean(axis=0)
        np.testing.assert_allclose(u[t + 1], u[t] - algorithm.effective_lr(13) * mean, atol=1e-13)


def test_auxiliary_nodes_hold_no_data() -> None:
    m, v = 6, 2
    random = np.random.default_rng(2)
    A, b = random.normal(size=(m, 8, 5)), random.normal(size=(m, 8))
    whole = LeastSquares(np.concatenate([A, np.zeros((v, 8, 5))]), np.concatenate([b, np.zeros((v, 8))]))
    algorithm = CooperativeSGD(lr=0.05, period=3, auxiliary=v)
    result = gossip.run(Workload(A, b), ring(m + v), algorithm, steps=20, evaluate_every=20, output=None)
    expected = run(algorithm, ring(m + v), whole, np.zeros((m + v, 5)), 20).final
    np.testing.assert_allclose(result.model.numpy(), expected, atol=1e-12)
    first, last = result.history[0], result.history[-1]
    assert first["train_loss"] == pytest.approx(np.mean(b**2) / 2)
    assert first["gradient_norm"] == pytest.approx(np.linalg.norm(whole.gradient(np.zeros((m + v, 5)))[:m].mean(0)))
    assert last["test_loss"] == pytest.approx(Workload(A, b).objective(torch.tensor(expected.mean(axis=0))))
    assert last["effective_lr"] == pytest.approx(0.05 * 6 / 8)
    assert last["gradients_per_node"] == 20 * 8 * 6 / 8
    with pytest.raises(ValueError, match="auxiliary = 8 is not allowed; it must be below the number of nodes, 8"):
        gossip.run(Workload(A, b), ring(8), CooperativeSGD(auxiliary=8), steps=1, output=None)


def same(one: Algorithm, other: Algorithm, topology: Schedule, beside: Schedule | None = None) -> None:
    problem = least_squares(topology.n)
    models, others = (
        run(algorithm, on, problem, common(problem), STEPS).models
        for algorithm, on in ((one, topology), (other, beside or topology))
    )
    assert np.abs(models - others).max() <= 1e-12


@pytest.mark.parametrize("n", [8, 13])
def test_the_table_of_special_cases(n: int) -> None:
    J, W = complete(n), ring(n)
    same(CooperativeSGD(DECAY, 1), fully_synchronous_sgd(DECAY), J)
    same(CooperativeSGD(DECAY, 5, momentum=0.5), periodic_averaging_sgd(DECAY, 5, momentum=0.5), J, W)
    same(periodic_averaging_sgd(DECAY, 1), fully_synchronous_sgd(DECAY), W)
    same(decentralized_sgd(DECAY), DecentralizedSGD(DECAY), W)
    same(decentralized_periodic_averaging(DECAY, 4), DecentralizedSGD(DECAY, period=4), W)
    same(CooperativeSGD(DECAY, STEPS + 1), CooperativeSGD(DECAY), W, fixed(np.eye(n)))


@pytest.mark.parametrize("nesterov", [False, True])
def test_fully_synchronous_is_torch_sgd_on_the_average_loss(nesterov: bool) -> None:
    problem = least_squares(8)
    x = common(problem)
    model = torch.tensor(x[0], requires_grad=True)
    optimizer = torch.optim.SGD([model], lr=0.02, momentum=0.9, nesterov=nesterov)
    models = run(LocalSGD(0.02, 1, 0.9, nesterov), ring(8), problem, x, STEPS).models
    for t in range(STEPS):
        assert np.abs(models[t] - model.detach().numpy()).max() <= 1e-11
        here = np.tile(model.detach().numpy(), (8, 1))
        model.grad = torch.tensor(problem.gradient(here).mean(axis=0))
        optimizer.step()


@pytest.mark.parametrize("period", [1, 4])
@pytest.mark.parametrize("alpha", [0.05, 2 / 10])
def test_elastic_averaging_is_a_matrix_with_an_auxiliary_node(alpha: float, period: int) -> None:
    problem = least_squares(8)
    x = common(problem)
    whole = LeastSquares(np.concatenate([problem.A, 0 * problem.A[:1]]), np.concatenate([problem.b, 0 * problem.b[:1]]))
    framework = run(
        elastic_averaging_sgd(DECAY, period), elastic_averaging(9, alpha), whole, np.concatenate([x, x[:1]]), STEPS
    )
    for overlap in (False, True):
        algorithm = ElasticAveraging(DECAY, alpha, period, overlap=overlap, output="combined")
        anchored = run(algorithm, ring(8), problem, x, STEPS)
        assert np.abs(anchored.points - framework.models[:, :8]).max() <= 1e-11
        assert np.abs(anchored.models.mean(axis=1) - framework.models.mean(axis=1)).max() <= 1e-11


@pytest.mark.parametrize("name", ALL)
def test_it_needs_a_symmetric_matrix(name: str) -> None:
    problem = least_squares(ALL[name].n)
    workload = Workload(problem.A, problem.b)
    if ALL[name].symmetric:
        gossip.run(workload, ALL[name], CooperativeSGD(), steps=0, output=None)
    else:
        with pytest.raises(ValueError, match="CooperativeSGD needs a topology that is symmetric"):
            gossip.run(workload, ALL[name], CooperativeSGD(), steps=0, output=None)


def test_traffic() -> None:
    problem = least_squares(13)
    ran = run(CooperativeSGD(0.01, 3), ring(13), problem, common(problem), 10)
    assert ran.rounds == 3
    assert (ran.messages == 3 * 2).all() and (ran.bytes == 3 * 2 * 5 * 8).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"period": 0}, "CooperativeSGD: period = 0 is not allowed; it must be >= 1"),
        ({"auxiliary": -1}, "CooperativeSGD: auxiliary = -1 is not allowed; it must be >= 0"),
        ({"momentum": 1.0}, r"CooperativeSGD: momentum = 1.0 is not allowed"),
        ({"lr": 0.0}, "CooperativeSGD: lr = 0.0 is not allowed"),
    ],
)
def test_refusals(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CooperativeSGD(**options)
