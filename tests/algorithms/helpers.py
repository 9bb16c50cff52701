"""Heterogeneous least squares in NumPy, graphs to run on, and the loop that drives an algorithm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from algorithms import Algorithm, MatrixNetwork, Sample, State, StepDecay
from algorithms.algorithm import Losses
from algorithms.schedules.learning_rate import learning_rate
from topologies import Schedule, Topology, erdos_renyi, exponential, one_peer_exponential, ring, with_servers

Array = NDArray[Any]

UNDIRECTED = {f"{family.__name__}-{n}": family(n) for family in (ring, erdos_renyi) for n in (16, 13)}
STATIC = UNDIRECTED | {f"exponential-{n}": exponential(n) for n in (16, 13)}
RATES = {"constant": 0.02, "step-decay": StepDecay(lr=0.05, milestones=(20, 60), factor=0.3)}
ALL = STATIC | {f"one_peer_exponential-{n}": one_peer_exponential(n) for n in (16, 13)}


@dataclass(frozen=True)
class LeastSquares:
    """f_i(x) = 1/(2m) |A_i x - b_i|^2, with an optimum of its own for each node."""

    A: Array  # (n, m, d)
    b: Array  # (n, m)

    @property
    def n(self) -> int:
        return len(self.A)

    @property
    def d(self) -> int:
        return self.A.shape[2]

    @cached_property
    def hessians(self) -> Array:
        """(n, d, d)."""
        return np.einsum("nmi,nmj->nij", self.A, self.A) / self.A.shape[1]

    @cached_property
    def slopes(self) -> Array:
        """(n, d): minus the gradients at zero."""
        return np.einsum("nmi,nm->ni", self.A, self.b) / self.A.shape[1]

    def gradient(self, X: Array) -> Array:
        """(n, d): the gradient of f_i at x_i for all i."""
        return np.einsum("nij,nj->ni", self.hessians, X) - self.slopes

    @cached_property
    def optimum(self) -> Array:
        """(d,): the minimiser of the average of all f_i."""
        return np.linalg.solve(self.hessians.mean(axis=0), self.slopes.mean(axis=0))

    def composite_optimum(self, l1: float) -> Array:
        """(d,): the minimiser of the average of all f_i plus l1 |x|_1."""
        hessian, slope = self.hessians.mean(axis=0), self.slopes.mean(axis=0)
        step, x = 1 / np.linalg.norm(hessian, ord=2), self.optimum
        for _ in range(100_000):
            following = soft_threshold(x - step * (hessian @ x - slope), step * l1)
            if np.abs(following - x).max() < 1e-15:
                break
            x = following
        return x

    def relabelled(self, order: Array) -> LeastSquares:
        """Node i of the result is node order[i] of this problem."""
        return LeastSquares(self.A[order], self.b[order])


def least_squares(n: int, d: int = 5, m: int = 8, seed: int = 0) -> LeastSquares:
    random = np.random.default_rng(seed)
    A = random.normal(size=(n, m, d))
    local_optima = random.normal(size=(n, d))
    return LeastSquares(A, np.einsum("nmd,nd->nm", A, local_optima) + 0.1 * random.normal(size=(n, m)))


def flat(n: int, d: int) -> LeastSquares:
    """A problem whose gradients are all exactly zero."""
    return LeastSquares(np.zeros((n, 1, d)), np.zeros((n, 1)))


def starts(problem: LeastSquares, seed: int = 1) -> Array:
    """(n, d): a start of its own for each node."""
    return np.random.default_rng(seed).normal(size=(problem.n, problem.d))


def common(problem: LeastSquares, seed: int = 1) -> Array:
    """(n, d): the same start for all nodes."""
    return np.tile(starts(problem, seed)[0], (problem.n, 1))


def network_of(topology: Schedule, seed: int = 0) -> MatrixNetwork:
    """The network of a topology's full matrices."""
    if topology.period is None:
        return MatrixNetwork(lambda t: dense(topology[t]), seed)
    return MatrixNetwork([dense(topology[t]) for t in range(topology.period)], seed)


@dataclass
class Run:
    models: Array  # (steps + 1, n, d): the models at the start and after each step
    points: Array  # (steps + 1, n, d): where the gradients are wanted
    bytes: Array  # (n,)
    messages: Array  # (n,)
    rounds: int
    state: State

    @property
    def final(self) -> Array:
        return self.models[-1]


def run(
    algorithm: Algorithm,
    topology: Schedule,
    problem: LeastSquares,
    x: Array,
    steps: int,
    dtype: torch.dtype = torch.float64,
    network: MatrixNetwork | None = None,
    losses: Losses | None = None,
) -> Run:
    """Drive an algorithm for some steps on full local gradients, on the topology's network or on another one of it.

    Losses are those that it may ask for.
    """
    n, servers = topology.n, algorithm.servers
    network = network or network_of(with_servers(topology, servers))
    state = algorithm.start(torch.tensor(with_rows(x, servers), dtype=dtype), network)
    network.finish_step()
    models, points = [], []
    loss = torch.zeros(network.n, dtype=dtype)  # no method looks at it
    for step in range(steps + 1):
        if step:
            gradient = torch.tensor(with_rows(problem.gradient(points[-1]), servers), dtype=dtype)
            algorithm.advance(state, Sample(gradient, loss, losses=losses), network)
        with network.unrecorded():
            algorithm.spread(state, network)
        models.append(algorithm.model(state)[:n].numpy().copy())
        points.append(state.x[:n].numpy().copy())
    assert state.step == steps
    sent = network.traffic
    return Run(np.stack(models), np.stack(points), sent.bytes.numpy(), sent.messages.numpy(), network.round, state)


def with_rows(rows: Array, further: int) -> Array:
    """(n + further, ...): the rows and so many of zeros, those of servers."""
    return np.concatenate([rows, np.zeros((further, *rows.shape[1:]))])


def dense(topology: Topology) -> Array:
    """W as a full matrix."""
    return topology.matrix.toarray()


def alternating(n: int) -> Schedule:
    """A symmetric schedule of two rounds: the two matchings of a ring of even n."""
    rounds = []
    for first in (0, 1):
        W = np.zeros((n, n))
        for i in range(first, n + first, 2):
            a, b = i % n, (i + 1) % n
            W[a, a] = W[b, b] = 0.6
            W[a, b] = W[b, a] = 0.4
        rounds.append(fixed(W))
    return Schedule(rounds, name="alternating")


def fixed(W: Array) -> Topology:
    """The topology of a full matrix, connected or not."""
    return Topology.from_matrix(W, connected=False)


Equations = Callable[[Array, Callable[[Array], Array], Callable[[int], Array], Callable[[int], float], int], Array]


def assert_follows(algorithm: Algorithm, topology: Schedule, equations: Equations, steps: int = 100) -> None:
    """Compare a run, from a start of its own at every node, to the literal equations of a paper.

    Args:
        algorithm: With a learning rate `lr`.
        topology: The graph.
        equations: Gives all models (steps + 1, n, d) from the start X (n, d), a function that gives the gradients at
            a stack of points, W as a full matrix for each round, the learning rate of each iteration, and the steps.
        steps: Number of iterations.
    """
    problem = least_squares(topology.n)
    x = starts(problem)
    models = run(algorithm, topology, problem, x, steps).models
    lr = algorithm.lr  # type: ignore[attr-defined]
    wanted = equations(x, problem.gradient, lambda r: dense(topology[r]), lambda t: learning_rate(lr, t), steps)
    assert np.ptp(wanted[0], axis=0).min() > 0.1  # the nodes do start apart
    assert np.abs(models - wanted).max() <= 1e-10


def distance(models: Array, optimum: Array) -> float:
    """The greatest distance of an entry from that of the optimum."""
    return float(np.abs(models - optimum).max())


def soft_threshold(z: Array, threshold: float) -> Array:
    return np.sign(z) * np.maximum(np.abs(z) - threshold, 0)


def same_curvature(n: int, h: float, d: int = 3) -> LeastSquares:
    """f_i(x) = h/2 |x - c_i|^2, in the guise of least squares."""
    A = np.tile(np.sqrt(d * h) * np.eye(d), (n, 1, 1))
    return LeastSquares(A, np.sqrt(d * h) * np.random.default_rng(5).normal(size=(n, d)))


def pair(eigenvalue: float) -> Topology:
    """Two nodes whose mixing matrix has the eigenvalues 1 and this one."""
    kept = (1 + eigenvalue) / 2
    return fixed(np.array([[kept, 1 - kept], [1 - kept, kept]]))
