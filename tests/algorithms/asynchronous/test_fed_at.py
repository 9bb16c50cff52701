"""FedAT and TiFL against literal transcriptions, the weights of tiers, how they are measured, and what they become."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms import Adam, FedAvg, FedProx, Polyline
from algorithms.asynchronous import Asynchronous, FedAT, TiFL
from algorithms.asynchronous.fed_at import cross_tier_weights
from gossip import SimulatedClock
from gossip.network import SimulatedNetwork
from gossip.network.simulation.description import Compute, Level
from tests.algorithms.asynchronous.federated import EQUAL, Answered, federated, models_of, server_of, transcription
from tests.algorithms.helpers import Array, least_squares, run
from topologies import complete

LR, LOCAL_STEPS = 0.05, 2
TIERS = (0, 1, 0, 1, 2, 1, 0, 0)
WEIGHTS = (3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0)


def test_clients_count_by_their_examples() -> None:
    method = FedAT(weights="examples", tiers=1).for_examples([3, 1])
    assert method.weights == (3.0, 1.0) and FedAT().for_examples([3, 1]).weights == "equal"


def test_weights_across_tiers() -> None:
    """Those of the description: the shares of the rounds in the reverse order."""
    assert cross_tier_weights([1, 0, 0, 0, 0]) == [0, 0, 0, 0, 1]
    assert cross_tier_weights([5, 2, 1, 0, 0]) == [0, 0, 0.125, 0.25, 0.625]
    assert cross_tier_weights([3, 3, 3, 3]) == [0.25] * 4
    assert cross_tier_weights([2, 6]) == [0.75, 0.25]
    assert cross_tier_weights([7]) == [1]
    assert cross_tier_weights([5, 2, 1, 0, 0], "uniform") == [0.2] * 5
    assert cross_tier_weights([5, 2, 1, 0, 0], "ranked") == cross_tier_weights([5, 2, 1, 0, 0])
    assert cross_tier_weights([1, 2, 5, 0, 0], "ranked") == [0.125, 0, 0, 0.25, 0.625]  # of tiers out of order
    for across in ("mirrored", "ranked", "uniform"):
        assert sum(cross_tier_weights([9, 4, 7, 1], across)) == pytest.approx(1)  # type: ignore[arg-type]


def literal_fed_at(taking_part: list[int]) -> Answered:
    """With some clients of each tier in a round, known by the answers that have come."""
    M, w = len(taking_part), np.zeros(5)
    W, c = np.zeros((M, 5)), np.zeros(M)
    answers: list[dict[int, Array]] = [{} for _ in range(M)]

    def answered(number: int, client: int, u: Array, began: int) -> Array:
        nonlocal w
        m = TIERS[client]
        answers[m][client] = u
        if len(answers[m]) == taking_part[m]:
            W[m] = sum(WEIGHTS[k] * each for k, each in answers[m].items()) / sum(WEIGHTS[k] for k in answers[m])
            answers[m].clear()
            c[m] += 1
            w = sum(c[M - 1 - i] / c.sum() * W[i] for i in range(M))
        return w

    return answered


def literal_ti_fl(taking_part: list[int]) -> Answered:
    w, answers = np.zeros(5), {}

    def answered(number: int, client: int, u: Array, began: int) -> Array:
        nonlocal w
        assert {TIERS[client], *(TIERS[k] for k in answers)} == {TIERS[client]}  # one tier at a time
        answers[client] = u
        if len(answers) == taking_part[TIERS[client]]:
            w = sum(WEIGHTS[k] * each for k, each in answers.items()) / sum(WEIGHTS[k] for k in answers)
            answers.clear()
        return w

    return answered


@pytest.mark.parametrize(("participation", "taking_part"), [(1.0, [4, 3, 1]), (0.5, [2, 2, 1])])
def test_models_are_those_of_the_literal_equations(participation: float, taking_part: list[int]) -> None:
    tiers: dict[str, Any] = {"tiers": TIERS, "weights": WEIGHTS, "participation": participation}
    for method, literal, mu in (
        (FedAT(LR, LOCAL_STEPS, mu=0.4, **tiers), literal_fed_at(taking_part), 0.4),
        (TiFL(LR, LOCAL_STEPS, **tiers), literal_ti_fl(taking_part), 0.0),
    ):
        ended = federated(method)
        models = models_of(ended, until=2.0)
        wanted = transcription(ended.schedule, literal, LR, LOCAL_STEPS, mu)
        assert np.abs(models - wanted).max() <= 1e-12
        assert np.abs(wanted[-1]).max() > 0.05
        server: Any = ended.programs[-1]
        assert min(server.ended) > 2


@pytest.mark.parametrize("mu", [0.0, 0.4])
@pytest.mark.parametrize("method", [FedAT, TiFL])
def test_with_one_tier_it_is_fed_avg_or_fed_prox(method: Any, mu: float) -> None:
    clients, rounds = 8, 7
    ended = federated(method(LR, LOCAL_STEPS, mu=mu, tiers=1, weights=WEIGHTS), clients, steps=rounds * LOCAL_STEPS)
    ended.run()
    common: dict[str, Any] = {"local_steps": LOCAL_STEPS, "weights": WEIGHTS}
    lockstep = FedProx(LR, mu=mu, **common) if mu else FedAvg(LR, **common)
    problem = least_squares(clients)
    final = run(lockstep, complete(clients), problem, np.zeros((clients, 5)), rounds * LOCAL_STEPS).final
    assert np.abs(ended.models()[-1].numpy() - final[-1]).max() <= 1e-12
    assert np.abs(final[-1]).max() > 0.1


def test_equal_numbers_of_rounds_give_the_plain_mean_of_the_tiers() -> None:
    ended = federated(FedAT(LR, LOCAL_STEPS, tiers=(0, 0, 1, 1, 2, 2)), 6, steps=LOCAL_STEPS, clock=EQUAL)
    ended.run()
    server: Any = ended.programs[-1]
    assert server.ended == [1, 1, 1]
    torch.testing.assert_close(server.x, torch.stack(server.models).mean(0), rtol=0, atol=1e-15)


def test_the_model_stays_where_it_is_until_the_slowest_tier_is_not_all() -> None:
    """A real property of the weights: with one round of the fastest tier, all the weight is the slowest one's."""
    ended = federated(FedAT(LR, LOCAL_STEPS, tiers=(0, 1, 0, 1)), 4)
    server: Any = ended.programs[-1]
    for _ in ended.events():
        if sum(server.ended) == 1:
            break
    assert server.ended == [1, 0] and server.models[0].norm() > 0.01 and server.x.norm() == 0


@pytest.mark.parametrize("method", [FedAT, TiFL])
@pytest.mark.parametrize("profiling", [1, 3])
def test_tiers_are_measured_by_the_order_of_answers(method: Any, profiling: int) -> None:
    seconds = {0: 5.0, 1: 1.0, 2: 7.0, 3: 2.0, 4: 3.0, 5: 9.0, 6: 4.0}
    ended = federated(method(LR, LOCAL_STEPS, tiers=3, profiling=profiling), 7, clock=at_paces(seconds))
    server: Any = ended.programs[-1]
    for _ in ended.events():
        if not server.tiers.left:
            break
    assert server.tiers.members == [[1, 3, 4], [6, 0], [2, 5]]
    assert ended.seconds == pytest.approx(9.0 * LOCAL_STEPS * profiling, rel=1e-3)
    if method is FedAT:  # the first tier does not wait for the others to be measured
        assert server.ended[0] > 0
    else:
        assert server.ended == [0, 0, 0] and server.x.norm() == 0


def at_paces(seconds: dict[int, float]) -> SimulatedClock | SimulatedNetwork:
    return SimulatedNetwork((Level(1e-6, 1e12),), compute=Compute(1.0, slow=seconds))


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 1000),
    latency=st.sampled_from([0.0, 1e-3, 0.05]),
    spread=st.sampled_from([0.0, 0.01, 0.1]),
    method=st.sampled_from([FedAT, TiFL]),
)
def test_nobody_waits_for_ever_and_nothing_is_lost(seed: int, latency: float, spread: float, method: Any) -> None:
    clock = SimulatedClock(0.01, latency, 1e5, spread, slow_nodes=(2,), slowdown=5.0)
    ended = federated(method(LR, 1, tiers=2, profiling=2, participation=0.5), 5, steps=12, clock=clock, seed=seed)
    ended.run()
    schedule, server = ended.schedule, ended.programs[-1]
    assert not list(ended.under_way())
    assert sum(server.ended) > 3  # type: ignore[attr-defined]
    assert np.bincount(schedule.nodes[schedule.kinds == 1]).max() == 12  # it ended as some client had no more
    heard = np.bincount(schedule.senders[schedule.kinds == 2], minlength=6)
    assert heard.tolist() == ended.traffic.messages.tolist()


def test_several_answers_measure_mean_latencies() -> None:
    """One answer puts a fast client with one slow step behind; three do not."""
    node, _ = server_of(FedAT(tiers=2, profiling=3), clients=2)
    node.start()
    for client in (1, 1, 0, 0, 0, 1):
        node.receive(client, torch.zeros(1, 5, dtype=torch.float64), "answer")
    assert node.program.tiers.members == [[0], [1]]  # type: ignore[attr-defined]


def test_probabilities_decide_how_often_tiers_train() -> None:
    ended = federated(TiFL(LR, 1, tiers=(0, 0, 1, 1, 2, 2), probabilities=(3, 1, 0)), 6, clock=EQUAL)
    ended.run(until=6.0)
    rounds = ended.programs[-1].ended  # type: ignore[attr-defined]
    assert rounds[2] == 0 and rounds[0] / rounds[1] == pytest.approx(3, rel=0.2) and sum(rounds) > 400


def test_all_clients_of_a_tier_are_drawn_and_no_others() -> None:
    ended = federated(FedAT(LR, 1, tiers=(0, 0, 0, 1, 1, 1), participation=2), 6, clock=EQUAL)
    ended.run(until=2.0)
    schedule = ended.schedule
    heard = np.bincount(schedule.senders[(schedule.nodes == 6) & (schedule.kinds == 2)], minlength=6)
    assert heard.min() > 0.85 * heard.mean() and len({*heard.tolist()}) > 1


def test_what_is_sent_and_that_clients_begin_from_what_they_decode() -> None:
    """With encoded polylines both ways: of 0 decimals nothing but whole numbers is heard of."""
    ended = federated(FedAT(LR, 50, tiers=1, mu=0.0, compressor=Polyline(precision=0)), 3, clock=EQUAL, steps=100)
    clients: list[Any] = list(ended.programs[:-1])
    for _ in ended.events():
        assert all(torch.equal(client.anchor, client.anchor.round()) for client in clients)
    server: Any = ended.programs[-1]
    assert torch.allclose(3 * server.x, (3 * server.x).round(), rtol=0, atol=1e-12) and server.x.norm() > 0.3
    assert ended.traffic.bytes.tolist() == [2 * (24 + 5)] * 3 + [9 * (24 + 5)]


@pytest.mark.parametrize("method", [FedAT, TiFL])
def test_lost_clients_are_not_waited_for(method: type[FedAT] | type[TiFL]) -> None:
    answer = torch.ones(1, 5, dtype=torch.float64)
    node, sent = server_of(method(tiers=2), clients=5)
    server: Any = node.program
    node.start()
    node.lose(4, [])  # is not measured yet: one of the slow ones, of which one is left
    for client in (2, 0, 1, 3):
        node.receive(client, answer, "answer")
    assert server.tiers.members == [[2, 0, 1], [3]] and server.tiers.sizes == [3, 1]
    del sent[:]
    if method is TiFL:
        while 0 not in server.rounds:
            node.receive(3, answer, "answer")
    ended = server.ended[0]
    node.receive(0, answer, "answer")
    node.lose(1, [])
    assert server.ended[0] == ended  # node 2 has not answered
    node.lose(2, [])
    assert server.ended[0] == ended + 1 and server.tiers.members == [[0], [3]]
    if method is FedAT:
        node.lose(3, [])
        node.receive(0, 2 * answer, "answer")
        assert torch.equal(server.x, 2 * answer)  # no weight for a tier that is gone
    node.lose(0, [])
    while method is TiFL and len(sent) < 20:
        node.receive(3, answer, "answer")  # its tier goes on alone
    assert not server.tiers.members[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FedAT(tiers=0), "FedAT: tiers = 0 is not allowed; it must be >= 1, or the tier of each client"),
        (lambda: TiFL(tiers=(0, 2)), "TiFL: tiers = (0, 2) is not allowed; it must be numbers from 0 on"),
        (lambda: FedAT(tiers=()), "tiers = () is not allowed"),
        (lambda: FedAT(tiers=(0, 1), profiling=2), "profiling = 2 is not allowed; it must be left out where no tiers"),
        (
            lambda: FedAT(participation=1.5),
            "participation = 1.5 is not allowed; it must be an integer >= 1, or a share",
        ),
        (lambda: FedAT(weights=(1.0, 0.0)), "FedAT: weights = (1.0, 0.0) is not allowed; it must be > 0"),
        (lambda: FedAT(weights="some"), 'weights = \'some\' is not allowed; it must be numbers, "equal" or "examples"'),
        (
            lambda: server_of(TiFL(weights="examples"), 9),
            "TiFL: weights = 'examples' is for runs; give the numbers here",
        ),
        (lambda: FedAT(across="some"), "across = 'some' is not allowed; it must be one of mirrored, ranked, uniform"),
        (lambda: TiFL(tiers=2, probabilities=(1.0,)), "it must be numbers >= 0 for each of 2 tiers, not all 0"),
        (lambda: server_of(FedAT(tiers=3), 2), "FedAT: tiers = 3 of 2 clients; there must be a client for each tier"),
        (lambda: server_of(FedAT(tiers=(0, 1)), 3), "FedAT: there are 2 tiers for 3 clients; give one for each"),
        (lambda: server_of(TiFL(weights=(1.0,)), 5), "TiFL: there are 1 weights for 5 clients; give one for each"),
        (lambda: server_of(FedAT(participation=2), 9), "participation = 2, but there is a tier of 1 clients"),
    ],
    ids=range(14),
)
def test_what_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


def test_adam_at_the_clients_comes_near_the_optimum() -> None:
    method: Asynchronous = FedAT(0.02, 5, mu=0.0, tiers=2, optimizer=Adam())
    ended = federated(method)
    ended.run(until=10.0)
    optimum = least_squares(8).optimum
    assert np.abs(ended.models()[-1].numpy() - optimum).max() < 0.25 * np.abs(optimum).max()
