"""Mime and MimeLite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from algorithms import Delivery, FedAvg, Mime, Sample, Svrg
from gossip import workloads
from tests.algorithms.federated.literal import RATE, SERVER_RATE, STEPS, Weights, assert_serves, drawn, started
from tests.algorithms.helpers import Array, LeastSquares, common, least_squares, run, starts
from topologies import ring

N = 6


def mime(
    problem: LeastSquares, w: Array, H: int, p: Weights, lite: bool, betas: tuple[float, float | None], epsilon: float
) -> Array:
    """Client by client, as Algorithm 1 has it, with full gradients."""
    beta1, beta2 = betas
    m, v, models = np.zeros_like(w), np.zeros_like(w), [w]

    def U(g: Array) -> Array:
        direction = beta1 * m + (1 - beta1) * g
        return direction if beta2 is None else direction / (np.sqrt(v) + epsilon)

    for r in range(STEPS // H):
        clients = np.flatnonzero(p(r))
        own = {k: problem.hessians[k] @ w - problem.slopes[k] for k in clients}
        c = sum(p(r)[k] * own[k] for k in clients)
        moved = np.zeros_like(w)
        for k in clients:
            y = w
            for t in range(r * H, (r + 1) * H):
                g = problem.hessians[k] @ y - problem.slopes[k]
                y = y - RATE(t) * U(g if lite else g - own[k] + c)
            moved = moved + p(r)[k] * (w - y)
        models += [w] * (H - 1)
        w = w - SERVER_RATE(r) * moved
        m = beta1 * m + (1 - beta1) * c
        if beta2 is not None:
            v = beta2 * v + (1 - beta2) * c**2
        models.append(w)
    return np.stack(models)


@pytest.mark.parametrize("lite", [False, True])
@pytest.mark.parametrize("betas", [(0.9, None), (0.5, 0.8), (0.0, None)])
@pytest.mark.parametrize(("clients", "H", "server"), [(2, 5, "node"), (N, 4, "node"), (3, 1, "replicated")])
def test_literal_equations(clients: int, H: int, server: Any, betas: tuple[float, float | None], lite: bool) -> None:
    problem = least_squares(N)
    x = starts(problem)
    algorithm = Mime(
        RATE, SERVER_RATE, H, clients, lite=lite, beta1=betas[0], beta2=betas[1], epsilon=0.5, server=server
    )
    models = run(algorithm, ring(N), problem, x, STEPS).models
    exchanges = 1 if H == 1 else 2  # steps of a round in which something is sent, by which draws are counted
    p = drawn((1.0,) * N, clients, "uniform", "sampled")
    assert_serves(models, mime(problem, x.mean(axis=0), H, lambda r: p(exchanges * r), lite, betas, 0.5))


def test_with_one_local_iteration_it_is_the_centralised_method() -> None:
    problem = least_squares(N)
    models = run(Mime(0.1, 1.0, 1), ring(N), problem, common(problem), 50).models[:, 0]
    parameter = torch.nn.Parameter(torch.tensor(common(problem)[0]))
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9, dampening=0.9)
    # torch takes the first gradient as it is; with a first one of 0 the buffer begins as m does.
    parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for model in models:
        np.testing.assert_allclose(model, parameter.detach().numpy(), atol=1e-12)
        parameter.grad = torch.tensor(problem.hessians.mean(axis=0) @ model - problem.slopes.mean(axis=0))
        optimizer.step()


def test_its_optimum_is_that_of_all_where_that_of_fed_avg_is_not() -> None:
    problem = least_squares(N)
    distance = {}
    for algorithm in (Mime(0.05, local_steps=5, beta1=0.5), FedAvg(0.05, local_steps=5)):
        final = run(algorithm, ring(N), problem, common(problem), 6000).final[0]
        distance[type(algorithm)] = np.abs(final - problem.optimum).max()
    assert distance[Mime] < 1e-10 and distance[FedAvg] > 1e-3


def test_svrg_gives_what_the_paper_has() -> None:
    """Where snapshots are taken as rounds begin, c_k is the gradient on all examples, at w."""
    problem, H = least_squares(N), 4
    algorithm, oracle = Mime(0.05, local_steps=H), Svrg(batch=2, period=H)
    state, network = started(algorithm, problem, starts(problem))
    workload = workloads.LeastSquares(problem.A, problem.b).shard(N, seed=0)
    memory = oracle.start(workload, state.x[:N], range(N), seed=1)
    for step in range(3 * H):
        x = state.x[:N].clone()
        sample = oracle.sample(memory, workload, x, range(N), step, seed=1)
        zeros = torch.zeros(1, problem.d, dtype=torch.float64)
        algorithm.advance(state, Sample(torch.cat([sample.gradient, zeros]), torch.zeros(N + 1)), network)
        if step % H == 0:
            at_w = problem.gradient(x.numpy())
        elif step % H == 1:
            noisy = np.abs(sample.gradient.numpy() - problem.gradient(x.numpy())).max()
            assert noisy > 1e-3
        np.testing.assert_allclose(state.own[:N].numpy(), at_w, atol=1e-12)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"beta1": 1.0}, "beta1 = 1.0 is not allowed; it must be in"),
        ({"beta2": -0.1}, "beta2 = -0.1 is not allowed; it must be in"),
        ({"epsilon": 0.0}, "epsilon = 0.0 is not allowed; it must be > 0"),
        ({"delivery": Delivery(dropout=0.1)}, "it must be left out: c is the mean over all clients"),
    ],
)
def test_what_is_out_of_range_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Mime(**given)
