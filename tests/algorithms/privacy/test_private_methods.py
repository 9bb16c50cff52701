"""DP-FedAvg, DP-FTRL and noisy messages against literal rounds, their noise against its law, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from algorithms import (
    DPFTRL,
    AdaptiveClipping,
    Algorithm,
    Attacked,
    ChocoSGD,
    DecentralizedSGD,
    Delivery,
    DiscreteGaussianMechanism,
    DPFedAvg,
    FedAvg,
    LeaderSGD,
    Method,
    Network,
    NoisyMessages,
    Sample,
    SignSGD,
    SineAvailability,
    State,
)
from algorithms.randomness import generator
from algorithms.robust import RobustSGD
from tests.algorithms.federated.literal import assert_serves, drawn
from tests.algorithms.helpers import Array, LeastSquares, dense, least_squares, network_of, run, starts
from tests.cases import FAMILIES, NODES, table
from topologies import ring, with_servers

N, STEPS, LR = 8, 12, 0.05


def clip(v: Array, bound: float) -> Array:
    return v * min(1.0, bound / np.linalg.norm(v)) if v.any() else v


def normal(purpose: str, size: int, *counters: int) -> Array:
    return generator(0, purpose, *counters).standard_normal(size)


def trained(problem: LeastSquares, w: Array, steps: int = 2) -> Array:
    """(K, d): w - u_k after local steps."""
    U = np.tile(w, (problem.n, 1))
    for _ in range(steps):
        U = U - LR * problem.gradient(U)
    return w - U


@pytest.mark.parametrize("server", ["node", "replicated"])
@pytest.mark.parametrize("sampling", ["independent", "uniform"])
def test_dp_fed_avg(sampling: Any, server: Any) -> None:
    problem, bound, z, sizes = least_squares(N), 0.4, 0.3, (1.0, 2.0, 3.0, 1.0, 1.0, 2.0, 1.0, 1.0)
    algorithm = DPFedAvg(LR, 0.8, 2, 4, sampling, weights=sizes, clip=bound, noise_multiplier=z, server=server)
    models = run(algorithm, ring(N), problem, starts(problem), STEPS).models
    shares, w = np.array(sizes) * N / sum(sizes), starts(problem).mean(axis=0)
    weights, wanted = drawn(sizes, 4, sampling, "unbiased"), [w]
    for r in range(STEPS // 2):
        inside, delta = weights(r) > 0, trained(problem, w)
        total = sum(shares[k] * clip(delta[k], bound) for k in np.flatnonzero(inside))
        w = w - 0.8 / 4 * (total + z * bound * shares.max() * normal("privacy noise", problem.d, r))
        wanted += [wanted[-1], w]
    assert_serves(models, np.stack(wanted))


def test_without_noise_and_clipping_it_is_fed_avg() -> None:
    problem = least_squares(N)
    common: dict[str, Any] = {"lr": LR, "local_steps": 2, "participation": 3}
    private = DPFedAvg(**common, clip=math.inf, noise_multiplier=0.0)
    plain = FedAvg(**common, sampling="independent", weighting="unbiased")
    found, wanted = (run(each, ring(N), problem, starts(problem), STEPS).models for each in (private, plain))
    assert np.abs(found - wanted).max() < 1e-12


def still(algorithm: Algorithm, d: int, steps: int) -> Array:
    """(steps, d): the models of the first node, from 0 and with gradients that are 0."""
    network = network_of(with_servers(ring(N), algorithm.servers))
    state = algorithm.start(torch.zeros(network.n, d, dtype=torch.float64), network)
    network.finish_step()
    models = []
    for _ in range(steps):
        algorithm.advance(state, Sample(torch.zeros_like(state.x), state.x[:, 0]), network)
        with network.unrecorded():
            algorithm.spread(state, network)
        models.append(algorithm.model(state)[0].numpy().copy())
    return np.stack(models)


@pytest.mark.parametrize("discrete", [False, True])
def test_the_noise_of_a_round_has_its_variance(discrete: bool) -> None:
    d, bound, z, step = 4000, 0.5, 2.0, 0.01
    mechanism = {"mechanism": DiscreteGaussianMechanism(step)} if discrete else {}
    algorithm = DPFedAvg(LR, 1.0, 1, 5, clip=bound, noise_multiplier=z, **mechanism)  # type: ignore[arg-type]
    noise = 5 * still(algorithm, d, 2)
    for some in (noise[0], noise[1] - noise[0]):
        assert abs(np.mean(some**2) / (z * bound) ** 2 - 1) < 5 * math.sqrt(2 / d)
        assert not discrete or np.allclose(some / step, np.round(some / step), atol=1e-6)


def test_one_client_changes_a_sum_by_no_more_than_the_norm() -> None:
    problem = least_squares(N)
    other = LeastSquares(problem.A.copy(), problem.b.copy())
    other.A[3] *= 50
    algorithm = DPFedAvg(LR, 1.0, 1, 1.0, clip=0.2, noise_multiplier=0.0)
    first, second = (run(algorithm, ring(N), each, starts(problem), 1).final[0] for each in (problem, other))
    assert 0.2 / N < np.linalg.norm(first - second) <= 2 * 0.2 / N + 1e-12


@pytest.mark.parametrize("server", ["node", "replicated"])
def test_the_norm_follows_its_quantile(server: Any) -> None:
    problem, z = least_squares(N), 0.5
    adaptive = AdaptiveClipping(quantile=0.4, rate=0.3, deviation=0.6)
    algorithm = DPFedAvg(LR, 1.0, 2, 1.0, clip=0.1, noise_multiplier=z, adaptive=adaptive, server=server)
    found = run(algorithm, ring(N), problem, starts(problem), STEPS)
    w, bound, multiplier = starts(problem).mean(axis=0), 0.1, (z**-2 - 1.2**-2) ** -0.5
    for r in range(STEPS // 2):
        delta = trained(problem, w)
        total = sum(clip(row, bound) for row in delta) + multiplier * bound * normal("privacy noise", problem.d, r)
        kept = sum((np.linalg.norm(row) <= bound) - 0.5 for row in delta)
        share = 0.5 + (kept + 0.6 * normal("privacy noise of a count", 1, r)[0]) / N
        w, bound = w - total / N, bound * math.exp(-0.3 * (share - 0.4))
    assert np.abs(found.final[0] - w).max() < 1e-10
    assert found.state.clip == pytest.approx(bound, rel=1e-12) and bound > 0.13  # type: ignore[attr-defined]


def test_dp_ftrl() -> None:
    problem, bound, z, momentum = least_squares(N), 0.4, 0.3, 0.5
    algorithm = DPFTRL(LR, 0.8, 2, 2, clip=bound, noise_multiplier=z, momentum=momentum)
    steps = 2 * 11  # rounds of trees with 4 steps each
    models = run(algorithm, ring(N), problem, starts(problem), steps).models

    def prefix(tree: int, t: int) -> Array:
        """Its noise, by hand: of 3 steps that of the first two together and that of the third."""
        vertices = {0: [], 1: [(0, 0)], 2: [(1, 0)], 3: [(1, 0), (0, 2)], 4: [(2, 0)]}[t]
        return sum((normal("tree noise", problem.d, tree, *vertex) for vertex in vertices), np.zeros(problem.d))

    w, wanted, seen = starts(problem).mean(axis=0), [], []
    start, sums, noise, before = w, np.zeros(problem.d), np.zeros(problem.d), np.zeros(problem.d)
    velocity = np.zeros(problem.d)
    wanted.append(w)
    for r in range(11):
        tree, place = divmod(r, 4)
        chosen = generator(0, "clients of an epoch", tree).permutation(N)[2 * place : 2 * place + 2]
        seen += chosen.tolist()
        sums = sums + sum(clip(row, bound) for row in trained(problem, w)[chosen])
        if not place:
            before = noise
        noise = before + bound * z * prefix(tree, place + 1)
        velocity = momentum * velocity + (sums + noise)  # as the paper has it: of the sums, not of what they grow by
        w = start - 0.8 / 2 * velocity
        wanted += [wanted[-1], w]
    assert sorted(seen[:N]) == list(range(N))
    assert_serves(models, np.stack(wanted))


def test_noisy_messages_of_decentralized_sgd() -> None:
    problem, bound, z = least_squares(N), 1.5, 0.1
    algorithm = NoisyMessages(DecentralizedSGD(lr=LR, period=2), clip=bound, noise_multiplier=z)
    found = run(algorithm, ring(N), problem, starts(problem), STEPS)
    X, W = starts(problem), dense(ring(N))
    for t in range(STEPS):
        X = X - LR * problem.gradient(X)
        if t % 2:
            sent = [clip(X[i], bound) + z * bound * normal("noise of messages", problem.d, i, t // 2) for i in range(N)]
            X = W @ np.stack(sent)
    assert np.abs(found.final - X).max() < 1e-10
    assert found.state.sent.tolist() == [STEPS // 2] * N  # type: ignore[attr-defined]


class Twice(Algorithm[State]):
    """What is left of a vector that is averaged twice in a step."""

    def step(self, state: State, sample: Sample, network: Network) -> None:
        state.x = network.mix(sample.gradient) - network.mix(sample.gradient)


def test_each_exchange_of_a_step_has_noise_of_its_own() -> None:
    first, second = still(NoisyMessages(Twice(), noise_multiplier=3.0), 4000, 2)
    for left in (first, second, (first - second) / math.sqrt(2)):
        assert abs(np.mean(left**2) / (2 * 3 * 9 / 9) - 1) < 5 * math.sqrt(2 / 4000)


def test_only_clients_that_take_part_are_counted_and_a_server_adds_nothing() -> None:
    problem = least_squares(N)
    plain = FedAvg(lr=LR, local_steps=2, participation=3)
    noisy = NoisyMessages(plain, clip=1e6, noise_multiplier=0.0)
    found, wanted = (run(each, ring(N), problem, starts(problem), STEPS) for each in (noisy, plain))
    assert (found.models == wanted.models).all() and (found.bytes == wanted.bytes).all()
    counts = found.state.sent.tolist()  # type: ignore[attr-defined]
    assert sum(counts) == 3 * STEPS // 2 and counts[N] == 0 and len({*counts}) > 1


def test_rows_that_all_ranks_read_are_noised_too() -> None:
    method = NoisyMessages(RobustSGD(lr=LR, server="replicated", momentum=0.0), clip=0.5, noise_multiplier=0.1)
    problem = least_squares(N)
    found = run(method, ring(N), problem, starts(problem), 3)
    assert found.state.sent.tolist() == [3] * N  # type: ignore[attr-defined]


@pytest.mark.parametrize("family", FAMILIES)
def test_whatever_is_not_refused_sends_vectors_alone(family: str) -> None:
    tried = 0
    for name, case in table(family).items():
        try:
            noisy = NoisyMessages(case.algorithm, clip=100.0, noise_multiplier=1e-6)
        except ValueError:
            continue
        if "examples" in name or "nuclear" in name:  # which need a certain workload
            continue
        network = network_of(with_servers(case.topology(NODES), noisy.servers))
        state = noisy.start(torch.ones(network.n, 10, dtype=torch.float64), network)
        network.finish_step()
        for _ in range(8):
            noisy.post(state, network)
            noisy.advance(state, Sample(state.x - 2.0, state.x[:, 0]), network)
        tried += bool(state.exchanges)
    assert tried or family in ("compressed", "error_feedback", "privacy")  # of which all are refused


@pytest.mark.parametrize(
    ("make", "given", "message"),
    [
        (DPFedAvg, {"sampling": "proportional"}, "sampling = 'proportional' .* not known how much they amplify"),
        (
            DPFedAvg,
            {"sampling": "power-of-choice", "candidates": 3, "participation": 2},
            "(weighting = 'unbiased'|sampling = 'power-of-choice')",
        ),
        (DPFedAvg, {"weighting": "sampled"}, "weighting = 'sampled' .* fixed denominator"),
        (DPFedAvg, {"noise_multiplier": -1.0}, "noise_multiplier = -1.0"),
        (DPFedAvg, {"clip": math.inf}, "clip = inf"),
        (DPFedAvg, {"delta": 0.0}, "delta = 0.0"),
        (
            DPFedAvg,
            {"weights": (1.0, 2.0), "mechanism": DiscreteGaussianMechanism()},
            r"weights = \(1.0, 2.0\) .* equal with discrete noise",
        ),
        (DPFedAvg, {"delivery": Delivery(dropout=0.2)}, "delivery = .* what is spent where clients come and go"),
        (DPFTRL, {"delivery": Delivery(dropout=0.2)}, "delivery = .* not known what is spent"),
        (DPFTRL, {"availability": SineAvailability()}, "availability = .* not known what is spent"),
        (DPFTRL, {"sampling": "independent"}, "sampling = 'independent' .* left out"),
        (DPFTRL, {"weighting": "all"}, "weighting = 'all'"),
        (DPFTRL, {"momentum": 1.0}, "momentum = 1.0"),
        (NoisyMessages, {"algorithm": DPFedAvg()}, "neither private nor around another one"),
        (NoisyMessages, {"algorithm": Attacked(FedAvg())}, "neither private nor around another one"),
        (NoisyMessages, {"algorithm": ChocoSGD()}, "not compressed messages"),
        (NoisyMessages, {"algorithm": SignSGD()}, "not compressed messages"),
        (NoisyMessages, {"algorithm": LeaderSGD()}, "whose nodes tell no losses"),
        (AdaptiveClipping, {"quantile": 1.0}, "quantile = 1.0"),
        (DiscreteGaussianMechanism, {"step": 0.0}, "step = 0.0"),
    ],
    ids=range(20),
)
def test_what_is_refused(make: type[Method], given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**given)


def test_a_count_that_would_spend_everything_is_refused() -> None:
    algorithm = DPFedAvg(noise_multiplier=3.0, adaptive=AdaptiveClipping(deviation=1.0))
    with pytest.raises(ValueError, match=r"deviation = 1 is not allowed; it must be above noise_multiplier / 2 = 1.5"):
        run(algorithm, ring(N), least_squares(N), starts(least_squares(N)), 1)
