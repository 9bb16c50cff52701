"""ACPD against a literal transcription, its conservation law, its special cases, and optima that are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gossip
from algorithms import QSGD, DecentralizedSGD, Full, Sdca, TopK
from algorithms.asynchronous import Acpd, AdPsgd
from algorithms.asynchronous.acpd import AcpdServer, AcpdWorker
from algorithms.randomness import generator
from gossip import SimulatedClock
from gossip.drivers.events import EventDriver
from gossip.drivers.gradients import NodeGradients
from gossip.drivers.replay import ReplayDriver
from gossip.drivers.schedule import Schedule
from gossip.errors import UsageError
from gossip.workloads import Averaging, HingeLoss, LeastSquares, LogisticRegression
from tests.algorithms.asynchronous.helpers import CLOCK
from tests.algorithms.helpers import Array
from topologies import ring, with_hubs

K, M, D, L2 = 4, 12, 20, 0.05
KINDS = ("half square", "logistic", "hinge")


def data(k: int = K) -> tuple[Array, Array]:
    """Features (k, M, D) of norm 1, and labels (k, M), -1 or +1."""
    random = np.random.default_rng(5)
    features = random.standard_normal((k, M, D))
    features /= np.linalg.norm(features, axis=2, keepdims=True)
    return features, np.where(
        features @ random.standard_normal(D) + 0.3 * random.standard_normal((k, M)) > 0, 1.0, -1.0
    )


def problem(kind: str, k: int = K) -> Any:
    kinds = {"half square": LeastSquares, "logistic": LogisticRegression, "hinge": HingeLoss}
    return kinds[kind](*data(k), l2=L2).shard(k, 0)


class Training:
    """A run, and what the nodes' dual variables were when the last change of each had been taken over."""

    def __init__(
        self, method: Acpd, oracle: Sdca, kind: str, *, clock: SimulatedClock = CLOCK, k: int = K, steps: int = 12
    ) -> None:
        x = torch.zeros(k + 1, D, dtype=torch.float64)
        method.check_oracle(oracle)
        graph = with_hubs(ring(k), method.hubs, method.servers)
        self.gradients = NodeGradients(oracle, problem(kind, k), x[:k], seed=2)
        self.computed = [[np.zeros(M)] for _ in range(k)]
        programs = method.programs(graph, range(k + 1), x)
        self.run = EventDriver(programs, graph, self, clock, seed=1, steps=steps, servers=1)
        self.workers = [program for program in programs if isinstance(program, AcpdWorker)]
        (self.server,) = [program for program in programs if isinstance(program, AcpdServer)]

    def __call__(self, nodes: Sequence[int], x: torch.Tensor, steps: Sequence[int]) -> Any:
        sample = self.gradients(nodes, x, steps)
        for node in nodes:
            self.computed[node].append(self.gradients.states[node].dual[0].numpy().copy())  # type: ignore[attr-defined]
        return sample

    @property
    def dual(self) -> Array:
        """(k, M)."""
        return np.stack([each[worker.updates] for each, worker in zip(self.computed, self.workers, strict=True)])

    def all(self) -> Training:
        self.run.run()
        return self


def primal(kind: str, w: Array, k: int = K) -> float:
    A, y = data(k)
    z = A @ w
    losses = {"half square": (z - y) ** 2 / 2, "logistic": np.logaddexp(0, -y * z), "hinge": np.maximum(0, 1 - y * z)}
    return float(losses[kind].mean() + L2 / 2 * w @ w)


def image(alpha: Array) -> Array:
    """w(alpha)."""
    return np.einsum("km,kmd->d", alpha, data(len(alpha))[0]) / (L2 * alpha.size)


def dual_value(kind: str, alpha: Array) -> float:
    y, w = data(len(alpha))[1], image(alpha)
    b = np.clip(y * alpha, 1e-300, 1)
    rest = np.clip(1 - y * alpha, 1e-300, 1)
    conjugates = {
        "half square": alpha**2 / 2 - alpha * y,
        "logistic": b * np.log(b) + rest * np.log(rest),
        "hinge": -y * alpha,
    }
    return float(-conjugates[kind].mean() - L2 / 2 * w @ w)


def gap(training: Training, kind: str) -> float:
    return primal(kind, training.server.w[0].numpy(), len(training.dual)) - dual_value(kind, training.dual)


def best(kind: str, a: float, y: float, z: float, q: float) -> float:
    """By other means than the code's: bisection on the derivative where there is no closed form."""
    if kind == "half square":
        return a + (1 - y * a - y * z) / (1 + q) * y  # with the label folded in
    if kind == "hinge":
        return float(np.clip(y * a + (1 - y * z) / q, 0, 1)) * y
    low, high = 0.0, 1.0
    for _ in range(200):
        b = (low + high) / 2
        falls = np.log(1 - b) - np.log(b) - y * z - q * (b - y * a) < 0 if 0 < b < 1 else b > 0
        low, high = (low, b) if falls else (b, high)
    return low * y


def transcription(schedule: Schedule, method: Acpd, oracle: Sdca, kind: str, keep: int) -> Array:
    """(events, K + 1, D): all models after each event, from who did what in which order alone, in the paper's terms."""
    A, y = data()
    n, gamma, safe = K * M, oracle.gamma, oracle.sigma * oracle.gamma * K  # sigma'
    a, w, r, acc = np.zeros((K, M)), np.zeros((K + 1, D)), np.zeros((K, D)), np.zeros((K, D))
    points = w.copy()
    to_server: dict[int, list[Array]] = {k: [] for k in range(K)}
    to_worker: dict[int, list[Array]] = {k: [] for k in range(K)}
    rounds, group, t, models = [0] * K, [], 0, []
    for event in schedule:
        k = event.node
        if event.kind == "gradient":
            Delta, dl = np.zeros(M), r[k].copy()
            for i in generator(2, "dual steps", k, rounds[k]).integers(M, size=oracle.steps):
                x, q = A[k, i], safe * A[k, i] @ A[k, i] / (L2 * n)
                delta = best(kind, a[k, i] + Delta[i], y[k, i], x @ (points[k] + safe * dl), q) - a[k, i] - Delta[i]
                Delta[i] += delta
                dl += delta * x / (L2 * n)
            rounds[k] += 1
            a[k] += gamma * Delta
            F = np.zeros(D)
            kept = np.argsort(-np.abs(dl), kind="stable")[:keep]
            F[kept] = dl[kept]
            r[k] = dl - F
            to_server[k].append(F)
        elif event.kind == "message" and k == K:
            F = to_server[event.sender].pop(0)
            w[K] += gamma * F
            acc += gamma * F
            group.append(event.sender)
            if len(group) == (K if t == method.barrier - 1 else method.group):
                for j in group:
                    to_worker[j].append(acc[j].copy())
                    acc[j] = 0
                group, t = [], (t + 1) % method.barrier
        elif event.kind == "message":
            w[k] += to_worker[k].pop(0)
            points[k] = w[k]
        models.append(w.copy())
    return np.stack(models)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gamma", [1.0, 0.5])
def test_the_models_are_those_of_the_literal_equations_in_the_order_of_the_schedule(kind: str, gamma: float) -> None:
    method, oracle = Acpd(group=2, barrier=3, compressor=TopK(k=5)), Sdca(steps=7, gamma=gamma)
    training = Training(method, oracle, kind)
    models = np.stack([training.run.models().numpy() for _ in training.run.events()])
    wanted = transcription(training.run.schedule, method, oracle, kind, keep=5)
    assert np.abs(models - wanted).max() <= 1e-11
    assert np.linalg.norm(wanted[-1, K]) > 0.5


def test_a_bolder_sigma_is_that_of_the_equations_too() -> None:
    method, oracle = Acpd(group=3, barrier=2, compressor=TopK(k=4), sigma=0.7), Sdca(steps=5, sigma=0.7)
    training = Training(method, oracle, "half square")
    models = np.stack([training.run.models().numpy() for _ in training.run.events()])
    assert np.abs(models - transcription(training.run.schedule, method, oracle, "half square", 4)).max() <= 1e-11


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 1000),
    group=st.integers(1, K),
    barrier=st.sampled_from([1, 2, 7]),
    latency=st.sampled_from([0.0, 1e-3, 0.05]),
    kept=st.sampled_from([1, 5, None]),
    answers=st.sampled_from([None, TopK(k=3)]),
    gamma=st.sampled_from([1.0, 0.25]),
)
def test_the_model_and_what_is_not_in_it_yet_are_the_dual_variables_at_any_time(
    seed: int, group: int, barrier: int, latency: float, kept: int | None, answers: TopK | None, gamma: float
) -> None:
    clock = SimulatedClock(0.01, latency, 1e4, 0.01, slow_nodes=(seed % K,), slowdown=1.0 + seed % 20)
    method = Acpd(group, barrier, None if kept is None else TopK(k=kept), answers)
    training = Training(method, Sdca(steps=3, gamma=gamma), KINDS[seed % 3], clock=clock, steps=5)
    server, answered, steps, waiting = training.server, [0] * K, 0, []
    for event in training.run.events():
        unsent = sum(worker.residual for worker in training.workers)
        unsent = unsent + sum(letter.row for letter in training.run.under_way() if letter.to == K)
        assert np.abs((server.w + unsent / K)[0].numpy() - image(training.dual)).max() < 1e-13
        if event.kind == "message" and event.node == K:
            assert steps - answered[event.sender] < barrier
            waiting.append(event.sender)
        if server.steps > steps:
            steps += 1
            for node in waiting:
                answered[node] = steps
            waiting = []
    heard = int((training.run.schedule.nodes == K).sum()) - 1  # it has started, too
    assert heard == sum(worker.updates for worker in training.workers) > 2 * K and not list(training.run.under_way())
    assert gap(training, KINDS[seed % 3]) > -1e-12


def cocoa(kind: str, gamma: float, steps: int, rounds: int, k: int = K) -> tuple[Array, Array]:
    """w and alpha of CoCoA+ in lockstep, as its paper says it; of SDCA with one node and gamma = 1."""
    A, y = data(k)
    n, safe = k * M, gamma * k
    alpha, w = np.zeros((k, M)), np.zeros(D)
    for t in range(rounds):
        changes = np.zeros_like(alpha)
        for node in range(k):
            for i in generator(2, "dual steps", node, t).integers(M, size=steps):
                x = A[node, i]
                point = w + safe * (changes[node] @ A[node]) / (L2 * n)
                before = alpha[node, i] + changes[node, i]
                q = safe * x @ x / (L2 * n)
                changes[node, i] += best(kind, before, y[node, i], x @ point, q) - before
        alpha += gamma * changes
        w = image(alpha)
    return w, alpha


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("gamma", "k"), [(1.0, K), (1 / K, K), (1.0, 1)], ids=["cocoa+", "cocoa", "sdca"])
def test_special_cases(kind: str, gamma: float, k: int) -> None:
    clock = SimulatedClock(0.01, 1e-3, 1e5, exponential_seconds=0.01)
    training = Training(Acpd(group=k), Sdca(steps=9, gamma=gamma), kind, clock=clock, k=k, steps=6).all()
    w, alpha = cocoa(kind, gamma, steps=9, rounds=6, k=k)
    assert np.abs(training.server.w[0].numpy() - w).max() <= 1e-12
    assert np.abs(training.dual - alpha).max() <= 1e-12
    assert training.server.steps == 6 and np.linalg.norm(w) > 0.3


@pytest.mark.parametrize("keep", [None, TopK(fraction=1.0)], ids=["dense", "all"])
def test_a_group_of_all_gives_each_node_the_model_and_their_gap_is_the_gap(keep: TopK | None) -> None:
    training = Training(Acpd(group=K, compressor=keep), Sdca(steps=5), "logistic", steps=6)
    asked: Array | None = None
    for event in training.run.events():
        if event.kind == "message" and event.node < K:
            np.testing.assert_allclose(training.workers[event.node].w, training.server.w, rtol=0, atol=1e-15)
        if event.kind == "message" and training.server.steps == 5 and asked is None:
            asked = gap(training, "logistic")
    told = [worker.report()["duality_gap"] for worker in training.workers]
    assert np.mean(told) == pytest.approx(asked, rel=1e-11)


def test_all_entries_kept_are_the_same_as_a_group_of_all_without_a_compressor() -> None:
    clock = SimulatedClock(0.01, 1e-3, 1e15, exponential_seconds=0.01)  # so that the order is the same
    compressors = None, TopK(fraction=1.0)
    dense, all_ = (Training(Acpd(K, compressor=c), Sdca(5), "hinge", clock=clock).all() for c in compressors)
    assert torch.equal(dense.run.models(), all_.run.models())


def scikit_learn(kind: str) -> Array:
    """The minimiser of the primal problem, as that library finds it."""
    from sklearn import linear_model, svm

    features, labels = (each.reshape(K * M, -1).squeeze() for each in data())
    options: dict[str, Any] = {"fit_intercept": False, "tol": 1e-10}
    models = {
        "half square": linear_model.Ridge(alpha=L2 * K * M, **options),
        "logistic": linear_model.LogisticRegression(C=1 / (L2 * K * M), **options),
        "hinge": svm.LinearSVC(loss="hinge", C=1 / (L2 * K * M), max_iter=1_000_000, **options),
    }
    return np.asarray(models[kind].fit(features, labels).coef_).reshape(-1)


@pytest.mark.parametrize(("kind", "seconds"), [("half square", 2.5), ("logistic", 2.0), ("hinge", 7.0)])
def test_the_gap_closes_at_the_solution_of_scikit_learn(kind: str, seconds: float) -> None:
    training = Training(Acpd(group=2, barrier=5, compressor=TopK(k=5)), Sdca(steps=3 * M), kind, steps=400)
    training.run.run(until=0.3)
    assert gap(training, kind) > 1e-4
    training.run.run(until=seconds)
    assert 0 <= gap(training, kind) <= 1e-6
    assert np.mean([worker.report()["duality_gap"] for worker in training.workers]) <= 2e-6
    wanted = scikit_learn(kind)
    assert np.abs(training.server.w[0].numpy() - wanted).max() < 2e-3
    assert primal(kind, training.server.w[0].numpy()) == pytest.approx(primal(kind, wanted), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_recorded_run_is_replayed_to_the_same_bits(kind: str) -> None:
    method, oracle = Acpd(2, 3, TopK(k=5)), Sdca(5, gamma=0.5)
    training = Training(method, oracle, kind).all()
    again = Training(method, oracle, kind)
    replay = ReplayDriver(again.run.programs, with_hubs(ring(K), 1, 1), again, training.run.schedule, seed=1)
    replay.run()
    assert torch.equal(replay.models(), training.run.models())
    assert np.array_equal(again.dual, training.dual) and training.dual.any()


def test_a_run_records_the_gap() -> None:
    method, clock = Acpd(group=K), SimulatedClock(0.01, 1e-3, 1e6)
    found = gossip.run(problem("hinge"), ring(K), method, oracle=Sdca(M), steps=60, clock=clock, output=None)
    gaps = [record["duality_gap"] for record in found.history[1:]]
    assert "duality_gap" not in found.history[0] and gaps[0] > 0.01 > 2e-3 > gaps[-1] > 0
    best = primal("hinge", scikit_learn("hinge"))
    assert all(record["test_loss"] - best <= gap * 1.5 for record, gap in zip(found.history[2:], gaps[1:], strict=True))
    with pytest.raises(ValueError, match="Acpd takes dual updates, and Full gives gradients"):
        gossip.run(problem("hinge"), ring(K), method, steps=1, clock=clock, output=None)
    with pytest.raises(UsageError, match="Sdca: Averaging gives no dual problem"):
        gossip.run(Averaging(), ring(K), method, oracle=Sdca(), steps=1, clock=clock, output=None)
    elsewhere = torch.ones(problem("hinge").layout.d)
    with pytest.raises(UsageError, match=r"Sdca: the start must be 0, .*; leave it out"):
        gossip.run(problem("hinge"), ring(K), method, oracle=Sdca(), steps=1, start=elsewhere, clock=clock, output=None)
    with pytest.raises(ValueError, match="DecentralizedSGD takes gradients, and Sdca gives dual updates"):
        gossip.run(problem("hinge"), ring(K), DecentralizedSGD(), oracle=Sdca(), steps=1, output=None)


def test_what_travels_is_sparse() -> None:
    def sent(compressor: TopK | None, answers: TopK | None = None) -> tuple[float, float]:
        traffic = Training(Acpd(2, 5, compressor, answers), Sdca(5), "half square").all().run.traffic
        per = (traffic.bytes / traffic.messages).tolist()
        return float(np.mean(per[:K])), per[K]

    up, down = sent(None)
    assert up == down >= 8 * D
    sparse_up, sparse_down = sent(TopK(k=2))
    assert sparse_up < 0.3 * up and sparse_down < 0.8 * down
    assert sent(TopK(k=2), TopK(k=2))[1] < sparse_down


def test_a_lost_node_is_not_waited_for() -> None:
    training = Training(Acpd(group=K), Sdca(5), "half square", steps=6)
    server, sent = training.server, []

    class Context:
        node, neighbors = K, (0, 1, 2)

        def send(self, to: int, value: torch.Tensor, kind: str = "") -> None:
            sent.append(to)

    context: Any = Context()
    for sender in (0, 3, 2):
        server.on_message(sender, torch.ones(1, D, dtype=torch.float64), "", context)
    server.on_lost(3, [], context)
    assert sent == []
    server.on_message(1, torch.ones(1, D, dtype=torch.float64), "", context)
    assert sent == [0, 2, 1] and server.steps == 1
    server.on_message(1, torch.ones(1, D, dtype=torch.float64), "", context)
    server.on_lost(0, [], context)
    server.on_lost(2, [], context)
    assert sent == [0, 2, 1, 1]
    worker, context.neighbors = training.workers[0], ()
    worker.on_gradient(training([0], worker.w, [0]), context)
    assert sent == [0, 2, 1, 1] and worker.residual.any()


def test_what_does_not_fit_is_refused() -> None:
    graph, x = with_hubs(ring(4), 1, 1), torch.zeros(5, 3)
    with pytest.raises(ValueError, match="Acpd: group = 5 is not allowed; it must be at most 4, the number of nodes"):
        Acpd(group=5).programs(graph, range(5), x)
    for options in ({"group": 0}, {"barrier": 0}, {"sigma": 0.0}):
        with pytest.raises(ValueError, match=f"Acpd: {next(iter(options))} = 0.* is not allowed"):
            Acpd(**options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Acpd takes dual updates, and Full gives gradients; the oracle must be Sdca"):
        Acpd().check_oracle(Full())
    with pytest.raises(ValueError, match=r"Acpd: sigma = 1.0 is not allowed; it must be that of the oracle, 0.5"):
        Acpd().check_oracle(Sdca(sigma=0.5))
    with pytest.raises(ValueError, match="AdPsgd takes gradients, and Sdca gives dual updates"):
        AdPsgd().check_oracle(Sdca())
    AdPsgd(compressor=QSGD()).check_oracle(Full())
