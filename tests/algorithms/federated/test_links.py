"""Compressed links between a server and its clients: error feedback up, differences to what a client knows down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from algorithms import (
    DPFTRL,
    QSGD,
    Block,
    DPFedAvg,
    FedAvg,
    FedDyn,
    Federated,
    FedPAQ,
    Mean,
    QFedAvg,
    RobustFedAvg,
    Scaffold,
    SecureFedAvg,
    TopK,
)
from algorithms.randomness import Draw
from tests.algorithms.federated.literal import RATE, SERVER_RATE, STEPS, Weights, drawn, sample_at, started
from tests.algorithms.helpers import Array, LeastSquares, least_squares, starts
from tests.algorithms.reference import top_k

N, H = 6, 4
Send = Callable[[Array, int, int], Array]


class Links:
    """What a client and the server make of a vector that is sent, both ways, each with a memory of its own."""

    def __init__(self, up: int | None, down: int | None, feedback: bool) -> None:
        self.keeps = up, down, feedback
        self.lost: dict[int, Array] = {}
        self.known: dict[int, Array] = {}

    def up(self, k: int, v: Array) -> Array:
        kept, _, feedback = self.keeps
        if kept is None:
            return v
        p = v + self.lost.get(k, np.zeros_like(v))
        sent = top_k(p, kept)
        if feedback:
            self.lost[k] = p - sent
        return sent

    def down(self, k: int, w: Array) -> Array:
        kept = self.keeps[1]
        if kept is None or k not in self.known:
            self.known[k] = w
        else:
            self.known[k] = self.known[k] + top_k(w - self.known[k], kept)
        return self.known[k]


def trained(algorithm: Federated, problem: LeastSquares, steps: int = STEPS) -> Array:
    """(steps + 1, d): the server's models."""
    state, network = started(algorithm, problem, starts(problem))
    models = [state.server[-1].numpy().copy()]
    for step in range(steps):
        if step % 7 == 0:
            with network.unrecorded():
                algorithm.spread(state, network)  # of no consequence
        algorithm.advance(state, sample_at(problem, state.x), network)
        models.append(state.server[-1].numpy().copy())
    return np.stack(models)


def local(problem: LeastSquares, k: int, w: Array, r: int, correction: Callable[[Array], Array] | float = 0.0) -> Array:
    """u_k after a round from w."""
    u = w
    for t in range(r * H, (r + 1) * H):
        gradient = problem.hessians[k] @ u - problem.slopes[k]
        u = u - RATE(t) * (gradient + (correction(u) if callable(correction) else correction))
    return u


def assert_same(models: Array, ends: list[Array]) -> None:
    """The models at the ends of rounds."""
    assert np.abs(models[::H] - np.stack(ends)).max() <= 1e-10 and np.abs(ends[-1] - ends[0]).max() > 0.1


def options(up: int | None, down: int | None, feedback: bool) -> dict[str, Any]:
    return {
        "compressor": None if up is None else TopK(k=up),
        "server_compressor": None if down is None else TopK(k=down),
        **({} if feedback else {"error_feedback": False}),
    }


LINKS = [(2, None, True), (None, 2, True), (2, 3, True), (3, None, False), (3, 2, False)]


@pytest.mark.parametrize(("up", "down", "feedback"), LINKS)
@pytest.mark.parametrize("clients", [2, N])
def test_fed_avg(clients: int, up: int | None, down: int | None, feedback: bool) -> None:
    problem, links = least_squares(N), Links(up, down, feedback)
    algorithm = FedAvg(RATE, SERVER_RATE, H, clients, **options(up, down, feedback))
    p, w = drawn((1.0,) * N, clients, "uniform", "sampled"), starts(problem).mean(axis=0)
    ends = [w]
    for r in range(STEPS // H):
        sent = {}
        for k in np.flatnonzero(p(r)):
            known = links.down(k, w)
            sent[k] = links.up(k, known - local(problem, k, known, r))
        w = w - SERVER_RATE(r) * sum(p(r)[k] * v for k, v in sent.items())
        ends.append(w)
    assert_same(trained(algorithm, problem), ends)


@pytest.mark.parametrize(("up", "down", "feedback"), LINKS)
def test_scaffold_compresses_models_and_controls(up: int | None, down: int | None, feedback: bool) -> None:
    problem, M = least_squares(N), 3
    algorithm = Scaffold(RATE, SERVER_RATE, H, M, **options(up, down, feedback))
    models, controls = Links(up, down, feedback), Links(up, down, feedback)
    p, w = drawn((1.0,) * N, M, "uniform", "sampled"), starts(problem).mean(axis=0)
    c, c_k, ends = np.zeros_like(w), np.zeros((N, problem.d)), [w]
    for r in range(STEPS // H):
        moved, changed = np.zeros_like(w), np.zeros_like(w)
        for k in np.flatnonzero(p(r)):
            known, c_here = models.down(k, w), controls.down(k, c)
            u = local(problem, k, known, r, c_here - c_k[k])
            change = controls.up(k, (known - u) / sum(RATE(t) for t in range(r * H, (r + 1) * H)) - c_here)
            moved, changed = moved + p(r)[k] * models.up(k, known - u), changed + change / N
            c_k[k] += change
        w, c = w - SERVER_RATE(r) * moved, c + changed
        np.testing.assert_allclose(c, c_k.mean(axis=0), atol=1e-12)
        ends.append(w)
    assert_same(trained(algorithm, problem), ends)


@pytest.mark.parametrize(("up", "down", "feedback"), LINKS)
def test_fed_dyn(up: int | None, down: int | None, feedback: bool) -> None:
    problem, M, alpha, links = least_squares(N), 3, 0.5, Links(up, down, feedback)
    algorithm = FedDyn(RATE, local_steps=H, participation=M, alpha=alpha, **options(up, down, feedback))
    p, w = drawn((1.0,) * N, M, "uniform", "sampled"), starts(problem).mean(axis=0)
    h, h_k, ends = np.zeros_like(w), np.zeros((N, problem.d)), [w]
    for r in range(STEPS // H):
        sent = {}
        for k in np.flatnonzero(p(r)):
            known = links.down(k, w)
            u = local(problem, k, known, r, lambda u, k=k, w=known: alpha * (u - w) - h_k[k])  # type: ignore[misc]
            sent[k] = links.up(k, known - u)
            h_k[k] += alpha * sent[k]
        h = h + alpha / N * sum(sent.values())
        np.testing.assert_allclose(h, h_k.mean(axis=0), atol=1e-12)
        w = w - sum(sent.values()) / M - h / alpha
        ends.append(w)
    assert_same(trained(algorithm, problem), ends)


def test_q_fed_avg_sends_its_number_as_it_is() -> None:
    problem, M, q, links = least_squares(N), 3, 2.0, Links(2, 3, True)
    algorithm = QFedAvg(RATE, 1.0, H, M, q=q, **options(2, 3, True))
    p, w = drawn((1.0,) * N, M, "uniform", "sampled"), starts(problem).mean(axis=0)
    ends = [w]
    for r in range(STEPS // H):
        L, total, delta = 1 / RATE(r * H), 0.0, np.zeros_like(w)
        for k in np.flatnonzero(p(r)):
            known = links.down(k, w)
            F = ((problem.A[k] @ known - problem.b[k]) ** 2).mean() / 2 + 1e-10
            v = L * (known - local(problem, k, known, r))
            delta = delta + links.up(k, F**q * v)
            total += q * F ** (q - 1) * v @ v + L * F**q
        w = w - delta / total
        ends.append(w)
    assert_same(trained(algorithm, problem), ends)


def test_a_mean_of_robust_rows_is_fed_avg() -> None:
    problem = least_squares(N)
    robust = trained(RobustFedAvg(RATE, SERVER_RATE, H, 3, aggregator=Mean(), **options(2, 3, True)), problem)
    plain = trained(FedAvg(RATE, SERVER_RATE, H, 3, **options(2, 3, True)), problem)
    np.testing.assert_allclose(robust, plain, atol=1e-12)


def test_fed_paq_is_fed_avg_of_quantised_updates() -> None:
    problem, M, Q = least_squares(N), 3, QSGD(levels=3)
    p, w = drawn((1.0,) * N, M, "uniform", "sampled"), starts(problem).mean(axis=0)
    ends = [w]
    for r in range(STEPS // H):
        sent = np.zeros_like(w)
        for k in np.flatnonzero(p(r)):
            v = torch.tensor(w - local(problem, k, w, r))[None]
            sent = sent + p(r)[k] * Q.compress(v, Draw(0, "up model", [int(k)], r + 1)).dense()[0].numpy()
        w = w - sent
        ends.append(w)
    assert_same(trained(FedPAQ(RATE, 1.0, H, M, compressor=Q), problem), ends)


def test_error_feedback_keeps_the_optimum() -> None:
    """One number of five in each message: without feedback a client's others are never sent."""
    problem = least_squares(N)

    def distance(**links: Any) -> float:
        algorithm = FedAvg(0.02, local_steps=1, **links)
        state, network = started(algorithm, problem, starts(problem))
        for _ in range(1500):
            algorithm.advance(state, sample_at(problem, state.x), network)
        return float(np.abs(state.server[-1].numpy() - problem.optimum).max())

    assert distance(compressor=TopK(k=1), error_feedback=False) > 0.5
    assert distance(compressor=TopK(k=1)) < 0.05
    assert distance(server_compressor=TopK(k=1)) < 1e-6


@pytest.mark.parametrize("clients", [2, N])
def test_what_is_sent_is_what_is_counted(clients: int) -> None:
    problem, steps = least_squares(N), 12
    algorithm = FedAvg(RATE, 1.0, H, clients, **options(2, 3, True))
    state, network = started(algorithm, problem, starts(problem))
    for _ in range(steps):
        algorithm.advance(state, sample_at(problem, state.x), network)
    p: Weights = drawn((1.0,) * N, clients, "uniform", "sampled")
    dense, size = (
        8 * problem.d,
        {k: len(TopK(k=k).compress(state.x[:1], Draw(0, "", [0], 0)).packed[0]) for k in (2, 3)},
    )
    taken = np.stack([p(r) > 0 for r in range(steps // H + 1)])
    up = dense + taken[:-1].sum(axis=0) * size[2]
    assert network.traffic.bytes[:N].tolist() == up.tolist()
    first = taken.any(axis=0).sum()
    assert int(network.traffic.bytes[N]) == first * dense + (taken.sum() - first) * size[3]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: FedAvg(error_feedback=False), "error_feedback = False is not allowed; it must be left out without a"),
        (lambda: FedAvg(compressor=TopK(k=1), server="replicated"), 'it must be "node" with compressed links'),
        (
            lambda: started(FedAvg(server_compressor=Remembering(k=1)), PROBLEM, starts(PROBLEM)),
            "one that remembers nothing",
        ),
        (lambda: SecureFedAvg(compressor=TopK(k=1)), "it must be left out: what is masked is in integers"),
        (lambda: DPFedAvg(compressor=TopK(k=1)), "it must be left out: what has been compressed may be longer"),
        (lambda: DPFTRL(compressor=TopK(k=1)), "it must be left out: what has been compressed may be longer"),
        (lambda: FedPAQ(compressor=None), "it must be an operator, as QSGD; FedAvg sends vectors"),
        (
            lambda: started(FedAvg(compressor=QSGD(levels=1)), PROBLEM, starts(PROBLEM)),
            "is no contraction of 5 numbers",
        ),
        (lambda: started(FedAvg(server_compressor=QSGD(levels=1)), PROBLEM, starts(PROBLEM)), "is no contraction of 5"),
    ],
)
def test_what_does_not_go_is_refused(make: Callable[[], object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()


PROBLEM = least_squares(3)


class Remembering(TopK):
    def start(self, *args: Any, **options: Any) -> Block:
        return Block()
