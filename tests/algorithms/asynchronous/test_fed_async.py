"""FedAsync and FedBuff against literal transcriptions, and the methods that they become."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms import (
    SGD,
    Clars,
    FedAvg,
    HingeDiscount,
    NoDiscount,
    Polyline,
    PolynomialDiscount,
    StalenessDiscount,
    StepDecay,
)
from algorithms.asynchronous import Asynchronous, FedAsync, FedBuff
from gossip import SimulatedClock
from gossip.drivers.events import EventDriver
from tests.algorithms.asynchronous.federated import EQUAL, Answered, federated, models_of, server_of, transcription
from tests.algorithms.helpers import Array, least_squares, run
from topologies import complete

LR, LOCAL_STEPS = 0.05, 3


def literal_fed_async(alpha: float, s: Any) -> Answered:
    w, versions, version = np.zeros(5), {}, 0

    def answered(number: int, client: int, u: Array, began: int) -> Array:
        nonlocal w, version
        a = alpha * s(version - versions.get(began, 0))
        w, version = (1 - a) * w + a * u, version + 1
        versions[number] = version
        return w

    return answered


def literal_fed_buff(buffer: int, server_lr: float, s: Any) -> Answered:
    w, versions, version, held = np.zeros(5), {}, 0, []

    def answered(number: int, client: int, difference: Array, began: int) -> Array:
        nonlocal w, version
        held.append(s(version - versions.get(began, 0)) * difference)
        if len(held) == buffer:
            w, version = w + server_lr * np.mean(held, axis=0), version + 1
            held.clear()
        versions[number] = version
        return w

    return answered


@pytest.mark.parametrize(
    ("discount", "s"),
    [
        (NoDiscount(), lambda tau: 1),
        (PolynomialDiscount(0.5), lambda tau: 1 / np.sqrt(tau + 1)),
        (HingeDiscount(slope=2, start=1), lambda tau: 1 if tau <= 1 else 1 / (2 * (tau - 1) + 1)),
    ],
    ids=["constant", "polynomial", "hinge"],
)
@pytest.mark.parametrize("concurrency", [None, 3])
def test_models_are_those_of_the_literal_equations(
    discount: StalenessDiscount, s: Any, concurrency: int | None
) -> None:
    common: dict[str, Any] = {"local_steps": LOCAL_STEPS, "discount": discount, "concurrency": concurrency}
    mixing = FedAsync(LR, mu=0.3, alpha=0.7, **common)
    buffered = FedBuff(LR, buffer=4, server_lr=0.9, **common)
    for method, literal, mu in (
        (mixing, literal_fed_async(0.7, s), 0.3),
        (buffered, literal_fed_buff(4, 0.9, s), 0.0),
    ):
        ended = federated(method)
        models = models_of(ended, until=1.0)
        wanted = transcription(ended.schedule, literal, LR, LOCAL_STEPS, mu, difference=method is buffered)
        assert np.abs(models - wanted).max() <= 1e-12
        assert np.abs(wanted[-1]).max() > 0.05


def test_discounts_by_hand() -> None:
    assert [PolynomialDiscount(0.5)(tau) for tau in (0, 3, 8)] == pytest.approx([1, 1 / 2, 1 / 3])
    assert [HingeDiscount(10, 4)(tau) for tau in (0, 4, 5, 6)] == pytest.approx([1, 1, 1 / 11, 1 / 21])
    assert max(HingeDiscount(0.1, 4)(tau) for tau in range(20)) == 1  # no more than 1 for small slopes


def test_with_one_client_and_alpha_1_it_is_local_sgd() -> None:
    ended = federated(FedAsync(LR, local_steps=3, alpha=1.0, mu=0.0), clients=1, steps=30, clock=EQUAL)
    ended.run()
    problem, x = least_squares(1), np.zeros(5)
    for _ in range(30):
        x = x - LR * (problem.hessians[0] @ x - problem.slopes[0])
    assert ended.models()[-1].numpy() == pytest.approx(x, abs=1e-12)


def test_the_first_move_of_fed_buff_of_all_clients_is_a_round_of_fed_avg() -> None:
    clients, problem = 6, least_squares(6)
    ended = federated(FedBuff(LR, LOCAL_STEPS, buffer=clients, server_lr=0.7), clients, steps=LOCAL_STEPS, clock=EQUAL)
    ended.run()
    fed_avg = FedAvg(LR, server_lr=0.7, local_steps=LOCAL_STEPS)
    lockstep = run(fed_avg, complete(clients), problem, np.zeros((clients, 5)), LOCAL_STEPS)
    assert np.abs(ended.models()[-1].numpy() - lockstep.final[-1]).max() <= 1e-12
    assert ended.programs[-1].version == 1  # type: ignore[attr-defined]


def test_equal_clients_answer_in_turn_and_are_as_stale_as_there_are_others() -> None:
    ended = federated(FedAsync(LR, 1, discount=NoDiscount()), clients=5, clock=EQUAL)
    ended.run(until=0.2)
    turns, staleness = [], []
    versions: dict[int, int] = {}

    def answered(number: int, client: int, u: Array, began: int) -> Array:
        turns.append(client)
        staleness.append(len(versions) - versions.get(began, 0))
        versions[number] = len(versions) + 1
        return u

    transcription(ended.schedule, answered, LR, 1)
    assert turns == [number % 5 for number in range(len(turns))] and len(turns) > 20
    assert staleness == [0, 1, 2, 3, *[4] * (len(turns) - 4)]


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 1000),
    latency=st.sampled_from([0.0, 1e-3, 0.05]),
    spread=st.sampled_from([0.0, 0.01, 0.1]),
    concurrency=st.sampled_from([1, 3, None]),
)
def test_so_many_clients_are_always_at_work(seed: int, latency: float, spread: float, concurrency: int | None) -> None:
    clock = SimulatedClock(0.01, latency, 1e5, spread, slow_nodes=(2,), slowdown=5.0)
    ended = federated(FedBuff(LR, 2, buffer=3, concurrency=concurrency), 6, clock=clock, seed=seed)
    server: Any = ended.programs[-1]
    for event in ended.events(until=0.5):
        if event.node == 6:
            assert len(server.began) == (concurrency or 6)
    for client, program in enumerate(ended.programs[:-1]):
        assert client in server.began or program.done in (0, 2)  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", [FedAsync(concurrency=2), FedBuff(concurrency=2)], ids=["async", "buffered"])
def test_lost_clients_are_not_waited_for(method: Asynchronous) -> None:
    node, sent = server_of(method, clients=3)
    node.start()
    first, second = sent
    (third,) = {0, 1, 2} - {*sent}
    node.lose(first, [])
    assert sent == [first, second, third]
    node.lose(second, [])
    assert sent == [first, second, third]  # nobody else is left
    node.receive(third, torch.ones(1, 5, dtype=torch.float64), "answer")
    assert sent == [first, second, third, third]


@pytest.mark.parametrize("method", [FedAsync, FedBuff])
def test_what_is_sent(method: Any) -> None:
    def ended(**options: Any) -> EventDriver:
        driver = federated(method(LR, 2, **options), 4, clock=EQUAL)
        driver.run(until=0.5)
        return driver

    plain, coded = ended(), ended(compressor=Polyline(precision=6))
    answers = [driver.traffic.messages[:4].sum() for driver in (plain, coded)]
    assert plain.traffic.bytes[:4].sum() == answers[0] * 5 * 8
    assert coded.traffic.bytes[:4].sum() < answers[1] * (24 + 5 * 6)
    assert torch.allclose(coded.models()[-1], plain.models()[-1], rtol=0, atol=1e-4)
    assert not torch.equal(coded.models()[-1], plain.models()[-1])


def test_optimizers_start_anew_with_each_model_and_rates_follow_the_gradients_of_the_client() -> None:
    schedule = StepDecay(0.1, milestones=(3,), factor=0.5)
    method = FedAsync(schedule, 2, alpha=1.0, mu=0.0, optimizer=SGD(momentum=0.5))
    ended = federated(method, clients=1, steps=4, clock=EQUAL)
    ended.run()
    problem, x = least_squares(1), np.zeros(5)
    for rates in ((0.1, 0.1), (0.1, 0.05)):
        v = np.zeros(5)
        for rate in rates:
            v = 0.5 * v + problem.hessians[0] @ x - problem.slopes[0]
            x = x - rate * v
    assert ended.models()[-1].numpy() == pytest.approx(x, abs=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FedAsync(alpha=1.5), "FedAsync: alpha = 1.5 is not allowed; it must be in (0, 1]"),
        (lambda: FedAsync(mu=-1), "FedAsync: mu = -1 is not allowed; it must be >= 0"),
        (lambda: FedAsync(local_steps=0), "FedAsync: local_steps = 0 is not allowed; it must be >= 1"),
        (lambda: FedAsync(concurrency=0), "concurrency = 0 is not allowed; it must be >= 1, or None for all clients"),
        (lambda: FedBuff(buffer=0), "FedBuff: buffer = 0 is not allowed; it must be >= 1"),
        (lambda: FedBuff(server_lr=0), "FedBuff: server_lr = 0 is not allowed; it must be > 0, or a schedule"),
        (lambda: FedAsync(optimizer=Clars()), "it must be one that needs no more than gradients"),
        (lambda: server_of(FedAsync(concurrency=5), 4), "FedAsync: concurrency = 5 of 4 clients; it must be <= these"),
        (lambda: PolynomialDiscount(-1), "PolynomialDiscount: exponent = -1 is not allowed; it must be >= 0"),
    ],
    ids=range(9),
)
def test_what_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make()
