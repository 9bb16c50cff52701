"""Leader SGD against a literal transcription, and how leaders are chosen."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from algorithms import Algorithm, LeaderSGD, NonFiniteError, Sample, StepDecay
from tests.algorithms.helpers import Array, LeastSquares, common, least_squares, network_of, starts
from topologies import ring

STEPS = 100
DECAY = StepDecay(lr=0.05, milestones=(30, 61), factor=0.3)


def rate(k: int) -> float:
    return 0.05 if k < 30 else 0.015 if k < 61 else 0.0045


def losses(problem: LeastSquares, X: Array) -> Array:
    """(n,): f_i(x_i)."""
    return ((np.einsum("nmd,nd->nm", problem.A, X) - problem.b) ** 2).mean(axis=1) / 2


def drive(algorithm: Algorithm, problem: LeastSquares, x: Array, steps: int, loss=losses) -> tuple[Array, object]:
    """(models, the network) of a method that looks at losses."""
    network = network_of(ring(problem.n))
    state = algorithm.start(torch.tensor(x), network)
    models = [x]
    for _ in range(steps):
        here = state.x.numpy()
        algorithm.advance(
            state, Sample(torch.tensor(problem.gradient(here)), torch.tensor(loss(problem, here))), network
        )
        models.append(state.x.numpy().copy())
    return np.stack(models), network


def transcription(problem: LeastSquares, x: Array, groups: list[list[int]], o: dict[str, float]) -> Array:
    n, tau, tau_g = problem.n, o["period"], o["period"] * o["global_every"]
    v = np.zeros_like(x)
    seen: list[Array] = []
    best: dict[int, Array] = {}  # the stored leader of each node's group
    best_of_all: Array | None = None
    models = [x]
    for k in range(STEPS):
        seen.append(losses(problem, x))
        v = o["momentum"] * v + problem.gradient(x)
        x = x - rate(k) * v
        if best_of_all is not None:
            x = x - o["global_proximal"] / tau_g * (x - best_of_all)
        if best:
            x = x - o["proximal"] / tau * (x - np.stack([best[i] for i in range(n)]))
        if (k + 1) % tau == 0:
            average = np.mean(seen[-tau:], axis=0)
            for group in groups:
                leader = min(group, key=lambda i: average[i])
                best |= {i: x[leader] for i in group}
            x = np.stack([(1 - o["pull"]) * x[i] + o["pull"] * best[i] for i in range(n)])
            if len(groups) > 1 and (k + 1) % tau_g == 0:
                best_of_all = x[min(range(n), key=lambda i: average[i])]
                x = (1 - o["global_pull"]) * x + o["global_pull"] * best_of_all
        models.append(x)
    return np.stack(models)


@pytest.mark.parametrize(
    ("n", "groups"),
    [(1, [[0]]), (8, [list(range(8))]), (8, [[0, 1, 2, 3], [4, 5, 6, 7]]), (7, [[0, 1, 2], [3, 4], [5, 6]])],
)
@pytest.mark.parametrize(("period", "global_every", "momentum"), [(1, 1, 0.0), (3, 2, 0.0), (2, 4, 0.5)])
def test_against_the_equations(
    n: int, groups: list[list[int]], period: int, global_every: int, momentum: float
) -> None:
    problem = least_squares(n)
    options = {
        "period": period,
        "global_every": global_every,
        "momentum": momentum,
        "pull": 0.2,
        "proximal": 0.15,
        "global_pull": 0.1,
        "global_proximal": 0.05,
    }
    models, _ = drive(LeaderSGD(DECAY, groups=len(groups), **options), problem, starts(problem), STEPS)
    assert np.abs(models - transcription(problem, starts(problem), groups, options)).max() <= 1e-10


def test_a_full_pull_makes_all_nodes_the_best_one() -> None:
    problem = least_squares(8)
    x = starts(problem)
    models, _ = drive(LeaderSGD(0.05, period=1, pull=1.0, proximal=0.0), problem, x, 20)
    for before, after in pairwise(models):
        best = np.argmin(losses(problem, before))
        wanted = (before - 0.05 * problem.gradient(before))[best]
        np.testing.assert_allclose(after, np.tile(wanted, (8, 1)), atol=1e-14)


def test_without_pulls_all_are_independent() -> None:
    problem = least_squares(8)
    x = starts(problem)
    models, _ = drive(LeaderSGD(0.05, pull=0.0, proximal=0.0), problem, x, 50)
    for _ in range(50):
        x = x - 0.05 * problem.gradient(x)
    np.testing.assert_allclose(models[-1], x, atol=1e-13)


def test_the_leader_is_not_moved_and_the_first_of_equals_leads() -> None:
    problem = LeastSquares(np.zeros((5, 1, 3)), np.zeros((5, 1)))
    x = starts(problem)
    for loss, leader in (([3.0, 1, 2, 1, 1], 1), ([1.0] * 5, 0), ([float("nan"), 2, 2, float("inf"), 3], 1)):
        models, _ = drive(LeaderSGD(period=1, pull=0.5), problem, x, 1, lambda *_, loss=loss: np.array(loss))
        np.testing.assert_array_equal(models[1][leader], x[leader])
        np.testing.assert_allclose(models[1], (x + x[leader]) / 2, atol=1e-15)


def test_the_loss_that_counts_is_that_since_the_last_communication() -> None:
    problem = LeastSquares(np.zeros((2, 1, 3)), np.zeros((2, 1)))
    x = starts(problem)
    sequence = iter([[9.0, 0.0], [0.0, 1.0], [1.0, 2.0], [2.0, 0.0]])  # of all, node 1 has lost less
    algorithm = LeaderSGD(period=2, pull=1.0, proximal=0.0)
    models, _ = drive(algorithm, problem, x, 2, lambda *_: np.array(next(sequence)))
    np.testing.assert_allclose(models[-1], np.tile(x[1], (2, 1)), atol=1e-15)


def test_traffic() -> None:
    problem = least_squares(8)
    _, network = drive(LeaderSGD(0.01, period=2, groups=2, global_every=2), problem, common(problem), 9)
    assert network.round == 4
    losses = 4 * 7 * 8  # of all nodes, over each edge of the tree
    vectors = 4 * 6 + 2 * 7  # the leaders of both groups to 3 others each, and twice that of all to all others
    assert network.traffic.bytes.sum() == (vectors * 5 + losses) * 8


@pytest.mark.parametrize("groups", [(0, 0, 1, 1, 1, 1, 1), (0, 1, 2, 3, 4, 5, 6), (1, 0, 1, 0, 1, 0, 1), (0,) * 7])
def test_a_leader_travels_once_to_each_member(groups: tuple[int, ...]) -> None:
    problem = least_squares(7)
    options = {"period": 1, "groups": groups, "global_every": 9}
    models, network = drive(LeaderSGD(0.01, pull=1.0, proximal=0.0, **options), problem, starts(problem), 3)
    others = 7 - len(set(groups))
    assert network.traffic.bytes.sum() == 3 * (others * 5 + 7 * 6) * 8
    for group in set(groups):  # a full pull: exactly the leader, whose bits have travelled
        members = models[-1][[its == group for its in groups]]
        assert (members == members[0]).all() and np.isfinite(members).all()


def test_no_loss_at_all_is_refused() -> None:
    problem = least_squares(4)
    with pytest.raises(NonFiniteError, match="LeaderSGD: no node has a finite loss"):
        drive(LeaderSGD(period=1), problem, starts(problem), 1, lambda *_: np.full(4, np.nan))


def test_groups_of_ones_own() -> None:
    problem = least_squares(7)
    options = {"period": 2, "global_every": 2, "momentum": 0.5, "pull": 0.2, "proximal": 0.15}
    of_all = {"global_pull": 0.1, "global_proximal": 0.05}
    algorithm = LeaderSGD(DECAY, groups=(5, 1, 5, 1, 1, 3, 5), **options, **of_all)
    models, _ = drive(algorithm, problem, starts(problem), STEPS)
    groups = [[0, 2, 6], [1, 3, 4], [5]]
    assert np.abs(models - transcription(problem, starts(problem), groups, options | of_all)).max() <= 1e-10


def test_in_one_process_there_is_one_group() -> None:
    problem = least_squares(7)
    runs = [drive(LeaderSGD(0.05, **options), problem, starts(problem), 20)[0] for options in ({}, {"groups": 1})]
    np.testing.assert_array_equal(*runs)


def test_refusals() -> None:
    for options, name in (
        ({"period": 0}, "period"),
        ({"pull": 1.5}, "pull"),
        ({"proximal": 5.0}, "proximal"),
        ({"groups": 0}, "groups"),
        ({"groups": "racks"}, "groups"),
        ({"global_every": 0}, "global_every"),
        ({"global_pull": -0.1}, "global_pull"),
        ({"global_proximal": 17.0}, "global_proximal"),
    ):
        with pytest.raises(ValueError, match=f"LeaderSGD: {name} = .* is not allowed; it must be"):
            LeaderSGD(**options)
    with pytest.raises(ValueError, match="LeaderSGD: groups = 5 is not allowed; it must be at most the number of"):
        LeaderSGD(groups=5).start(torch.zeros(4, 3), network_of(ring(4)))
    with pytest.raises(ValueError, match=r"LeaderSGD: groups = \(0, 1\) .* as many as there are nodes, 4"):
        LeaderSGD(groups=(0, 1)).start(torch.zeros(4, 3), network_of(ring(4)))
