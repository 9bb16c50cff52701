"""Gradient estimates made of function values, and the oracles on top of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import gossip
from algorithms import (
    L1,
    DecentralizedSGD,
    ExactDiffusion,
    Full,
    LooplessSvrg,
    Minibatch,
    Oracle,
    Saga,
    Svrg,
    ZerothOrder,
    directions,
    uniform_batch,
)
from gossip.workloads import Digits, SigmoidLoss
from gossip.workloads.linear.model import LinearModel
from tests.algorithms.oracles.helpers import (
    SIZES,
    Array,
    Plain,
    Problem,
    assert_same,
    drive,
    starts,
    transcribed,
)
from topologies import complete, ring

SEED = 5
MU = 1e-3


class Asked:
    """A linear model as a black box that counts what it is asked for, node by node."""

    def __init__(self, model: LinearModel) -> None:
        self._model, self.layout, self.count = model, model.layout, np.zeros(len(SIZES), int)

    def examples(self, node: int) -> int:
        return self._model.examples(node)

    def losses(self, x: torch.Tensor, nodes: Any, examples: torch.Tensor) -> torch.Tensor:
        np.add.at(self.count, np.asarray(nodes), examples.shape[1])
        return self._model.losses(x, nodes, examples)


def sampled(oracle: Oracle, workload: Any, x: Array, step: int = 0) -> tuple[Array, Array]:
    points = torch.tensor(x)
    state = oracle.start(workload, points, range(len(x)), SEED)
    sample = oracle.sample(state, workload, points, range(len(x)), step, SEED)
    return sample.gradient.numpy(), sample.loss.numpy()


@pytest.mark.parametrize("smoothing", [1e-2, 0.5, 3.0])
def test_coordinate_differences_are_exact_on_quadratics(smoothing: float) -> None:
    workload = Problem("half square").linear()
    for oracle in (Full(), Minibatch(3), Svrg(3)):
        estimate, _ = sampled(ZerothOrder(oracle, smoothing=smoothing), workload, starts())
        exact, _ = sampled(oracle, workload, starts())
        np.testing.assert_allclose(estimate, exact, atol=1e-12 / smoothing)


def test_coordinate_differences_have_a_quadratic_error() -> None:
    workload = Problem().linear()
    exact, loss = sampled(Full(), workload, starts())
    errors, shifts = [], []
    for smoothing in (0.04, 0.02, 0.01):
        estimate, value = sampled(ZerothOrder(Full(), smoothing=smoothing), workload, starts())
        errors.append(np.abs(estimate - exact).max())
        shifts.append(np.abs(value - loss).max())
    for sequence in (errors, shifts):
        np.testing.assert_allclose(np.array(sequence[:-1]) / sequence[1:], 4, rtol=0.02)


def test_gaussian_differences_of_a_linear_function() -> None:
    """(a . u) u, whose mean over u is a."""
    a = np.array([1.0, -2.0, 0.5])

    class Linear:
        layout = LinearModel(a[None], np.zeros(1), [1], "half square", 0).layout

        def examples(self, node: int) -> int:
            return 2

        def losses(self, x: torch.Tensor, nodes: Any, examples: torch.Tensor) -> torch.Tensor:
            return (x * torch.tensor(a)).sum(1)[:, None] * (1 + examples)

    oracle = ZerothOrder(Full(), "gaussian", 0.1)
    estimate, _ = sampled(oracle, Linear(), np.ones((2, 3)), step=4)
    for node in range(2):
        u = [directions(3, node, example, 4, SEED)[0] for example in range(2)]
        expected = np.mean([(1 + l) * (a @ u[l]) * u[l] for l in range(2)], axis=0)  # noqa: E741
        np.testing.assert_allclose(estimate[node], expected, atol=1e-13)
    many = np.mean([sampled(oracle, Linear(), np.ones((2, 3)), step)[0] for step in range(2000)], axis=(0, 1))
    np.testing.assert_allclose(many, 1.5 * a, atol=0.3)


def test_directions_are_gaussian_and_independent() -> None:
    draws = np.stack([directions(3, *key, 0)[0] for key in np.ndindex(5, 10, 40)])
    assert len(np.unique(draws)) == draws.size
    np.testing.assert_allclose(np.cov(draws.T), np.eye(3), atol=0.15)
    np.testing.assert_allclose(draws.mean(axis=0), 0, atol=0.1)
    assert (directions(3, 0, 0, 0, 0)[0] != directions(3, 0, 0, 0, 1)[0]).all()


@pytest.mark.parametrize(
    "oracle", [Full(), Minibatch(2), Svrg(2), LooplessSvrg(2), Saga(2), Svrg(2, None, "importance")]
)
@pytest.mark.parametrize("lr", [0.05, None])
def test_small_differences_follow_the_first_order_method(oracle: Oracle, lr: float | None) -> None:
    problem, X = Problem(), starts()
    exact, _ = drive(oracle, problem.plain(), X, 60, lr)
    estimated, state = drive(ZerothOrder(oracle, smoothing=1e-5), problem.linear(), X, 60, lr)
    np.testing.assert_allclose(np.stack(estimated), np.stack(exact), atol=1e-8)
    assert not state.gradients.any()


def gauss(problem: Problem, i: int, l: int, x: Array, since: int, q: int = 1) -> Array:  # noqa: E741
    """The estimate of one component gradient, from its q + 1 values."""
    a, b = problem.A[problem.place(i, l)], problem.b[problem.place(i, l)]

    def f(z: Array) -> float:
        return float(np.log1p(np.exp(-b * (a @ z))) + problem.l2 / 2 * (z @ z))

    return np.mean([(f(x + MU * u) - f(x)) / MU * u for u in directions(4, i, l, since, SEED, q)], axis=0)


@pytest.mark.parametrize(("lr", "q"), [(0.02, 1), (None, 1), (0.02, 3)])
def test_gaussian_svrg(lr: float | None, q: int) -> None:
    """The directions of the snapshot are used in all terms until the next one."""
    problem, X, since = Problem(), starts(), {}
    snapshots: dict[int, Array] = {}

    def estimate(t: int, X: Array) -> Array:
        G = []
        for i, x in enumerate(X):
            if t % 5 == 0:
                snapshots[i], since[i] = x.copy(), t
            g = [[gauss(problem, i, l, y, since[i], q) for l in range(SIZES[i])] for y in (x, snapshots[i])]  # noqa: E741
            chosen = uniform_batch(SIZES[i], 2, i, t, SEED)
            G.append(np.mean([g[0][l] - g[1][l] for l in chosen], axis=0) + np.mean(g[1], axis=0))  # noqa: E741
        return np.stack(G)

    ours, _ = drive(ZerothOrder(Svrg(2, 5), "gaussian", MU, q), Asked(problem.linear()), X, 40, lr)
    assert_same(ours, transcribed(estimate, X, 40, lr))


def test_gaussian_loopless_svrg() -> None:
    """A new snapshot, taken after the estimate of a step, has directions of its own."""
    problem, X, oracle = Problem(), starts(), LooplessSvrg(2, 0.3)
    snapshots, since = [x.copy() for x in X], [0] * len(X)

    def estimate(t: int, X: Array) -> Array:
        G = []
        for i, x in enumerate(X):
            g = [[gauss(problem, i, l, y, since[i]) for l in range(SIZES[i])] for y in (x, snapshots[i])]  # noqa: E741
            chosen = uniform_batch(SIZES[i], 2, i, t, SEED)
            G.append(np.mean([g[0][l] - g[1][l] for l in chosen], axis=0) + np.mean(g[1], axis=0))  # noqa: E741
            if oracle.head(SIZES[i], i, t, SEED):
                snapshots[i], since[i] = x.copy(), t + 1
        return np.stack(G)

    ours, _ = drive(ZerothOrder(oracle, "gaussian", MU), Asked(problem.linear()), X, 40, 0.02)
    assert_same(ours, transcribed(estimate, X, 40, 0.02))


@pytest.mark.parametrize(("lr", "q"), [(0.02, 1), (None, 1), (0.02, 3)])
def test_gaussian_saga(lr: float | None, q: int) -> None:
    """The difference uses the directions of the entry; a new entry has new ones."""
    problem, X = Problem(), starts()
    table = [[gauss(problem, i, l, x, 0, q) for l in range(SIZES[i])] for i, x in enumerate(X)]  # noqa: E741
    since = [[0] * m for m in SIZES]

    def estimate(t: int, X: Array) -> Array:
        G = []
        for i, x in enumerate(X):
            chosen = uniform_batch(SIZES[i], 2, i, t, SEED)
            terms = [gauss(problem, i, l, x, since[i][l], q) - table[i][l] for l in chosen]  # noqa: E741
            G.append(np.mean(terms, axis=0) + np.mean(table[i], axis=0))
            for l in chosen:  # noqa: E741
                since[i][l] = t + 1
                table[i][l] = gauss(problem, i, l, x, t + 1, q)
        return np.stack(G)

    ours, _ = drive(ZerothOrder(Saga(2), "gaussian", MU, q), Asked(problem.linear()), X, 80, lr)
    assert_same(ours, transcribed(estimate, X, 80, lr))


@pytest.mark.parametrize(("estimator", "q", "each"), [("coordinate", 1, 8), ("gaussian", 1, 2), ("gaussian", 5, 6)])
def test_queries(estimator: Any, q: int, each: int) -> None:
    """By the formulas, and by what the black box was really asked for."""
    m, b, T = np.array(SIZES), 2, 24
    expected = {
        Full(): T * m * each,
        Minibatch(b): T * b * each + 0 * m,
        Svrg(b, 6): T // 6 * (m + 2 * b * 6) * each,  # S (2 d n + 4 d b m), and S (2 n + 4 b m)
        Saga(b): (m + T * b * (1 if estimator == "coordinate" else 2)) * each,
        Saga(b, refresh="independent"): (m + T * 2 * b) * each,
    }
    for oracle, queries in expected.items():
        box = Asked(Problem().linear())
        _, state = drive(ZerothOrder(oracle, estimator, directions=q), box, starts(), T, 0.01)
        assert state.queries.tolist() == box.count.tolist() == queries.tolist()
        assert not state.gradients.any()
    box = Asked(Problem().linear())
    _, state = drive(ZerothOrder(LooplessSvrg(b), estimator, directions=q), box, starts(), T, 0.01)
    assert state.queries.tolist() == box.count.tolist()


def test_the_same_directions_make_the_variance_of_svrg_vanish() -> None:
    workload, x = Problem().linear(), torch.tensor(starts())
    oracle = ZerothOrder(Svrg(2, 50), "gaussian", 1e-4)
    state = oracle.start(workload, x, range(5), SEED)
    first = oracle.sample(state, workload, x, range(5), 0, SEED).gradient
    for step in range(1, 5):
        assert (
            float((oracle.sample(state, workload, x + 1e-6, range(5), step, SEED).gradient - first).abs().max()) < 1e-4
        )


@pytest.mark.parametrize("oracle", [Full(), Minibatch(2), Svrg(2), LooplessSvrg(2), Saga(2)])
@pytest.mark.parametrize(("estimator", "q"), [("coordinate", 1), ("gaussian", 1), ("gaussian", 3)])
def test_bits_do_not_depend_on_the_other_nodes(oracle: Oracle, estimator: Any, q: int) -> None:
    workload, X = Problem().linear(), torch.tensor(starts())
    zeroth = ZerothOrder(oracle, estimator, directions=q)

    def after(nodes: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        x = X[nodes]
        state = zeroth.start(workload, x, nodes, SEED)
        for step in range(4):
            sample = zeroth.sample(state, workload, x, nodes, step, SEED)
            x = x - 0.01 * sample.gradient
        return x, state.queries

    x, queries = after([0, 1, 2, 3, 4])
    for nodes in ([3], [1, 2], [4, 0]):
        part, asked = after(nodes)
        assert torch.equal(part, x[nodes]) and torch.equal(asked, queries[nodes])


def test_any_torch_model() -> None:
    workload = Digits(hidden=2).shard(20, 0)
    x = workload.initial().expand(2, -1).double()
    single = [workload.gradient(x, [3, 4], torch.tensor(pair)).loss for pair in ([[1], [0]], [[2], [5]])]
    losses = workload.losses(x, [3, 4], torch.tensor([[1, 2], [0, 5]]))
    np.testing.assert_allclose(losses, torch.stack(single, dim=1), rtol=1e-6)
    oracle = ZerothOrder(Full(), smoothing=2e-3)
    state = oracle.start(workload, x, [3, 4], 0)
    estimate = oracle.sample(state, workload, x, [3, 4], 0, 0).gradient
    exact = workload.gradient(x, [3, 4]).gradient
    assert float((estimate - exact).norm() / exact.norm()) < 1e-2
    assert state.queries.tolist() == [2 * workload.layout.d * workload.examples(node) for node in (3, 4)]


def test_refused() -> None:
    for options, says in (
        ({"estimator": "sphere"}, "ZerothOrder: estimator = 'sphere'"),
        ({"smoothing": 0.0}, "ZerothOrder: smoothing = 0.0 .* > 0"),
        ({"estimator": "gaussian", "directions": 0}, "ZerothOrder: directions = 0 .* >= 1"),
        ({"directions": 3}, "ZerothOrder: directions = 3 .* draws none"),
        ({"oracle": ZerothOrder()}, "ZerothOrder: oracle = .* not zeroth-order itself"),
    ):
        with pytest.raises(ValueError, match=says):
            ZerothOrder(**options)  # type: ignore[arg-type]
    workload: Any = Plain(Problem().linear())
    with pytest.raises(ValueError, match="ZerothOrder needs the losses of single examples, and Plain does not"):
        ZerothOrder().start(workload, torch.tensor(starts()), range(5), 0)
    box: Any = Asked(Problem().linear())
    with pytest.raises(ValueError, match=r"Svrg: importance sampling needs .* which Asked does not tell"):
        ZerothOrder(Svrg(2, sampling="importance")).start(box, torch.tensor(starts()), range(5), 0)
    with pytest.raises(ValueError, match="Saga needs gradients, and Asked gives function values only"):
        Saga(2).start(box, torch.tensor(starts()), range(5), 0)


def test_proximal_svrg_at_a_single_node() -> None:
    """ZO-ProxSVRG: xs = x; x <- prox(x - lr (mean of G f_l(x) - G f_l(xs) over the batch + mean of G f_j(xs)))."""
    A, b = Problem().A[:20], Problem().b[:20]
    workload = SigmoidLoss(A[None], b[None], l1=0.01).shard(1, 0)

    def estimate(l: int, x: Array, since: int) -> Array:  # noqa: E741
        def f(z: Array) -> float:
            return 1 / (1 + float(np.exp(b[l] * (A[l] @ z))))

        u = directions(4, 0, l, since, 0)[0]
        return (f(x + MU * u) - f(x)) / MU * u

    x = np.zeros(4)
    for t in range(60):
        if t % 10 == 0:
            xs, epoch = x, t
            full = np.mean([estimate(l, xs, epoch) for l in range(20)], axis=0)  # noqa: E741
        chosen = uniform_batch(20, 3, 0, t, 0)
        v = np.mean([estimate(l, x, epoch) - estimate(l, xs, epoch) for l in chosen], axis=0) + full  # noqa: E741
        z = x - 0.2 * v
        x = np.sign(z) * np.maximum(np.abs(z) - 0.2 * 0.01, 0)

    oracle = ZerothOrder(Svrg(3, 10), "gaussian", MU)
    algorithm = DecentralizedSGD(lr=0.2, prox=L1(weight=0.01))
    result = gossip.run(workload, complete(1), algorithm, oracle=oracle, steps=60, output=None)
    np.testing.assert_allclose(result.model[0], x, atol=1e-10)
    assert result.summary["queries_per_node"] == 6 * (2 * 20 + 4 * 3 * 10)


@pytest.mark.parametrize(("nodes", "lr", "queries"), [(1, 0.2, 16_000), (5, 0.5, 8_000)])
def test_variance_reduction_wins_at_equal_queries(nodes: int, lr: float, queries: int) -> None:
    """The gradient mapping of the objective at the end, with a constant learning rate, on a non-convex problem."""
    data = Problem()
    A, b = data.A[:35].reshape(nodes, -1, 4), data.b[:35].reshape(nodes, -1)
    workload = SigmoidLoss(A, b, l1=0.01, l2=0.01).shard(nodes, 0)

    def mapping(oracle: Oracle) -> float:
        algorithm = ExactDiffusion(lr=lr, prox=L1(weight=0.01))
        arguments: dict[str, Any] = {"evaluate_every": 10_000, "evaluate_nodes": 0, "output": None}
        steps = queries // (24 if isinstance(oracle, Svrg) else 8)  # three component gradients each, or one
        topology = complete(1) if nodes == 1 else ring(nodes)
        result = gossip.run(workload, topology, algorithm, oracle=ZerothOrder(oracle), steps=steps, **arguments)
        x = result.model.mean(0)
        gradient = workload.gradient(x.expand(nodes, -1), range(nodes)).gradient.mean(0)
        return float((x - L1(weight=0.01).prox((x - gradient)[None], 1.0)[0]).norm())

    sgd, svrg, saga = (mapping(oracle) for oracle in (Minibatch(1), Svrg(1), Saga(1)))
    assert max(svrg, saga) < sgd / 5
