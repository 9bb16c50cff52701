"""FedAvg, and what all federated methods share: sampling, weights, local optimizers, traffic."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch

import gossip
from algorithms import (
    SGD,
    AdamW,
    AdditiveNoise,
    Clars,
    FedAdam,
    FedAvg,
    Federated,
    FedMom,
    FedNova,
    FedProx,
    FedYogi,
    Full,
    LocalOptimizer,
    LooplessSvrg,
    Minibatch,
    Oracle,
    ResidualSGD,
    Saga,
    Sample,
    Scaffold,
    Svrg,
    ZerothOrder,
)
from algorithms.federated.sampling import Sampling, Weighting
from gossip import workloads
from tests.algorithms.federated.literal import (
    RATE,
    SERVER_RATE,
    STEPS,
    Weights,
    assert_serves,
    drawn,
    everyone,
    rounds,
    sample_at,
)
from tests.algorithms.helpers import Array, LeastSquares, common, least_squares, network_of, run, starts, with_rows
from topologies import Topology, exponential, ring, with_servers

N = 6
SIZES = (3.0, 1.0, 4.0, 1.0, 5.0, 9.0)
METHODS = [FedAvg(), FedProx(), FedMom(), FedAdam(), FedYogi(), FedNova(), Scaffold()]


def fed_avg(problem: LeastSquares, w: Array, local_steps: int, p: Weights, steps: int = STEPS) -> Array:
    return rounds(problem, w, local_steps, p, lambda w, delta, r: w + SERVER_RATE(r) * delta, steps)


@pytest.mark.parametrize("local_steps", [1, 4, 7])
@pytest.mark.parametrize("n", [N, 13])
def test_literal_equations(n: int, local_steps: int) -> None:
    problem = least_squares(n)
    x = starts(problem)
    algorithm = FedAvg(RATE, SERVER_RATE, local_steps)
    models = run(algorithm, ring(n), problem, x, STEPS).models
    assert_serves(models, fed_avg(problem, x.mean(axis=0), local_steps, everyone(n)))


@pytest.mark.parametrize("weighting", ["sampled", "all", "unbiased"])
@pytest.mark.parametrize("sampling", ["uniform", "proportional", "independent"])
@pytest.mark.parametrize(("participation", "clients"), [(2, 2), (0.5, 3), (1.0, N)])
def test_sampled_clients(participation: float, clients: int, sampling: str, weighting: str) -> None:
    problem = least_squares(N)
    x = starts(problem)
    options: dict[str, Any] = {"participation": participation, "sampling": sampling, "weighting": weighting}
    algorithm = FedAvg(RATE, SERVER_RATE, 4, weights=SIZES, **options)
    models = run(algorithm, ring(N), problem, x, STEPS).models
    p = drawn(SIZES, clients, sampling, weighting)
    if (participation, sampling) != (1.0, "proportional") and clients == N:
        np.testing.assert_allclose(p(3), np.array(SIZES) / sum(SIZES), rtol=1e-14)
    assert_serves(models, fed_avg(problem, x.mean(axis=0), 4, p))


@pytest.mark.parametrize("server", ["node", "replicated"])
@pytest.mark.parametrize("optimizer", [SGD(0.5), ResidualSGD(0.5)], ids=str)
def test_absent_clients_neither_train_nor_count(optimizer: LocalOptimizer, server: Any) -> None:
    problem = least_squares(N)
    algorithm = FedAvg(lr=0.05, local_steps=3, participation=2, optimizer=optimizer, server=server)
    network = network_of(with_servers(ring(N), algorithm.servers))
    x = torch.tensor(with_rows(common(problem), algorithm.servers))
    state, poisoned = (algorithm.start(x, network) for _ in range(2))
    p = drawn((1.0,) * N, 2, "uniform", "sampled")
    for step in range(12):
        absent = p(step // 3) == 0
        assert absent.sum() == N - 2
        assert algorithm.idle(state, network) == np.flatnonzero(absent).tolist()
        sample, before = sample_at(problem, state.x), state.x[:N].clone()
        algorithm.step(state, sample, network)
        sample.gradient[:N][absent] = torch.nan
        round_before = network.round
        algorithm.step(poisoned, sample, network)
        assert network.round == round_before
        network.finish_step()
        state.step, poisoned.step = step + 1, step + 1
        assert torch.equal(state.x, poisoned.x)
        if (step + 1) % 3:
            assert torch.equal(state.x[:N][absent], before[absent])
            assert not torch.equal(state.x[:N][~absent], before[~absent])
    assert torch.isfinite(state.x).all()


def test_weights_are_the_clients_votes() -> None:
    problem = least_squares(N)
    alone = run(
        FedAvg(0.05, local_steps=3, weights=(0.0, 0.0, 1.0, 0.0, 0.0, 0.0)), ring(N), problem, common(problem), 9
    )
    only = LeastSquares(problem.A[2:3], problem.b[2:3])
    wanted = run(FedAvg(0.05, local_steps=3), ring(1), only, common(problem)[:1], 9)
    np.testing.assert_allclose(alone.models[:, 0], wanted.models[:, 0], rtol=1e-12)


def test_a_run_knows_the_numbers_of_examples() -> None:
    random = np.random.default_rng(0)
    workload = workloads.LogisticRegression(
        random.normal(size=(60, 3)), random.integers(2, size=60), split=workloads.Dirichlet(0.5)
    )
    counts = [workload.shard(4, 0).examples(node) for node in range(4)]
    assert len(set(counts)) > 1

    def model(weights: Any) -> torch.Tensor:
        algorithm = FedAvg(0.5, local_steps=2, participation=3, weights=weights)
        return gossip.run(workload, ring(4), algorithm, oracle=Full(), steps=6, output=None).model

    assert torch.equal(model("examples"), model(tuple(map(float, counts))))
    assert not torch.equal(model("examples"), model("equal"))


@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_the_network_does_not_matter_and_rounds_of_a_replicated_server_are_counted(method: Federated) -> None:
    problem = least_squares(N)
    algorithm = replace(method, lr=0.05, local_steps=4, server="replicated")
    first, second = (run(algorithm, each, problem, starts(problem), 14) for each in (ring(N), exponential(N)))
    np.testing.assert_array_equal(first.models, second.models)
    assert first.rounds == 1 + 3
    means = 1 + (6 if isinstance(method, Scaffold) else 3)
    edges = 2 * (N - 1)  # up the tree and down
    assert first.messages.sum() == means * edges
    assert first.bytes.sum() == means * problem.d * edges * 8


@pytest.mark.parametrize("weighting", ["sampled", "all"])
@pytest.mark.parametrize("sampling", ["uniform", "proportional", "independent"])
@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_only_those_that_take_part_send_to_the_server_and_hear_it(
    method: Federated, sampling: Sampling, weighting: Weighting
) -> None:
    problem = least_squares(N)
    algorithm = replace(
        method, lr=0.05, local_steps=4, participation=2, sampling=sampling, weighting=weighting, weights=SIZES
    )
    result = run(algorithm, ring(N), problem, starts(problem), 14)
    p = drawn(SIZES, 2, sampling, weighting)
    vectors = 2 if isinstance(method, Scaffold) else 1
    up = 1 + vectors * sum((p(r) > 0).astype(int) for r in range(3))  # all clients send where they start
    down = vectors * sum((p(r) > 0).sum() for r in range(4))
    assert 0 < down < 4 * vectors * N
    assert result.messages.tolist() == [*up.tolist(), down]
    assert result.bytes.tolist() == [8 * problem.d * sent for sent in [*up.tolist(), down]]
    assert result.rounds == 1 + 3
    replicated = run(algorithm.replicated(), exponential(N), problem, starts(problem), 14)
    np.testing.assert_array_equal(result.models, replicated.models)
    np.testing.assert_array_equal(result.points, replicated.points)


def test_bytes_of_a_run_are_those_of_clients_and_server() -> None:
    arguments: dict[str, Any] = {"steps": 12, "output": None, "evaluate_every": 3}
    algorithm = FedAvg(0.05, local_steps=3, participation=2)
    single = torch.zeros(5, dtype=torch.float32)
    for start, size in ((None, 8), (single, 4)):
        result = gossip.run(counted(), ring(N), algorithm, start=start, **arguments)
        assert result.model.shape == (N, 5)
        for round_, record in enumerate(result.history):
            vectors = N + 2 + round_ * (2 + 2)
            assert record["bytes_sent_per_node"] * (N + 1) == pytest.approx(vectors * 5 * size, rel=1e-14)
            assert record["messages_sent_per_node"] * (N + 1) == pytest.approx(vectors, rel=1e-14)
        assert result.summary["nodes"] == N


@pytest.mark.filterwarnings("error")
def test_the_mixing_matrix_may_be_any() -> None:
    random = np.random.default_rng(0)
    workload = workloads.LeastSquares(random.normal(size=(N, 8, 4)), random.normal(size=(N, 8)))
    graph = nx.star_graph(N - 1)
    for topology in (Topology(graph, weights="uniform"), Topology(graph, weights="push")):
        assert not topology.doubly_stochastic
        gossip.run(workload, topology, FedAvg(local_steps=2), steps=2, output=None)


def test_one_local_step_of_everyone_is_gradient_descent() -> None:
    problem = least_squares(N)
    w = common(problem)[0]
    models = run(FedAvg(0.1, 0.5, 1), ring(N), problem, common(problem), 50).models
    for t in range(50):
        w = w - 0.05 * problem.gradient(np.tile(w, (N, 1))).mean(axis=0)
        assert np.abs(models[t + 1] - w).max() <= 1e-12


def test_the_bias_is_that_of_the_formula() -> None:
    # Client k returns x_k* + (I - lr A_k)^H (w - x_k*), so at the limit sum_k (I - (I - lr A_k)^H)(w - x_k*) = 0.
    problem = least_squares(N)
    lr, H = 0.2, 5
    final = run(FedAvg(lr, local_steps=H), ring(N), problem, starts(problem), 3000).final
    moves = [np.eye(problem.d) - np.linalg.matrix_power(np.eye(problem.d) - lr * A, H) for A in problem.hessians]
    optima = [np.linalg.solve(A, b) for A, b in zip(problem.hessians, problem.slopes, strict=True)]
    limit = np.linalg.solve(sum(moves), sum(M @ x for M, x in zip(moves, optima, strict=True)))
    assert np.abs(final - limit).max() <= 1e-9
    assert np.abs(limit - problem.optimum).max() > 1e-2


def test_local_optimizers_start_anew_in_each_round() -> None:
    problem = least_squares(N)
    w = common(problem)[0]
    algorithm = FedAvg(0.05, local_steps=3, optimizer=AdamW(weight_decay=0.1))
    models = run(algorithm, ring(N), problem, common(problem), 12).models
    for r in range(4):
        clients = [torch.tensor(w, requires_grad=True) for _ in range(N)]
        optimizers = [torch.optim.AdamW([u], lr=0.05, weight_decay=0.1) for u in clients]
        for _ in range(3):
            gradients = problem.gradient(np.stack([u.detach().numpy() for u in clients]))
            for u, optimizer, gradient in zip(clients, optimizers, gradients, strict=True):
                u.grad = torch.tensor(gradient)
                optimizer.step()
        w = np.mean([u.detach().numpy() for u in clients], axis=0)
        assert np.abs(models[3 * (r + 1)] - w).max() <= 1e-12


def test_clients_return_the_model_of_their_optimizer() -> None:
    problem = least_squares(N)
    final = run(FedAvg(0.05, local_steps=2, optimizer=ResidualSGD(0.5)), ring(N), problem, common(problem), 2).final
    x = common(problem)
    first = x - 0.05 * problem.gradient(x)
    second = first - 0.05 * problem.gradient(first)
    average = 0.5 * (0.5 * x + 0.5 * first) + 0.5 * second
    assert np.abs(final - average.mean(axis=0)).max() <= 1e-12


BAD = [
    ({"lr": 0}, "lr = 0 "),
    ({"server_lr": 0.0}, "server_lr = 0.0 "),
    ({"local_steps": 0}, "local_steps = 0 "),
    ({"participation": 0}, "participation = 0 "),
    ({"participation": 0.0}, "participation = 0.0 "),
    ({"participation": 1.5}, "participation = 1.5 "),
    ({"sampling": "random"}, "sampling = 'random' "),
    ({"weighting": "none"}, "weighting = 'none' "),
    ({"weights": (0.0, 0.0)}, "weights = (0.0, 0.0) "),
    ({"weights": (1.0, -1.0)}, "weights = (1.0, -1.0) "),
    ({"weights": "sizes"}, "weights = 'sizes' "),
    ({"optimizer": Clars()}, "optimizer = Clars("),
    ({"client_steps": (1, 11)}, "client_steps = (1, 11) "),
    ({"client_steps": (1, 0)}, "client_steps = (1, 0) "),
    ({"candidates": 2}, "candidates = 2 "),
    ({"server": "none"}, "server = 'none' "),
    ({"sampling": "power-of-choice"}, "candidates = None "),
    ({"sampling": "power-of-choice", "weighting": "unbiased", "candidates": 2}, "weighting = 'unbiased' "),
]


@pytest.mark.parametrize(("options", "says"), BAD, ids=[says for _, says in BAD])
def test_refusals(options: dict[str, Any], says: str) -> None:
    for method in METHODS:
        with pytest.raises(ValueError) as raised:
            type(method)(**options)
        assert str(raised.value).startswith(f"{type(method).__name__}: {says}")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"participation": 7}, "FedAvg: participation = 7 of 6 clients"),
        ({"weights": (1.0, 2.0)}, "FedAvg: there are 2 weights for 6 clients"),
        ({"client_steps": (1, 2)}, "FedAvg: there are 2 client_steps for 6 clients"),
        ({"sampling": "power-of-choice", "participation": 3, "candidates": 2}, r"candidates = 2 .* in \[3, 6\]"),
        (
            {"sampling": "power-of-choice", "participation": 1, "candidates": 6, "weights": (1.0, 0, 1, 1, 1, 1)},
            r"candidates = 6 .* in \[1, 5\]",
        ),
        ({"weights": "examples"}, "FedAvg: weights = 'examples' is for runs; give the numbers here"),
    ],
)
def test_refusals_at_the_start(options: dict[str, Any], says: str) -> None:
    problem = least_squares(N)
    with pytest.raises(ValueError, match=says):
        run(FedAvg(**options), ring(N), problem, starts(problem), 1)


class Counted(workloads.LeastSquares):
    """Counts how often a node's gradient is computed."""

    def gradient(self, x: torch.Tensor, nodes: Any, examples: torch.Tensor | None = None) -> Sample:
        self.computed = getattr(self, "computed", 0) + len(nodes)
        return super().gradient(x, nodes, examples)


def counted() -> Counted:
    random = np.random.default_rng(0)
    return Counted(random.normal(size=(N, 12, 5)), random.normal(size=(N, 12)))


@pytest.mark.parametrize(
    ("algorithm", "used"),
    [
        (FedAvg(0.05, local_steps=3, participation=2), 12 * 2),
        (FedMom(0.05, local_steps=3, participation=1, weighting="unbiased", optimizer=AdamW()), 12),
        (FedAvg(0.05, local_steps=3, participation=2, sampling="power-of-choice", candidates=4), 4 * (4 + 2 * 2)),
        (FedNova(0.05, local_steps=3, client_steps=(1, 2, 3, 3, 1, 2)), 4 * 12),
        (Scaffold(0.05, local_steps=3, participation=4), 12 * 4),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("oracle", [Full(), Minibatch(5), ZerothOrder(Minibatch(5)), AdditiveNoise(deviation=0.1)])
def test_gradients_that_nobody_needs_are_not_computed(algorithm: Federated, used: int, oracle: Oracle) -> None:
    def train(evaluate_every: int) -> tuple[gossip.Result, int]:
        workload = counted()
        result = gossip.run(
            workload, ring(N), algorithm, oracle=oracle, steps=12, evaluate_every=evaluate_every, output=None
        )
        return result, getattr(workload, "computed", 0)

    (always, all_), (seldom, few) = train(1), train(12)
    assert torch.equal(always.model, seldom.model)
    if not isinstance(oracle, ZerothOrder):
        needed_at_first = 4 if algorithm.candidates else N if algorithm.client_steps else algorithm.participation
        assert (all_, few) == (13 * N, used - needed_at_first + 2 * N)  # everyone's at the start and at the end
    name, each = ("gradients", 5 if isinstance(oracle, Minibatch) else 12)
    if isinstance(oracle, ZerothOrder):
        name, each = "queries", 2 * 5 * 5
    assert always.summary[f"{name}_per_node"] == pytest.approx(each * used / N)
    last, same = ({**result.history[-1], "seconds": 0} for result in (always, seldom))
    assert last == same


@pytest.mark.parametrize("oracle", [Saga(2), Svrg(2), LooplessSvrg(2)], ids=str)
def test_oracles_that_remember_see_every_iteration_of_a_client(oracle: Oracle) -> None:
    algorithm = FedAvg(0.05, local_steps=3, participation=2)
    arguments: dict[str, Any] = {"oracle": oracle, "steps": 12, "output": None}
    always, seldom = (gossip.run(counted(), ring(N), algorithm, evaluate_every=each, **arguments) for each in (1, 12))
    assert torch.equal(always.model, seldom.model)
    assert always.summary["gradients_per_node"] == seldom.summary["gradients_per_node"]
