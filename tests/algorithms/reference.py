"""The papers' equations, literally: full matrices W, one copy of everything at everybody, no state reused.

All take the start X (n, d), a function that gives the (n, d) gradients at a stack of points, the mixing
matrix (of each round where it varies), the learning rate as a function of the iteration, and the number of
iterations. They return the models (steps + 1, n, d).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.algorithms.helpers import Array

Gradient = Callable[[Array], Array]
Rate = Callable[[int], float]
Weights = Callable[[int], Array]


class Momentum:
    """The direction of torch.optim.SGD without dampening."""

    def __init__(self, momentum: float, nesterov: bool) -> None:
        self.momentum, self.nesterov = momentum, nesterov
        self.v: Array | float = 0.0

    def direction(self, G: Array) -> Array:
        self.v = self.momentum * self.v + G
        return G + self.momentum * self.v if self.nesterov else self.v


def decentralized_sgd(
    X: Array,
    gradient: Gradient,
    W: Weights,
    rate: Rate,
    steps: int,
    order: str,
    momentum: float = 0.0,
    nesterov: bool = False,
    period: int = 1,
) -> Array:
    local = Momentum(momentum, nesterov)
    models = [X]
    rounds = 0
    for k in range(steps):
        mixes = (k + 1) % period == 0
        W_k = W(rounds) if mixes else np.eye(len(X))
        rounds += mixes
        match order:
            case "adapt-then-combine":
                X = W_k @ (X - rate(k) * local.direction(gradient(X)))
            case "combine-then-adapt":
                Y = W_k @ X
                X = Y - rate(k) * local.direction(gradient(Y))
            case "consensus":
                X = W_k @ X - rate(k) * local.direction(gradient(X))
        models.append(X)
    return np.stack(models)


def exact_diffusion(X: Array, gradient: Gradient, W: Array, rate: Rate, steps: int) -> Array:
    W_bar = (np.eye(len(X)) + W) / 2
    psi = X
    models = [X]
    for k in range(steps):
        psi_next = X - rate(k) * gradient(X)
        phi = psi_next + X - psi
        X, psi = W_bar @ phi, psi_next
        models.append(X)
    return np.stack(models)


def d2(X: Array, gradient: Gradient, W: Array, rate: Rate, steps: int) -> Array:
    """D2 with (I + W) / 2, in its one-line form."""
    W_bar = (np.eye(len(X)) + W) / 2
    models = [X]
    moves = []
    for k in range(steps):
        moves.append(rate(k) * gradient(models[-1]))
        if k == 0:
            models.append(W_bar @ (X - moves[0]))
        else:
            models.append(W_bar @ (2 * models[-1] - models[-2] - (moves[-1] - moves[-2])))
    return np.stack(models)


def choco_sgd(
    X: Array,
    gradient: Gradient,
    W: Array,
    rate: Rate,
    steps: int,
    order: str,
    gamma: float,
    compress: Callable[[Array], Array],
    momentum: float = 0.0,
    nesterov: bool = False,
) -> Array:
    n, d = X.shape
    local = Momentum(momentum, nesterov)
    hat = np.zeros((n, n, d))  # hat[i, j]: what node i thinks that node j published

    def gossip() -> Array:
        return np.stack([gamma * W[i] @ (hat[i] - hat[i, i]) for i in range(n)])

    def publish(Y: Array) -> None:
        for j in range(n):
            hat[:, j] += compress(Y[j] - hat[j, j])

    models = [X]
    for k in range(steps):
        Y = X - rate(k) * local.direction(gradient(X))
        if order == "icml":
            publish(Y)
            X = Y + gossip()
        else:
            X = Y + gossip()
            publish(X)
        models.append(X)
    return np.stack(models)


def top_k(x: Array, k: int) -> Array:
    """The k largest magnitudes of one vector; of equal ones those of smallest index."""
    kept = np.argsort(-np.abs(x), kind="stable")[:k]
    result = np.zeros_like(x)
    result[kept] = x[kept]
    return result
