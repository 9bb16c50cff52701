"""Power-of-choice: the clients that lose most train."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from algorithms import FedAvg, NonFiniteError
from algorithms.federated.sampling import choose_clients, draw_candidates, votes_of_chosen
from tests.algorithms.federated.literal import RATE, SERVER_RATE, sample_at, started
from tests.algorithms.helpers import Array, LeastSquares, least_squares, starts

N = 6
SIZES = (3.0, 1.0, 4.0, 0.0, 5.0, 9.0)


def losses(problem: LeastSquares, w: Array) -> Array:
    return ((np.einsum("nmd,d->nm", problem.A, w) - problem.b) ** 2).mean(axis=1) / 2


@pytest.mark.parametrize("server", ["node", "replicated"])
@pytest.mark.parametrize("weighting", ["sampled", "all"])
@pytest.mark.parametrize(("clients", "candidates"), [(2, 4), (1, 5), (3, 3)])
def test_literal_rounds(clients: int, candidates: int, weighting: str, server: Any) -> None:
    problem = least_squares(N)
    algorithm = FedAvg(
        RATE,
        SERVER_RATE,
        3,
        clients,
        sampling="power-of-choice",
        candidates=candidates,
        weights=SIZES,
        weighting=weighting,  # type: ignore[arg-type]
        server=server,
    )
    state, network = started(algorithm, problem, starts(problem))
    w = starts(problem).mean(axis=0)
    U = np.tile(w, (N, 1))
    for t in range(60):
        if t % 3 == 0:
            loss = losses(problem, w)
            drawn = state.clients
            assert len(set(drawn)) == candidates and 3 not in drawn
            chosen = sorted(drawn, key=lambda k: loss[k])[-clients:]
        algorithm.advance(state, sample_at(problem, state.x), network)
        if t % 3 != 2:
            assert state.clients == tuple(sorted(chosen))
        G = problem.gradient(U)
        for k in chosen:
            U[k] = U[k] - RATE(t) * G[k]
        if (t + 1) % 3 == 0:
            share = 1 / clients if weighting == "sampled" else 1 / N
            w = w + SERVER_RATE(t // 3) * share * sum(U[k] - w for k in chosen)
            U = np.tile(w, (N, 1))
        assert np.abs(algorithm.model(state).numpy()[-1] - w).max() <= 1e-10
    traffic = network.traffic
    if server == "replicated":  # 21 sums of five numbers, up a tree and down; 20 times each edge carries all losses
        assert traffic.bytes.sum() == 8 * (N - 1) * (2 * 21 * 5 + 20 * N)
    else:  # all start; then the candidates get w and send their losses, whom the server names to all send w - u_k
        down, lost, up = 21 * candidates * 5, 20 * candidates, (N + 20 * clients) * 5
        assert traffic.bytes.sum() == 8 * (down + lost + up + 20 * N * clients)


def test_candidates_are_drawn_in_proportion_one_by_one() -> None:
    sizes, counts = (1.0, 2.0, 3.0), np.zeros(3)
    for seed in range(4000):
        counts[list(draw_candidates(sizes, 2, np.random.default_rng(seed)))] += 1
    # First k with q_k, then another: 1 - q_k is not drawn first, and then not second.
    q = np.array(sizes) / 6
    chances = [q[k] + sum(q[j] * q[k] / (1 - q[j]) for j in range(3) if j != k) for k in range(3)]
    np.testing.assert_allclose(counts / 4000, chances, atol=4 * 0.5 / np.sqrt(4000))


def test_the_first_of_equals() -> None:
    losses = dict(enumerate([1.0, 2, 2, 2, np.inf]))
    assert choose_clients(losses, (0, 1, 2, 3), 2) == [1, 2]
    assert choose_clients(losses, (0, 1, 4), 1) == [4]
    assert votes_of_chosen([1, 2], 5, "sampled").tolist() == [0, 2.5, 2.5, 0, 0]
    assert votes_of_chosen([4], 5, "all").tolist() == [0, 0, 0, 0, 1]


@pytest.mark.parametrize("server", ["node", "replicated"])
def test_no_loss_at_all_is_refused(server: Any) -> None:
    algorithm = FedAvg(sampling="power-of-choice", participation=1, candidates=2, server=server)
    problem = least_squares(N)
    state, network = started(algorithm, problem, starts(problem))
    silent = replace(sample_at(problem, state.x), loss=torch.full((network.n,), np.nan))
    with pytest.raises(NonFiniteError, match="FedAvg: no candidate has a finite loss"):
        algorithm.step(state, silent, network)
