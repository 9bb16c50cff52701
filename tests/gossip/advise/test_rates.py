"""How far nodes are apart, and how many steps that costs, against literal recursions."""

from __future__ import annotations

import numpy as np
import pytest

from gossip.advise.rates import (
    CURVATURE,
    PULL,
    RATES,
    Deviation,
    Problem,
    compressed,
    corrected,
    memory,
    periodic,
    rounds_to,
    steps,
    tracked,
)
from topologies import Schedule, alternating_hierarchical, exponential, one_peer_exponential, ring

PLACE = 40  # of the learning rate that is looked at
Q = 1 - PULL * RATES[PLACE]


def rounds(schedule: Schedule) -> list[np.ndarray]:
    return [schedule[t].matrix.toarray() for t in range(schedule.period or 1)]


def literal(schedule: Schedule, period: int) -> tuple[float, float]:
    """(noise, drift): D <- W (q D + B), or D <- q D + B where no averaging is, each node with noise of its own."""
    n = schedule.n
    J, matrices = np.full((n, n), 1 / n), rounds(schedule)
    covariance, fixed = np.zeros((n, n)), np.zeros((n, n))
    noise, drift, done = [], [], 0
    for t in range(200 * period * len(matrices)):
        noise.append(np.trace(covariance) / n)
        drift.append(np.sum(fixed**2) / n)
        covariance, fixed = Q**2 * covariance + np.eye(n) - J, Q * fixed + np.eye(n) - J
        if (t + 1) % period == 0:
            W = matrices[done % len(matrices)]
            covariance, fixed, done = W @ covariance @ W.T, W @ fixed, done + 1
    last = period * len(matrices)
    return float(np.mean(noise[-last:])), float(np.mean(drift[-last:]))


SCHEDULES = {
    "ring": ring(6),
    "exponential": exponential(6),
    "one_peer_exponential": one_peer_exponential(6),
    "hosts": alternating_hierarchical(6, 2),
}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("period", [1, 3])
def test_deviation(name: str, period: int) -> None:
    schedule = SCHEDULES[name]
    exactly = memory(schedule, np.array([Q**period / 2, Q**period]))  # nothing to interpolate
    found = periodic(exactly, schedule.n, period)
    assert (found.noise[PLACE], found.drift[PLACE]) == pytest.approx(literal(schedule, period), rel=1e-6)


def test_interpolation() -> None:
    found = periodic(memory(ring(16)), 16, 4)
    assert (found.noise[PLACE], found.drift[PLACE]) == pytest.approx(literal(ring(16), 4), rel=0.02)


def test_exact_averages_leave_what_happens_between_them() -> None:
    """Local SGD: (H - 1) / 2 and (H - 1) (2 H - 1) / 6 where the pull is weak."""
    n, H = 10, 5
    found = periodic(None, n, H)
    assert found.noise[0] == pytest.approx(0.9 * (H - 1) / 2, rel=0.01)
    assert found.drift[0] == pytest.approx(0.9 * (H - 1) * (2 * H - 1) / 6, rel=0.01)
    once = periodic(None, n, 1)
    assert once.noise.max() == once.drift.max() == 0


def test_compression_that_keeps_all_is_none() -> None:
    plain, kept = memory(ring(8)), compressed(ring(8), 1.0, 1.0)
    for name in ("noise", "drift", "cross"):
        assert getattr(kept, name) == pytest.approx(getattr(plain, name))


def test_compression_by_the_mean_operator() -> None:
    """CHOCO-Gossip with C(x) = alpha x, run literally on a directed graph."""
    n, alpha, gamma = 6, 0.3, 0.4
    W, J = rounds(exponential(n))[0], np.full((n, n), 1 / n)
    B = np.eye(n) - J
    x, h = np.zeros((n, n)), np.zeros((n, n))
    powers = 0.0
    impulse, public = B.copy(), np.zeros((n, n))  # the answer to what is added once
    impulse, public = impulse + gamma * (W - np.eye(n)) @ (public + alpha * (impulse - public)), alpha * impulse
    for _ in range(2000):
        powers += np.sum(impulse**2) / n
        y = 0.9 * impulse
        public = public + alpha * (y - public)
        impulse = y + gamma * (W - np.eye(n)) @ public
        z = 0.9 * x + B
        h = h + alpha * (z - h)
        x = z + gamma * (W - np.eye(n)) @ h
    found = compressed(exponential(n), alpha, gamma)
    v, m, c = (float(each[0]) for each in found.at(np.array([0.9])))
    assert (v, m, c) == pytest.approx((powers, np.sum(x**2) / n, np.trace(x) / n), rel=0.02)


def test_correction_and_tracking_leave_noise_only() -> None:
    """The answers of both methods to one gradient that is noisy once, summed up."""
    W = rounds(ring(6))[0]
    n, J = len(W), np.full((6, 6), 1 / 6)
    half, E = (np.eye(n) + W) / 2, np.eye(n) - J
    before, x, exact = np.zeros((n, n)), -half @ E, 0.0
    now, tracker, tracking = -W @ (W @ E), W @ (W @ E - E), 0.0
    for t in range(3000):
        exact += np.sum(x**2) / n
        before, x = x, half @ (2 * x - before + (E if t == 0 else 0))
        tracking += np.sum(now**2) / n
        now, tracker = W @ (now - tracker), W @ tracker
    assert corrected(ring(6), 0.1).noise[0] == pytest.approx(exact, rel=1e-6)
    assert tracked(ring(6), 0.1).noise[0] == pytest.approx(tracking, rel=1e-6)
    assert corrected(ring(6), 0.1).drift.max() == tracked(ring(6), 0.1).drift.max() == 0


def test_steps_by_hand() -> None:
    """Without noise at the largest learning rate: 2 / target."""
    nothing = Deviation(np.zeros(len(RATES)), np.zeros(len(RATES)))
    assert steps(Problem(0.0, 1.0, 0.05, CURVATURE), 8, nothing).steps == pytest.approx(40)
    apart = Deviation(np.ones(len(RATES)), np.full(len(RATES), 2.0))
    problem = Problem(0.4, 0.3, 0.05, 0.02)
    found = steps(problem, 8, apart)
    share = found.lr * 0.4 / 8 + 2 * 0.02 * found.lr**2 * (0.4 + 0.3 * 2)
    assert found.steps == pytest.approx(2 / (found.lr * (0.05 - share)))
    assert found.of_noise + found.of_deviation + found.of_drift == pytest.approx(share / 0.05)


def test_long_periods_take_a_smaller_learning_rate() -> None:
    """For a target t that is small: lr = 1 / (H sqrt(c)), and so 2 sqrt(c) / t averagings."""
    alone = Problem(0.0, 0.0, 1e-3, CURVATURE)
    assert steps(alone, 8, periodic(None, 8, 1)).lr == 1
    for H in (64, 256):
        found = steps(alone, 8, periodic(None, 8, H))
        assert found.lr + CURVATURE * found.lr**2 * H * (H - 1) <= 1
        assert found.steps / H == pytest.approx(2 * CURVATURE**0.5 / 1e-3, rel=0.2)


@pytest.mark.parametrize("name", [*SCHEDULES, "compressed"])
def test_rounds_in_which_nodes_hear_of_each_other(name: str) -> None:
    """By taking them one after the other, from independent differences between the nodes."""
    n, alpha, gamma = 6, 0.4, 0.5
    schedule = SCHEDULES.get(name, ring(n))
    x, h = np.eye(n) - 1 / n, np.zeros((n, n))
    matrices, count = rounds(schedule), 0
    while np.sum(x**2) / n > 0.01:
        W = matrices[count % len(matrices)]
        if name == "compressed":
            h = h + alpha * (x - h)
            x = x + gamma * (W - np.eye(n)) @ h
        else:
            x = W @ x
        count += 1
    kept = compressed(schedule, alpha, gamma) if name == "compressed" else memory(schedule)
    assert rounds_to(kept, 0.01) == count
    needed = steps(Problem(0.0, 0.0, 0.01, 1e-6), n, periodic(kept, n, 200))
    assert needed.steps == max(200 * count, 2 / 0.01 / needed.lr)


def test_an_average_over_all_nodes_takes_one_round() -> None:
    assert rounds_to(None, 1e-9) == rounds_to(memory(ring(3)), 1e-9) == 1
    assert steps(Problem(0.0, 0.0, 1.0, CURVATURE), 8, periodic(None, 8, 64)).steps >= 64


def test_what_is_more_apart_needs_more_steps() -> None:
    problem = Problem(0.25, 1.0, 0.05, CURVATURE)
    needed = [steps(problem, 16, periodic(memory(ring(16)), 16, H)).steps for H in (1, 2, 4, 16)]
    assert needed == sorted(needed) and needed[0] < needed[-1]


def test_nodes_that_are_all_linked() -> None:
    """Two or three nodes on a ring average exactly: nothing lives on, and only compression leaves anything."""
    for n in (2, 3):
        plain = memory(ring(n))
        assert plain.noise.max() < 1e-12 and compressed(ring(n), 0.5, 0.5).over(plain) == np.inf
        assert tracked(ring(n), 0.05).settling < 0.1
