"""Power-of-choice: the clients that lose most train."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algorithms import FedAvg, NonFiniteError, Sample
from algorithms.federated.sampling import choose_clients, draw_candidates
from gossip.network import Communicator, connect
from tests.algorithms.federated.literal import RATE, SERVER_RATE
from tests.algorithms.helpers import Array, LeastSquares, least_squares, starts
from topologies import ring

N = 6
SIZES = (3.0, 1.0, 4.0, 0.0, 5.0, 9.0)


def losses(problem: LeastSquares, w: Array) -> Array:
    return ((np.einsum("nmd,d->nm", problem.A, w) - problem.b) ** 2).mean(axis=1) / 2


@pytest.mark.parametrize("weighting", ["sampled", "all"])
@pytest.mark.parametrize(("clients", "candidates"), [(2, 4), (1, 5), (3, 3)])
def test_literal_rounds(clients: int, candidates: int, weighting: str) -> None:
    problem, network = least_squares(N), connect(ring(N), Communicator(), seed=0)
    algorithm = FedAvg(
        RATE,
        SERVER_RATE,
        3,
        clients,
        sampling="power-of-choice",
        candidates=candidates,
        weights=SIZES,
        weighting=weighting,  # type: ignore[arg-type]
    )
    state = algorithm.start(torch.tensor(starts(problem)), network)
    network.finish_step()
    w = starts(problem).mean(axis=0)
    U = np.tile(w, (N, 1))
    for t in range(60):
        X = state.x.numpy()
        if t % 3 == 0:
            loss = losses(problem, w)
            drawn = state.candidates
            assert len(set(drawn)) == candidates and 3 not in drawn
            chosen = sorted(drawn, key=lambda k: loss[k])[-clients:]
        residuals = np.einsum("nmd,nd->nm", problem.A, X) - problem.b
        sample = Sample(torch.tensor(problem.gradient(X)), torch.tensor((residuals**2).mean(axis=1) / 2))
        algorithm.advance(state, sample, network)
        G = problem.gradient(U)
        for k in chosen:
            U[k] = U[k] - RATE(t) * G[k]
        if (t + 1) % 3 == 0:
            share = 1 / clients if weighting == "sampled" else 1 / N
            w = w + SERVER_RATE(t // 3) * share * sum(U[k] - w for k in chosen)
            U = np.tile(w, (N, 1))
        assert np.abs(algorithm.model(state).numpy() - w).max() <= 1e-10
    edges = 2 * (N - 1)
    assert network.traffic.bytes.sum() == 8 * edges * (21 * 5 + 20 * N)


def test_candidates_are_drawn_in_proportion_one_by_one() -> None:
    sizes, counts = (1.0, 2.0, 3.0), np.zeros(3)
    for seed in range(4000):
        counts[list(draw_candidates(sizes, 2, np.random.default_rng(seed)))] += 1
    # First k with q_k, then another: 1 - q_k is not drawn first, and then not second.
    q = np.array(sizes) / 6
    chances = [q[k] + sum(q[j] * q[k] / (1 - q[j]) for j in range(3) if j != k) for k in range(3)]
    np.testing.assert_allclose(counts / 4000, chances, atol=4 * 0.5 / np.sqrt(4000))


def test_the_first_of_equals() -> None:
    np.testing.assert_array_equal(
        choose_clients(np.array([1.0, 2, 2, 2, np.inf]), (0, 1, 2, 3), 2, "sampled"), [0, 2.5, 2.5, 0, 0]
    )
    assert choose_clients(np.array([1.0, 2, 2, 2, np.inf]), (0, 1, 4), 1, "all").tolist() == [0, 0, 0, 0, 1]


def test_no_loss_at_all_is_refused() -> None:
    network = connect(ring(N), Communicator())
    algorithm = FedAvg(sampling="power-of-choice", participation=1, candidates=2)
    state = algorithm.start(torch.zeros(N, 3), network)
    with pytest.raises(NonFiniteError, match="FedAvg: no candidate has a finite loss"):
        algorithm.step(state, Sample(torch.zeros(N, 3), torch.full((N,), np.nan)), network)
