"""Clients that are not always there: who can be chosen, and rounds with few of them or none."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from algorithms import (
    AlwaysAvailable,
    Availability,
    FedAdam,
    FedAvg,
    Scaffold,
    SineAvailability,
    TraceAvailability,
)
from algorithms.federated.sampling import draw_available, draw_clients
from algorithms.randomness import Draw, stream
from tests.algorithms.federated.literal import RATE, SERVER_RATE, assert_serves, rounds
from tests.algorithms.helpers import Array, least_squares, run
from topologies import ring

N = 6
SIZES = (3.0, 1.0, 4.0, 1.0, 5.0, 2.0)


def random(purpose: str, r: int) -> np.random.Generator:
    """The draws of a round in a run of seed 0."""
    return stream(Draw(0, purpose, range(N), r).common)


def weights_of(here: list[int], chosen: list[int], weighting: str) -> Array:
    """(N,): p_k of the equations, where `here` are available and `chosen` are in the round."""
    total = sum(SIZES) if weighting == "all" else sum(SIZES[k] for k in chosen)
    return np.array([SIZES[k] / total if k in chosen else 0.0 for k in range(N)])


@pytest.mark.parametrize("weighting", ["sampled", "all"])
def test_rounds_go_on_with_those_that_are_there(weighting: str) -> None:
    trace = ((0, 1, 2, 3, 4, 5), (4,), (), (1, 3, 5), (5, 0))
    problem = least_squares(N)
    x = np.tile(np.ones(problem.d), (N, 1))

    def p(r: int) -> Array:
        here = sorted(trace[r % len(trace)])
        some = random("clients", r).choice(len(here), 2, replace=False) if len(here) > 2 else range(len(here))
        return weights_of(here, [here[i] for i in some], weighting)

    options: dict[str, Any] = {"participation": 2, "weights": SIZES, "weighting": weighting}
    algorithm = FedAvg(RATE, SERVER_RATE, 2, availability=TraceAvailability(trace), **options)
    models = run(algorithm, ring(N), problem, x, 30).models
    assert not p(2).any() and np.count_nonzero(p(1)) == 1
    wanted = rounds(problem, x[0], 2, p, lambda w, delta, r: w + SERVER_RATE(r) * delta, 30)
    assert_serves(models, wanted)
    assert (wanted[4] == wanted[6]).all()  # round 2


def test_the_chances_are_those_of_the_sine() -> None:
    rule = SineAvailability(share=0.6, swing=0.3, period=8.0, zones=0.5)
    for r in (0, 3, 17):
        drawn = [rule.available(r, N, np.random.default_rng([r, i])) for i in range(4000)]
        wanted = [0.6 + 0.3 * math.sin(2 * math.pi * (r / 8 + 0.5 * k / N)) for k in range(N)]
        np.testing.assert_allclose(np.mean(drawn, axis=0), wanted, atol=0.04)
    day, night = (SineAvailability(period=4.0, zones=0.0).available(r, 99, np.random.default_rng(0)) for r in (1, 3))
    assert day.all() and not night.any()


def test_a_run_draws_anew_in_each_round_though_nobody_takes_part() -> None:
    """Rounds without messages are no rounds of the network, by which draws go otherwise."""
    rule = SineAvailability(share=0.1, swing=0.0)
    problem = least_squares(N)
    here = [np.flatnonzero(random("availability", r).random(N) < 0.1).tolist() for r in range(40)]
    assert sum(not each for each in here) > 12
    p = [weights_of(each, each, "sampled") if each else np.zeros(N) for each in here]
    x = np.tile(np.ones(problem.d), (N, 1))
    models = run(FedAvg(RATE, SERVER_RATE, 1, weights=SIZES, availability=rule), ring(N), problem, x, 39).models
    assert_serves(models, rounds(problem, x[0], 1, p.__getitem__, lambda w, delta, r: w + SERVER_RATE(r) * delta, 39))


@pytest.mark.parametrize("method", [FedAdam, Scaffold])
def test_a_round_without_anybody_changes_nothing(method: Any) -> None:
    """As if it had not been: neither moments of the server nor control variates see it."""
    problem = least_squares(N)
    x = np.tile(np.ones(problem.d), (N, 1))

    def models(trace: tuple[tuple[int, ...], ...], steps: int) -> Array:
        algorithm = method(lr=0.05, local_steps=3, participation=N, availability=TraceAvailability(trace))
        found: Array = run(algorithm, ring(N), problem, x, steps).models
        return found

    there, gaps = models(((0, 1, 2), (3, 4)), 12), models(((0, 1, 2), (), (), (3, 4)), 24)
    assert (gaps[3:10] == there[3]).all()
    for before, after in ((6, 12), (9, 15), (12, 24)):
        np.testing.assert_array_equal(there[before], gaps[after])


@pytest.mark.parametrize("weighting", ["sampled", "all"])
@pytest.mark.parametrize("sampling", ["uniform", "proportional", "independent"])
def test_all_available_is_the_same_to_the_bit(sampling: Any, weighting: Any) -> None:
    for seed in range(5):
        given = SIZES, 3, sampling, weighting
        found = draw_available(np.ones(N, bool), *given, np.random.default_rng(seed))
        assert (found == draw_clients(*given, np.random.default_rng(seed))).all()


@pytest.mark.parametrize("sampling", ["uniform", "proportional", "independent"])
def test_votes_of_some(sampling: Any) -> None:
    here = np.array([True, False, True, True, False, False])
    share = 8 / 16  # of the data
    for seed in range(30):
        sampled, every = (
            draw_available(here, SIZES, 2, sampling, weighting, np.random.default_rng(seed))
            for weighting in ("sampled", "all")
        )
        assert not sampled[~here].any() and not every[~here].any()
        if not sampled.any():
            assert sampling == "independent" and not every.any()
            continue
        assert sampled.sum() == pytest.approx(N)
        if sampling == "proportional":
            np.testing.assert_allclose(every, 2 / 3 * share * sampled, rtol=1e-12)
        else:
            np.testing.assert_allclose(every, np.where(every > 0, N * np.array(SIZES) / 16, 0), rtol=1e-12)
    assert not draw_available(here, (0.0, 1.0, 0.0, 0.0, 1.0, 1.0), 2, sampling, "all", np.random.default_rng(0)).any()


BAD = {
    "share": (lambda: SineAvailability(share=0.0), r"share = 0.0 .* in \(0, 1\]"),
    "swing": (lambda: SineAvailability(share=0.8), r"swing = 0.5 .* in \[0, 0.2\], so that probabilities stay"),
    "period": (lambda: SineAvailability(period=0.0), "period = 0.0 "),
    "zones": (lambda: SineAvailability(zones=2.0), "zones = 2.0 "),
    "no rounds": (TraceAvailability, "one or more rounds"),
    "twice": (lambda: TraceAvailability(((1, 1),)), "each once in a round"),
    "unbiased": (
        lambda: FedAvg(weighting="unbiased", availability=SineAvailability()),
        "weighting = 'unbiased' .* sampled or all where clients are absent or drop out",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_refusals(name: str) -> None:
    make, says = BAD[name]
    with pytest.raises(ValueError, match=says):
        make()


def test_a_trace_of_other_clients_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^TraceAvailability: rounds has client 6, there are 0 to 5$"):
        TraceAvailability(((0,), (6,))).available(0, N, np.random.default_rng(0))
    with pytest.raises(NotImplementedError):
        Availability().available(0, N, np.random.default_rng(0))
    assert AlwaysAvailable().available(0, N, np.random.default_rng(0)).all()
