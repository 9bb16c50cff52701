"""Local update rules in decentralized SGD: its orders and periods, by literal equations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from algorithms import (
    L1,
    SGD,
    AdamW,
    Algorithm,
    Clars,
    Clipped,
    DecentralizedAdamW,
    DecentralizedSGD,
    FedAdam,
    FedAvg,
    FedMom,
    FedProx,
    Lars,
    ResidualSGD,
    Scaffold,
    StepDecay,
)
from tests.algorithms.helpers import ALL, Array, LeastSquares, dense, least_squares, run, starts
from tests.algorithms.optimizers.literal import LiteralAdamW
from topologies import Schedule, ring

STEPS = 100
RATE = StepDecay(lr=0.03, milestones=(40, 41, 80), factor=0.3)
ORDERS = ("adapt-then-combine", "combine-then-adapt", "consensus")


def literal(problem: LeastSquares, topology: Schedule, order: str, period: int) -> Array:
    rule = LiteralAdamW(0.8, 0.95, 1e-4, 0.1)
    X = starts(problem)
    models, rounds = [X], 0
    for t in range(STEPS):
        W = np.eye(problem.n)
        if (t + 1) % period == 0:
            W, rounds = dense(topology[rounds]), rounds + 1
        match order:
            case "adapt-then-combine":
                X = W @ (X - RATE(t) * rule.direction(X, problem.gradient(X)))
            case "combine-then-adapt":
                Y = W @ X
                X = Y - RATE(t) * rule.direction(Y, problem.gradient(Y))
            case "consensus":
                X = W @ X - RATE(t) * rule.direction(X, problem.gradient(X))
        models.append(X)
    return np.stack(models)


@pytest.mark.parametrize("topology", [ALL["ring-13"], ALL["exponential-16"], ALL["one_peer_exponential-13"]], ids=str)
@pytest.mark.parametrize("period", [1, 3])
@pytest.mark.parametrize("order", ORDERS)
def test_decentralized_adamw(order: str, period: int, topology: Schedule) -> None:
    problem = least_squares(topology.n)
    optimizer = AdamW(beta1=0.8, beta2=0.95, epsilon=1e-4, weight_decay=0.1)
    algorithm = DecentralizedSGD(lr=RATE, order=order, period=period, optimizer=optimizer)  # type: ignore[arg-type]
    models = run(algorithm, topology, problem, starts(problem), STEPS).models
    assert np.abs(models - literal(problem, topology, order, period)).max() <= 1e-10


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("nesterov", [True, False])
def test_momentum_is_the_rule_sgd(order: str, nesterov: bool) -> None:
    problem = least_squares(13)
    own = DecentralizedSGD(lr=RATE, order=order, momentum=0.9, nesterov=nesterov)  # type: ignore[arg-type]
    rule = DecentralizedSGD(lr=RATE, order=order, optimizer=SGD(0.9, nesterov))  # type: ignore[arg-type]
    first, second = (run(each, ring(13), problem, starts(problem), 30).models for each in (own, rule))
    np.testing.assert_array_equal(first, second)


def test_a_rule_that_communicates_makes_every_iteration_a_round() -> None:
    problem = least_squares(6)
    for optimizer, rounds in ((Clars(), 12), (SGD(), 4)):
        algorithm = DecentralizedSGD(period=3, optimizer=optimizer)
        assert run(algorithm, ring(6), problem, starts(problem), 12).rounds == rounds


def test_momentum_is_given_once() -> None:
    with pytest.raises(ValueError, match=r"DecentralizedSGD: momentum = 0.5 is not allowed; it must be 0 beside an"):
        DecentralizedSGD(momentum=0.5, optimizer=SGD())
    with pytest.raises(ValueError, match=r"DecentralizedSGD: prox = L1\(.* must be absent beside an optimizer"):
        DecentralizedSGD(prox=L1(), optimizer=AdamW())


def test_decentralized_adamw_is_this_with_adamw() -> None:
    problem = least_squares(13)
    own = DecentralizedAdamW(RATE, 0.8, 0.95, 1e-4, 0.1)
    rule = DecentralizedSGD(RATE, optimizer=AdamW(0.8, 0.95, 1e-4, 0.1))
    first, second = (run(each, ring(13), problem, starts(problem), 30).models for each in (own, rule))
    np.testing.assert_array_equal(first, second)


def test_what_is_proportional_to_the_learning_rate() -> None:
    problem = least_squares(5)
    x = starts(problem)

    def scales(algorithm: Algorithm) -> bool:
        larger = replace(algorithm, lr=0.1)  # type: ignore[call-arg]
        steeper = LeastSquares(problem.A * np.sqrt(5), problem.b * np.sqrt(5))
        first, second = (run(*each, x, 8).final for each in ((larger, ring(5), problem), (algorithm, ring(5), steeper)))
        return bool(np.abs(first - second).max() <= 1e-10)

    for algorithm in (
        *(
            DecentralizedSGD(lr=0.02, optimizer=optimizer)
            for optimizer in (
                SGD(0.9),
                SGD(0.9, weight_decay=0.1),
                ResidualSGD(0.5, momentum=0.5),
                ResidualSGD(0.5, weight_decay=0.1),
                AdamW(),
                Lars(),
                Clipped(0.5),
            )
        ),
        FedAvg(0.02, local_steps=3),
        FedAvg(0.02, local_steps=3, optimizer=AdamW()),
        FedProx(0.02, local_steps=3, mu=0.5),
        FedProx(0.02, local_steps=3, mu=0.0),
        FedMom(0.02, local_steps=3),
        FedAdam(0.02, local_steps=3),
        Scaffold(0.02, local_steps=3),
    ):
        assert scales(algorithm) == algorithm.proportional, algorithm


def test_refusals() -> None:
    for make, says in (
        (lambda: SGD(momentum=1.0), "SGD: momentum = 1.0 "),
        (lambda: SGD(nesterov=True), "SGD: nesterov = True "),
        (lambda: SGD(weight_decay=float("inf")), "SGD: weight_decay = inf "),
        (lambda: AdamW(beta1=1.0, beta2=0.9), "AdamW: beta1 = 1.0 "),
        (lambda: AdamW(epsilon=-1.0), "AdamW: epsilon = -1.0 "),
    ):
        with pytest.raises(ValueError, match=says):
            make()
