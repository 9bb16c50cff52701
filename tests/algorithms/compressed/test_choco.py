"""CHOCO on matrices that vary, and CHOCO-Gossip. Trajectories on static ones are in test_trajectories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from algorithms import (
    QSGD,
    ChocoGossip,
    ChocoSGD,
    Contraction,
    DecentralizedSGD,
    Identity,
    RandomK,
    SquarmSGD,
    StepDecay,
    TopK,
)
from tests.algorithms import reference
from tests.algorithms.helpers import ALL, Array, alternating, common, dense, flat, least_squares, run, starts
from topologies import Schedule, one_peer_exponential, randomized_gossip, ring

STEPS = 100
DECAY = StepDecay(lr=0.02, milestones=(30, 75), factor=0.4)
VARYING = {name: ALL[name] for name in ("one_peer_exponential-16", "one_peer_exponential-13")}
VARYING["alternating-12"] = alternating(12)


def literal(
    X: Array, move: Callable[[Array, int], Array], topology: Schedule, gamma: float, compress: Callable[[Array], Array]
) -> Array:
    """Each node has a copy of each node that it hears in round p of the period, updated when it does."""
    n, d = X.shape
    P = len(topology)
    hat = np.zeros((P, n, n, d))
    models = [X]
    for t in range(STEPS):
        X = move(X, t)
        W, p = dense(topology[t]), t % P
        for j in range(n):
            q = compress(X[j] - hat[p, j, j])
            for i in range(n):
                if i == j or W[i, j]:
                    hat[p, i, j] += q
        X = X + gamma * np.stack([W[i] @ (hat[p, i] - hat[p, i, i]) for i in range(n)])
        models.append(X)
    return np.stack(models)


@pytest.mark.parametrize("topology", VARYING.values(), ids=VARYING)
def test_literal_transcription_on_schedules(topology: Schedule) -> None:
    problem = least_squares(topology.n)
    x = starts(problem)
    got = run(ChocoSGD(lr=DECAY, gamma=0.3, compressor=TopK(k=2)), topology, problem, x, STEPS)
    rate = lambda t: 0.02 if t < 30 else 0.008 if t < 75 else 0.0032  # noqa: E731
    wanted = literal(x, lambda X, t: X - rate(t) * problem.gradient(X), topology, 0.3, lambda x: reference.top_k(x, 2))
    assert np.abs(got.models - wanted).max() <= 1e-10
    assert got.messages.tolist() == [STEPS] * topology.n  # one listener in each round


@pytest.mark.parametrize("topology", [VARYING["one_peer_exponential-13"], ring(16)], ids=str)
def test_literal_transcription_of_gossip(topology: Schedule) -> None:
    problem = least_squares(topology.n)  # whose gradients it does not use
    x = starts(problem)
    got = run(ChocoGossip(gamma=0.4, compressor=TopK(k=2)), topology, problem, x, STEPS)
    wanted = literal(x, lambda X, t: X, topology, 0.4, lambda x: reference.top_k(x, 2))
    assert np.abs(got.models - wanted).max() <= 1e-10


@pytest.mark.parametrize("topology", VARYING.values(), ids=VARYING)
def test_without_compression_it_is_decentralized_sgd_on_schedules(topology: Schedule) -> None:
    problem = least_squares(topology.n)
    choco = run(ChocoSGD(lr=DECAY, gamma=1.0), topology, problem, common(problem), 60)
    plain = run(DecentralizedSGD(lr=DECAY), topology, problem, common(problem), 60)
    assert np.abs(choco.models - plain.models).max() <= 1e-12


@pytest.mark.parametrize(
    ("topology", "compressor"),
    [
        (one_peer_exponential(7), TopK(k=2)),
        (one_peer_exponential(4), Contraction(QSGD(levels=4))),
        (alternating(6), TopK(k=2)),
        (ring(5), RandomK(k=2)),
    ],
    ids=str,
)
def test_gossip_reaches_consensus_on_the_mean(topology: Schedule, compressor: Any) -> None:
    problem = flat(topology.n, 5)
    x = starts(problem)
    models = run(ChocoGossip(gamma=0.4, compressor=compressor), topology, problem, x, 350).models
    assert np.abs(models.mean(axis=1) - x.mean(axis=0)).max() <= 1e-12
    assert np.abs(models[-1] - x.mean(axis=0)).max() < 1e-6


def test_gossip_is_choco_sgd_without_gradients() -> None:
    problem = flat(13, 5)
    gossip, sgd = (
        run(algorithm, ring(13), problem, starts(problem), 50).models
        for algorithm in (ChocoGossip(gamma=0.3, compressor=TopK(k=2)), ChocoSGD(gamma=0.3, compressor=TopK(k=2)))
    )
    np.testing.assert_array_equal(gossip, sgd)


def test_refusals() -> None:
    problem = least_squares(13)
    varying = VARYING["one_peer_exponential-13"]

    def refused(algorithm: Any, says: str) -> None:
        with pytest.raises(ValueError, match=says) as raised:
            run(algorithm, varying, problem, starts(problem), 1)
        assert "\n" not in str(raised.value)

    refused(ChocoSGD(gamma=0.3, order="overlapped"), "ChocoSGD: order = 'overlapped' needs a topology that is static")
    for gamma in ("theory", "auto"):
        refused(ChocoGossip(gamma=gamma), f"ChocoGossip: gamma = '{gamma}' needs a topology that is static")  # type: ignore[arg-type]
    refused(ChocoSGD(compressor=QSGD(levels=1)), "is no contraction of 5 numbers")


def test_matrices_that_never_repeat_are_refused() -> None:
    problem = least_squares(6)
    for algorithm in (ChocoSGD(gamma=0.3), ChocoGossip(gamma=0.3), SquarmSGD(gamma=0.3)):
        name = type(algorithm).__name__
        with pytest.raises(ValueError, match=rf"^{name} needs a topology that is static or repeats: .* in step$"):
            run(algorithm, randomized_gossip(6), problem, starts(problem), 1)


def test_identity_is_the_default() -> None:
    assert ChocoSGD().compressor == ChocoGossip().compressor == Identity()
