"""Push-sum SGD."""

from __future__ import annotations

from collections.abc import Callable

import networkx as nx
import numpy as np
import pytest
import torch

from algorithms import DecentralizedSGD, LearningRate, PushSumSGD, Sample, StepDecay
from tests.algorithms.decentralized.push_sum_graphs import COLUMNS, DOUBLY, GRAPHS, full
from tests.algorithms.helpers import Array, least_squares, network_of, run, starts
from topologies import Schedule, Topology, one_peer_exponential, random_out

STEPS = 100
DECAY = StepDecay(lr=0.05, milestones=(20, 90), factor=0.3)


def transcription(
    X: Array,
    gradient: Callable[[Array], Array],
    P: Callable[[int], Array],
    rate: Callable[[int], float],
    steps: int,
    beta: float = 0.0,
    nesterov: bool = False,
) -> Array:
    """Algorithm 1 of the paper: x^(t+1/2) = x - lr d, x^(t+1) = P x^(t+1/2), w^(t+1) = P w, z = x / w."""
    x, w = X.copy(), np.ones(len(X))
    z = X.copy()
    u = np.zeros_like(X)
    models = [z]
    for t in range(steps):
        g = gradient(z)
        u = beta * u + g
        direction = g + beta * u if nesterov else u
        x = P(t) @ (x - rate(t) * direction)
        w = P(t) @ w
        z = np.diag(1 / w) @ x
        models.append(z)
    return np.stack(models)


@pytest.mark.parametrize("topology", GRAPHS.values(), ids=GRAPHS)
@pytest.mark.parametrize(
    ("lr", "rate", "momentum", "nesterov"),
    [(0.02, lambda t: 0.02, 0.0, False), (DECAY, DECAY, 0.8, False), (DECAY, DECAY, 0.8, True)],
    ids=["plain", "heavy-ball", "nesterov"],
)
def test_transcription(
    lr: float | LearningRate, rate: Callable[[int], float], momentum: float, nesterov: bool, topology: Schedule
) -> None:
    problem = least_squares(topology.n)
    x = starts(problem)
    got = run(PushSumSGD(lr, momentum, nesterov), topology, problem, x, STEPS)
    wanted = transcription(x, problem.gradient, full(topology), rate, STEPS, momentum, nesterov)
    assert np.abs(got.models - wanted).max() <= 1e-10
    np.testing.assert_array_equal(got.models, got.points)  # the gradient is taken at the model z
    assert got.rounds == STEPS


@pytest.mark.parametrize("topology", GRAPHS.values(), ids=GRAPHS)
def test_mass_is_conserved(topology: Schedule) -> None:
    problem = least_squares(topology.n)
    network = network_of(topology)
    algorithm = PushSumSGD(lr=0.02)
    x = starts(problem)
    state = algorithm.start(torch.tensor(x), network)
    total = x.sum(axis=0)
    spread = 0.0
    for _ in range(100):
        gradient = problem.gradient(state.x.numpy())
        total -= 0.02 * gradient.sum(axis=0)
        algorithm.advance(state, Sample(torch.tensor(gradient), torch.zeros(topology.n)), network)
        np.testing.assert_allclose(state.push_sum.numerator.numpy().sum(axis=0), total, rtol=0, atol=1e-11)
        assert abs(float(state.push_sum.weight.sum()) - topology.n) < 1e-12
        spread = max(spread, float((state.push_sum.weight - 1).abs().max()))
    assert spread < 1e-12 if topology.doubly_stochastic else spread > 0.05


@pytest.mark.parametrize("topology", DOUBLY.values(), ids=DOUBLY)
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.8, True)])
def test_on_doubly_stochastic_matrices_it_is_decentralized_sgd(
    momentum: float, nesterov: bool, topology: Schedule
) -> None:
    problem = least_squares(topology.n)
    got, wanted = (
        run(kind(lr=DECAY, momentum=momentum, nesterov=nesterov), topology, problem, starts(problem), STEPS).models
        for kind in (PushSumSGD, DecentralizedSGD)
    )
    assert np.abs(got - wanted).max() <= 1e-11


@pytest.mark.parametrize("name", ["random_out-9", "varying-9", "lopsided-4"])
def test_the_bias_shrinks_with_the_learning_rate_and_averaging_by_rows_does_not(name: str) -> None:
    topology = COLUMNS[name]
    problem = least_squares(topology.n)

    def distance(algorithm: PushSumSGD | DecentralizedSGD, topology: Schedule) -> float:
        at_optimum = np.tile(problem.optimum, (topology.n, 1))  # from there it is not far
        models = run(algorithm, topology, problem, at_optimum, 800).models[-10:]
        return float(np.abs(models - problem.optimum).max())

    coarse, fine = (distance(PushSumSGD(lr=lr), topology) for lr in (0.02, 0.01))
    assert 1e-4 < fine < 0.1 and 1.6 < coarse / fine < 2.4
    if topology.static:  # the same graph with rows that sum to 1 has a bias that stays
        rows = Topology(nx.DiGraph(topology.graph), "uniform")
        assert not rows.doubly_stochastic
        stays = [distance(DecentralizedSGD(lr=lr), rows) for lr in (0.02, 0.01)]
        assert stays[1] > 3 * fine and stays[0] / stays[1] < 1.5


def test_bytes_by_hand() -> None:
    for topology, out in ((random_out(9, degree=3), [3] * 9), (one_peer_exponential(13), [1] * 13)):
        problem = least_squares(topology.n, d=11)
        result = run(PushSumSGD(), topology, problem, starts(problem), 7)
        assert result.messages.tolist() == [2 * 7 * degree for degree in out]
        assert result.bytes.tolist() == [7 * degree * (11 + 1) * 8 for degree in out]


def test_refusals() -> None:
    for wrong, says in (({"lr": 0}, "lr = 0"), ({"momentum": 1.0}, "momentum = 1.0"), ({"nesterov": True}, "nesterov")):
        with pytest.raises(ValueError, match=says):
            PushSumSGD(**wrong)


def test_single_precision_is_close_to_double_for_long() -> None:
    topology = COLUMNS["random_out-9"]  # thirds and quarters: their sums are off by rounding in single precision
    problem = least_squares(9)
    single, double = (
        run(PushSumSGD(lr=0.01), topology, problem, starts(problem), 1500, t).final
        for t in (torch.float32, torch.float64)
    )
    assert single.dtype == np.float32
    assert np.abs(single - double).max() < 1e-4


# Overlap.


def late_transcription(
    X: Array,
    gradient: Callable[[Array], Array],
    P: Callable[[int], Array],
    rate: Callable[[int], float],
    steps: int,
    beta: float,
) -> Array:
    """The paper's Algorithm 2, node by node, with a mailbox: a message of step t is read at the end of step t + 1."""
    n = len(X)
    x, w, u = X.copy(), np.ones(n), np.zeros_like(X)
    z = X.copy()
    mail: list[tuple[int, Array, float]] = []
    models = [z]
    for t in range(steps):
        u = beta * u + gradient(z)
        half = x - rate(t) * u
        sent = [(i, P(t)[i, j] * half[j], P(t)[i, j] * w[j]) for i in range(n) for j in range(n) if i != j]
        x = np.diag(P(t))[:, None] * half
        w = np.diag(P(t)) * w
        for i, numerator, weight in mail:
            x[i] += numerator
            w[i] += weight
        mail = sent
        z = x / w[:, None]
        models.append(z)
    return np.stack(models)


@pytest.mark.parametrize("topology", GRAPHS.values(), ids=GRAPHS)
def test_overlap_transcription(topology: Schedule) -> None:
    problem = least_squares(topology.n)
    x = starts(problem)
    got = run(PushSumSGD(DECAY, momentum=0.5, overlap=True), topology, problem, x, 100)
    wanted = late_transcription(x, problem.gradient, full(topology), DECAY, 100, 0.5)
    assert np.abs(got.models - wanted).max() <= 1e-10
    assert got.rounds == 99  # the first step sends nothing yet


@pytest.mark.parametrize("posted", [False, True])
@pytest.mark.parametrize("name", ["random_out-9", "varying-5", "exponential-16"])
def test_overlap_conserves_the_mass_together_with_what_travels(name: str, posted: bool) -> None:
    topology = GRAPHS[name]
    network = network_of(topology)
    algorithm = PushSumSGD(lr=0.02, overlap=True)
    x = np.random.default_rng(0).normal(size=(topology.n, 3))
    state = algorithm.start(torch.tensor(x), network)
    total = x.sum(axis=0)
    for _ in range(60):
        if posted:
            algorithm.post(state, network)
        gradient = np.sin(3 * state.x.numpy())
        total -= 0.02 * gradient.sum(axis=0)
        algorithm.advance(state, Sample(torch.tensor(gradient), torch.zeros(topology.n)), network)
        travels = state.in_flight.split - state.in_flight.kept
        numerators = (state.push_sum + travels).numerator
        np.testing.assert_allclose(numerators.numpy().sum(axis=0), total, rtol=0, atol=1e-12)
        assert abs(float((state.push_sum + travels).weight.sum()) - topology.n) < 1e-12
        assert abs(float(state.push_sum.weight.sum()) - topology.n) > 0.1  # a good part is on its way


def test_overlap_reaches_consensus_on_the_exact_average_without_gradients() -> None:
    for topology in (COLUMNS["random_out-9"], COLUMNS["varying-5"], DOUBLY["ring-13"]):
        problem = least_squares(topology.n)
        x = starts(problem)
        final = run(PushSumSGD(lr=1e-300, overlap=True), topology, problem, x, 600).final
        assert np.abs(final - x.mean(axis=0)).max() <= 1e-11


def test_overlap_of_one_node_is_gradient_descent() -> None:
    problem = least_squares(1)
    got, wanted = (
        run(PushSumSGD(lr=0.1, overlap=late), random_out(1, 0), problem, starts(problem), 50).models
        for late in (True, False)
    )
    np.testing.assert_array_equal(got, wanted)


def test_overlap_needs_a_share_of_ones_own() -> None:
    swap = Topology.from_matrix([[0, 1], [1, 0]])
    problem = least_squares(2)
    with pytest.raises(ValueError, match="overlap = True is not allowed; it must be false where a node keeps no share"):
        run(PushSumSGD(overlap=True), swap, problem, starts(problem), 1)
    run(PushSumSGD(), swap, problem, starts(problem), 1)
