"""What the clients of a round deliver: drop-out, limits of time, over-selection, and the means that come of it."""

from __future__ import annotations

from itertools import pairwise
from math import ceil, floor
from typing import Any

import numpy as np
import pytest

import gossip
from algorithms import (
    Delivery,
    FedAvg,
    FedMom,
    FedNova,
    ResidualSGD,
    Scaffold,
    TraceAvailability,
)
from algorithms.randomness import Draw, stream
from tests.algorithms.federated.literal import assert_serves
from tests.algorithms.federated.test_fed_avg import counted
from tests.algorithms.helpers import Array, LeastSquares, least_squares, run
from topologies import ring

N, H, LR = 6, 4, 0.05
SIZES = (3.0, 1.0, 4.0, 1.0, 5.0, 2.0)

DELIVERIES = {
    "drop-out": Delivery(dropout=0.4),
    "drop-out, kept": Delivery(dropout=0.5, unfinished="kept"),
    "slow": Delivery(speeds=(5.0, 2.5, 4.0), spread=0.3),
    "slow, kept": Delivery(unfinished="kept", speeds=(5.0, 2.5, 0.5)),
    "over-selection": Delivery(speeds=(9.0, 3.0, 5.0), spread=0.6, extra=0.5),
    "everything": Delivery(dropout=0.3, unfinished="kept", speeds=(9.0, 3.0, 5.0), spread=0.6, extra=0.6),
}


def of_round(delivery: Delivery, chosen: list[int], wanted: int, r: int) -> dict[int, int]:
    """Those that count, and their iterations, of the clients that were chosen, one after the other."""
    leaves, far, speed, place = stream(Draw(0, "delivery", range(N), r).common).random((4, N))
    finished, others = [], []
    for k in chosen:
        made, time = H, 0.0
        if leaves[k] < delivery.dropout:
            made = floor(far[k] * H)
        if delivery.speeds is not None:
            pace = delivery.speeds[k % len(delivery.speeds)] * (1 - delivery.spread + 2 * delivery.spread * speed[k])
            made, time = min(made, floor(pace)), H / pace
        if made == H:
            finished.append((time, place[k], k, made))
        elif made and delivery.unfinished == "kept":
            others.append((place[k], k, made))
    ranked = [each[-2:] for each in [*sorted(finished), *sorted(others)]]
    return dict(ranked[:wanted] if delivery.extra else ranked)


def run_of(delivery: Delivery, wanted: int, weighting: str, nova: bool, steps: int) -> tuple[list[Array], list[Any]]:
    """The server's parameters after each step, and (chosen, counted) of each round, in loops."""
    problem: LeastSquares = least_squares(N)
    w, models, kept = np.ones(problem.d), [np.ones(problem.d)], []
    for r in range(steps // H):
        several = min(N, ceil((1 + delivery.extra) * wanted - 1e-9))
        draws = stream(Draw(0, "clients", range(N), r).common)
        chosen = sorted(draws.choice(N, several, replace=False)) if several < N else list(range(N))
        counts = of_round(delivery, chosen, wanted, r)
        kept.append((chosen, counts))
        total = sum(SIZES) if weighting == "all" else sum(SIZES[k] for k in counts)
        moves = {}
        for k, made in counts.items():
            u = w.copy()
            for _ in range(made):
                u = u - LR * problem.gradient(np.tile(u, (N, 1)))[k]
            moves[k] = (u - w) / (made if nova else 1)
        effective = sum(SIZES[k] / total * made for k, made in counts.items()) if nova else 1.0
        models += [w] * (H - 1)
        w = w + effective * sum((SIZES[k] / total * moves[k] for k in counts), np.zeros(problem.d))
        models.append(w)
    return models, kept


@pytest.mark.parametrize("weighting", ["sampled", "all"])
@pytest.mark.parametrize("name", DELIVERIES)
def test_literal_rounds(name: str, weighting: str) -> None:
    problem, nova = least_squares(N), "kept" in name
    options: dict[str, Any] = {"participation": 3, "weights": SIZES, "weighting": weighting}
    algorithm = (FedNova if nova else FedAvg)(LR, 1.0, H, delivery=DELIVERIES[name], **options)
    result = run(algorithm, ring(N), problem, np.ones((N, problem.d)), 48)
    models, kept = run_of(DELIVERIES[name], 3, weighting, nova, 48)
    assert_serves(result.models, np.stack(models))
    # The case is one: in some rounds less is delivered than was asked for.
    assert any(len(counts) < len(chosen) for chosen, counts in kept) or nova
    assert len({tuple(counts.items()) for _, counts in kept}) > 3
    chosen = sum(len(each) for each, _ in kept)
    ups, downs = N + sum(len(counts) for _, counts in kept), result.messages[-1]
    assert result.messages[:-1].sum() == ups  # what does not count is not sent; all that were chosen have heard w
    assert chosen < downs <= chosen + N


def test_first_come_first_served() -> None:
    """Of ten clients of which five are wanted, by speed; the slowest would be there first if they were unlimited."""
    clients, steps = np.arange(10), np.full(10, 4)
    speeds = (40.0, 4.0, 20.0, 3.9, 10.0, 8.0, 7.0, 6.0, 5.0, 4.5)
    made, counts = Delivery(speeds=speeds, extra=1.0).draw(clients, steps, 5, np.random.default_rng(0))
    assert made.tolist() == [4, 4, 4, 3, 4, 4, 4, 4, 4, 4]
    assert np.flatnonzero(counts).tolist() == [0, 2, 4, 5, 6]
    _, nine = Delivery(speeds=speeds, extra=1.0).draw(clients, steps, 10, np.random.default_rng(0))
    _, ten = Delivery(speeds=speeds, extra=1.0, unfinished="kept").draw(clients, steps, 10, np.random.default_rng(0))
    assert nine.sum() == 9 and not nine[3] and ten.all()


def test_ties_are_drawn_and_a_clients_draws_do_not_depend_on_others() -> None:
    steps, firsts = np.full(40, 3), np.zeros(40)
    for seed in range(400):
        _, counts = Delivery(extra=1.0).draw(np.arange(40), steps, 20, np.random.default_rng(seed))
        firsts += counts
    assert np.abs(firsts - 200).max() < 60
    delivery = Delivery(dropout=0.5, unfinished="kept", speeds=(3.0, 2.0), spread=0.9)
    everyone, some = (delivery.draw(np.array(who), steps, 9, np.random.default_rng(5)) for who in (range(40), [3, 8]))
    for all_, two in zip(everyone, some, strict=True):
        assert all_[[3, 8]].tolist() == two.tolist()


def test_how_often_and_how_far() -> None:
    made, counts = Delivery(dropout=0.25).draw(np.arange(20000), np.full(20000, 5), 20000, np.random.default_rng(1))
    assert np.mean(~counts) == pytest.approx(0.25, abs=0.02)
    assert np.bincount(made[~counts]) / sum(~counts) == pytest.approx(np.full(5, 0.2), abs=0.03)
    assert (made[counts] == 5).all()


def test_gradients_are_computed_until_a_client_stops_and_records_say_who_was_there() -> None:
    delivery = Delivery(dropout=0.5)
    algorithm = FedAvg(LR, local_steps=H, participation=4, delivery=delivery)
    result = gossip.run(counted(), ring(N), algorithm, steps=20, output=None, evaluate_every=4)
    chosen, dropped, gradients = 0, 0, 0
    for r in range(5):
        clients = sorted(stream(Draw(0, "clients", range(N), r).common).choice(N, 4, replace=False))
        leaves, far = stream(Draw(0, "delivery", range(N), r).common).random((4, N))[:2]
        steps = [floor(far[k] * H) if leaves[k] < 0.5 else H for k in clients]
        chosen, dropped, gradients = chosen + 4, dropped + sum(made < H for made in steps), gradients + sum(steps)
        record = result.history[r + 1]
        assert record["clients_per_round"] == pytest.approx(chosen / (r + 1))
        assert record["dropped_per_round"] == pytest.approx(dropped / (r + 1))
    assert 0 < dropped < chosen
    assert result.summary["gradients_per_node"] == pytest.approx(12 * gradients / N)  # of 12 examples each
    assert result.history[0]["clients_per_round"] == 0.0
    plain = gossip.run(counted(), ring(N), FedAvg(LR, local_steps=H), steps=4, output=None)
    assert "clients_per_round" not in plain.summary


def test_scaffold_hears_nothing_of_those_that_dropped_out() -> None:
    """Client 2 always fails: the rest is as if it were never chosen."""
    problem = least_squares(N)
    slow = Delivery(speeds=(9.0, 9.0, 1.0, 9.0, 9.0, 9.0))
    others = TraceAvailability(((0, 1, 3, 4, 5),))
    found, wanted = (
        run(Scaffold(LR, local_steps=H, **options), ring(N), problem, np.ones((N, problem.d)), 40).models
        for options in ({"delivery": slow}, {"availability": others})
    )
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)
    assert all(np.abs(b - a).max() > 0 for a, b in pairwise(found[::H]))


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "dropout": ({"dropout": 1.0}, r"dropout = 1.0 .* in \[0, 1\)"),
    "unfinished": ({"unfinished": "used"}, '"lost" or "kept"'),
    "speeds": ({"speeds": (1.0, 0.0)}, "speeds = .* > 0, one or more"),
    "no speeds": ({"speeds": ()}, "speeds = .* > 0, one or more"),
    "spread": ({"speeds": (1.0,), "spread": 1.0}, "spread = 1.0 "),
    "spread of nothing": ({"spread": 0.5}, "spread = 0.5 .* 0 without speeds"),
    "extra": ({"extra": -1.0}, "extra = -1.0 "),
    "nothing unfinished": ({"unfinished": "kept", "extra": 1.0}, "left out where all clients finish"),
}


@pytest.mark.parametrize("name", BAD)
def test_refusals(name: str) -> None:
    options, says = BAD[name]
    with pytest.raises(ValueError, match=says):
        Delivery(**options)


KEPT, MORE = Delivery(dropout=0.1, unfinished="kept"), Delivery(extra=0.3)
NOT_TOGETHER: dict[str, tuple[type, dict[str, Any], str]] = {
    "unbiased": (FedMom, {"delivery": KEPT, "weighting": "unbiased"}, "weighting = 'unbiased' "),
    "elsewhere": (FedAvg, {"delivery": KEPT, "optimizer": ResidualSGD(0.5)}, 'delivery = .* unfinished = "lost"'),
    "scaffold": (Scaffold, {"delivery": KEPT}, 'delivery = .* unfinished = "lost"'),
    "several times": (FedAvg, {"delivery": MORE, "sampling": "proportional"}, "sampling = 'proportional' "),
}


@pytest.mark.parametrize("name", NOT_TOGETHER)
def test_what_does_not_go_together(name: str) -> None:
    method, options, says = NOT_TOGETHER[name]
    with pytest.raises(ValueError, match=says):
        method(**options)


def test_over_selection_of_everyone_is_refused() -> None:
    with pytest.raises(ValueError, match=r"participation = 1\.0 .* nobody is left to choose"):
        run(FedAvg(delivery=MORE), ring(N), least_squares(N), np.ones((N, least_squares(N).d)), 1)
