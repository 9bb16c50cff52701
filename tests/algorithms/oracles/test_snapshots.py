"""SVRG and loopless SVRG against literal transcriptions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algorithms import LooplessSvrg, Svrg, importance_batch, uniform_batch
from tests.algorithms.oracles.helpers import SIZES, STEPS, Array, Problem, assert_same, drive, starts, transcribed

SEED = 5


def used(problem: Problem, sampling: str, batch: int, i: int, t: int) -> list[tuple[int, float]]:
    """What node i uses in step t: pairs of an example and its weight."""
    m = SIZES[i]
    if sampling == "uniform":
        return [(int(l), 1.0) for l in uniform_batch(m, batch, i, t, SEED)]  # noqa: E741
    p = problem.constants(i) / problem.constants(i).sum()
    return [(int(l), 1 / (m * p[l])) for l in importance_batch(p, batch, i, t, SEED)]  # noqa: E741


class Transcription:
    def __init__(self, problem: Problem, X: Array, sampling: str, batch: int) -> None:
        self.problem, self.sampling, self.batch = problem, sampling, batch
        self.snapshots = [x.copy() for x in X]
        self.full = [problem.full(i, x) for i, x in enumerate(X)]
        self.gradients = np.zeros(len(X), int)

    def refresh(self, i: int, x: Array) -> None:
        self.snapshots[i], self.full[i] = x.copy(), self.problem.full(i, x)
        self.gradients[i] += SIZES[i]

    def estimate(self, i: int, t: int, x: Array) -> Array:
        terms = [
            w * (self.problem.component(i, l, x) - self.problem.component(i, l, self.snapshots[i]))
            for l, w in used(self.problem, self.sampling, self.batch, i, t)  # noqa: E741
        ]
        self.gradients[i] += 2 * self.batch
        return np.mean(terms, axis=0) + self.full[i]


@pytest.mark.parametrize("lr", [0.05, None])
@pytest.mark.parametrize("sampling", ["uniform", "importance"])
@pytest.mark.parametrize(("batch", "period"), [(1, None), (3, None), (2, 7)])
def test_svrg(lr: float | None, sampling: str, batch: int, period: int | None) -> None:
    problem, X = Problem(), starts()
    reference = Transcription(problem, X, sampling, batch)

    def estimate(t: int, X: Array) -> Array:
        G = []
        for i, x in enumerate(X):
            if t % (period or int(np.ceil(SIZES[i] / batch))) == 0:
                reference.refresh(i, x)
            G.append(reference.estimate(i, t, x))
        return np.stack(G)

    ours, memory = drive(Svrg(batch, period, sampling), problem.linear(), X, STEPS, lr)  # type: ignore[arg-type]
    assert_same(ours, transcribed(estimate, X, STEPS, lr))
    assert memory.gradients.tolist() == reference.gradients.tolist()


@pytest.mark.parametrize("lr", [0.05, None])
@pytest.mark.parametrize("sampling", ["uniform", "importance"])
@pytest.mark.parametrize(("batch", "probability"), [(1, None), (3, None), (2, 0.1)])
def test_loopless_svrg(lr: float | None, sampling: str, batch: int, probability: float | None) -> None:
    problem, X = Problem(), starts()
    oracle = LooplessSvrg(batch, probability, sampling)  # type: ignore[arg-type]
    reference = Transcription(problem, X, sampling, batch)
    reference.gradients += SIZES

    def estimate(t: int, X: Array) -> Array:
        G = np.stack([reference.estimate(i, t, x) for i, x in enumerate(X)])
        for i, x in enumerate(X):
            if oracle.head(SIZES[i], i, t, SEED):
                reference.refresh(i, x)
        return G

    ours, memory = drive(oracle, problem.linear(), X, STEPS, lr)
    assert_same(ours, transcribed(estimate, X, STEPS, lr))
    assert memory.gradients.tolist() == reference.gradients.tolist()


def test_heads_come_up_with_their_probability() -> None:
    for oracle, share in ((LooplessSvrg(3), 3 / 10), (LooplessSvrg(3, 0.07), 0.07)):
        heads = sum(oracle.head(10, node, step, 0) for node in range(10) for step in range(400))
        assert abs(heads - 4000 * share) < 5 * np.sqrt(4000 * share * (1 - share))
        assert any(oracle.head(10, 0, step, 0) != oracle.head(10, 1, step, 0) for step in range(50))


def test_at_the_snapshot_the_estimate_is_the_full_gradient_exactly() -> None:
    workload, x = Problem().linear(), torch.tensor(starts())
    nodes = range(len(SIZES))
    full = workload.gradient(x, nodes).gradient
    for oracle in (Svrg(2), LooplessSvrg(2), Svrg(3, sampling="importance")):
        state = oracle.start(workload, x, nodes, 0)
        assert torch.equal(oracle.sample(state, workload, x, nodes, 0, 0).gradient, full)


def test_nodes_take_their_snapshots_by_themselves() -> None:
    workload, x = Problem().linear(), torch.tensor(starts())
    oracle = Svrg(batch=3)  # passes of 3, 2, 4, 2, 3 iterations
    state = oracle.start(workload, x, range(5), 0)
    for step in range(4):
        oracle.sample(state, workload, x + step, range(5), step, 0)
    taken = (state.snapshot - x).mean(dim=1).round().tolist()
    assert taken == [3, 2, 0, 2, 3] == state.since.tolist()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Svrg(batch=0), "Svrg: batch = 0"),
        (lambda: Svrg(period=0), "Svrg: period = 0"),
        (lambda: Svrg(sampling="all"), "Svrg: sampling = 'all'"),  # type: ignore[arg-type]
        (lambda: LooplessSvrg(probability=0.0), r"LooplessSvrg: probability = 0.0 .* in \(0, 1\]"),
        (lambda: LooplessSvrg(probability=1.5), "LooplessSvrg: probability = 1.5"),
    ],
)
def test_refused(make, says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=says):
        make()
