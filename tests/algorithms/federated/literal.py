"""Federated rounds in NumPy: a server with parameters w (d,), and clients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from algorithms import Federated, MatrixNetwork, Sample, StepDecay
from algorithms.federated.sampling import draw_clients
from algorithms.randomness import Draw, stream
from tests.algorithms.helpers import Array, LeastSquares, network_of, with_rows
from topologies import ring, with_servers

STEPS = 100
RATE = StepDecay(lr=0.05, milestones=(40, 41, 84), factor=0.5)
SERVER_RATE = StepDecay(lr=1.2, milestones=(10, 15), factor=0.7)

Weights = Callable[[int], Array]
Server = Callable[[Array, Array, int], Array]


def rounds(
    problem: LeastSquares, w: Array, local_steps: int, p: Weights, server: Server, steps: int = STEPS, mu: float = 0.0
) -> Array:
    """(steps + 1, d): the server's parameters.

    Args:
        problem: The clients' losses.
        w: (d,) where the server starts.
        local_steps: Of a round.
        p: (K,) the weights of the clients in a round, 0 if they are not in it.
        server: Gives w+ of w, sum_k p_k (u_k - w), and the round.
        steps: Local iterations.
        mu: Weight of FedProx's term.
    """
    models, r = [w], 0
    U = np.tile(w, (problem.n, 1))
    for t in range(steps):
        U = U - RATE(t) * (problem.gradient(U) + mu * (U - w))
        if (t + 1) % local_steps == 0:
            delta = sum(p(r)[k] * (U[k] - w) for k in range(problem.n))
            w = server(w, delta, r)
            U = np.tile(w, (problem.n, 1))
            r += 1
        models.append(w)
    return np.stack(models)


def started(algorithm: Federated, problem: LeastSquares, x: Array) -> tuple[Any, MatrixNetwork]:
    """The state before the first step, and a network of the clients and the server, if there is one."""
    servers = algorithm.servers
    network = network_of(with_servers(ring(problem.n), servers))
    state = algorithm.start(torch.tensor(with_rows(x, servers)), network)
    network.finish_step()
    return state, network


def sample_at(problem: LeastSquares, x: Tensor) -> Sample:
    """Gradients and losses of the clients at their rows of x, and zeros for the server."""
    X, n = x.numpy()[: problem.n], problem.n
    losses = ((np.einsum("nmd,nd->nm", problem.A, X) - problem.b) ** 2).mean(axis=1) / 2
    gradient, loss = (with_rows(rows, len(x) - n) for rows in (problem.gradient(X), losses))
    return Sample(torch.tensor(gradient), torch.tensor(loss))


def everyone(n: int) -> Weights:
    return lambda r: np.full(n, 1 / n)


def drawn(sizes: Sequence[float], clients: int, sampling: str, weighting: str) -> Weights:
    """The weights that a run of seed 0 draws in its rounds."""
    n = len(sizes)

    def weights(r: int) -> Array:
        random = stream(Draw(0, "clients", range(n), r).key(0).common)
        return draw_clients(sizes, clients, sampling, weighting, random) / n  # type: ignore[arg-type]

    return weights


def assert_serves(models: Array, wanted: Array) -> None:
    """The models (steps + 1, n, d) are those of the server (steps + 1, d), at all nodes, to the bit the same."""
    assert (models == models[:, :1]).all()
    assert np.abs(models[:, 0] - wanted).max() <= 1e-10
    assert np.abs(wanted[-1] - wanted[0]).max() > 0.1
