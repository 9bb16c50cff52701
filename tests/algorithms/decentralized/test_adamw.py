"""Decentralized AdamW."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algorithms import Cosine, DecentralizedAdamW, LearningRate, StepDecay
from algorithms.schedules.learning_rate import learning_rate
from tests.algorithms.helpers import ALL, RATES, assert_follows, common, fixed, least_squares, run, starts
from topologies import Topology, complete, ring

OPTIONS = {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3, "weight_decay": 0.2}


@pytest.mark.parametrize("name", ["ring-16", "erdos_renyi-13", "exponential-13", "one_peer_exponential-16"])
@pytest.mark.parametrize("lr", RATES.values(), ids=RATES)
def test_trajectory(lr: float | LearningRate, name: str) -> None:
    def equations(X, gradient, W, rate, steps):
        b1, b2 = 0.8, 0.95
        M, S = np.zeros_like(X), np.zeros_like(X)
        models = [X]
        for k in range(steps):
            G = gradient(X)
            M = b1 * M + (1 - b1) * G
            S = b2 * S + (1 - b2) * G**2
            M_hat, S_hat = M / (1 - b1 ** (k + 1)), S / (1 - b2 ** (k + 1))
            X = W(k) @ (X - rate(k) * M_hat / (np.sqrt(S_hat) + 1e-3) - rate(k) * 0.2 * X)
            models.append(X)
        return np.stack(models)

    assert_follows(DecentralizedAdamW(lr=lr, **OPTIONS), ALL[name], equations)


@pytest.mark.parametrize("topology", [ring(1), fixed(np.eye(3))], ids=["one node", "no edges"])
@pytest.mark.parametrize("lr", [0.05, StepDecay(lr=0.1, milestones=(20,)), Cosine(lr=0.1, steps=60)], ids=str)
@pytest.mark.parametrize("options", [{}, OPTIONS, {"weight_decay": 0.0}, {"beta1": 0.0, "beta2": 0.0}], ids=str)
def test_alone_it_is_torch_adamw(options: dict[str, float], lr: float | LearningRate, topology: Topology) -> None:
    problem = least_squares(topology.n)
    algorithm = DecentralizedAdamW(lr=lr, **options)
    models = run(algorithm, topology, problem, starts(problem), 100).models
    parameter = torch.nn.Parameter(torch.tensor(starts(problem)))
    optimizer = torch.optim.AdamW(
        [parameter],
        betas=(algorithm.beta1, algorithm.beta2),
        eps=algorithm.epsilon,
        weight_decay=algorithm.weight_decay,
    )
    for t in range(101):
        np.testing.assert_allclose(models[t], parameter.detach().numpy(), atol=1e-11)
        optimizer.param_groups[0]["lr"] = learning_rate(lr, t)
        parameter.grad = torch.tensor(problem.gradient(parameter.detach().numpy()))
        optimizer.step()


def test_moments_are_local() -> None:
    # Were the moments or the gradients averaged, the models on a complete graph would follow AdamW on the average loss.
    problem = least_squares(8)
    models = run(DecentralizedAdamW(lr=0.01), complete(8), problem, common(problem), 30).models
    parameter = torch.nn.Parameter(torch.tensor(common(problem)[0]))
    optimizer = torch.optim.AdamW([parameter], lr=0.01)
    for _ in range(30):
        here = np.tile(parameter.detach().numpy(), (8, 1))
        parameter.grad = torch.tensor(problem.gradient(here).mean(axis=0))
        optimizer.step()
    assert np.ptp(models[-1], axis=0).max() <= 1e-14
    assert np.abs(models[-1] - parameter.detach().numpy()).max() > 1e-3


def test_it_lowers_the_loss() -> None:
    problem = least_squares(8)
    algorithm = DecentralizedAdamW(lr=Cosine(lr=0.05, steps=400), weight_decay=0.0)
    final = run(algorithm, ring(8), problem, starts(problem), 400).final.mean(axis=0)
    before = starts(problem).mean(axis=0)
    assert np.linalg.norm(final - problem.optimum) < 0.3 * np.linalg.norm(before - problem.optimum)


def test_no_row_depends_on_the_others() -> None:
    problem = least_squares(5, d=37)
    together = run(DecentralizedAdamW(lr=0.05), fixed(np.eye(5)), problem, starts(problem), 10, torch.float32).final
    for i in range(5):
        alone = problem.relabelled(np.array([i]))
        single = run(DecentralizedAdamW(lr=0.05), ring(1), alone, starts(problem)[i : i + 1], 10, torch.float32).final
        np.testing.assert_allclose(single[0], together[i], rtol=1e-5, atol=1e-6)  # gradients differ in the last bits


def test_sends_one_vector_a_round() -> None:
    problem = least_squares(13, d=11)
    result = run(DecentralizedAdamW(), ring(13), problem, starts(problem), 9)
    assert result.messages.tolist() == [18] * 13
    assert result.bytes.tolist() == [18 * 88] * 13


def test_refusals() -> None:
    assert DecentralizedAdamW.needs == ("doubly_stochastic",)
    for name, bad in (("beta1", 1.0), ("beta2", -0.1), ("epsilon", 0.0), ("weight_decay", -1.0), ("lr", 0.0)):
        with pytest.raises(ValueError, match=rf"^DecentralizedAdamW: {name} = {bad} is not allowed"):
            DecentralizedAdamW(**{name: bad})
