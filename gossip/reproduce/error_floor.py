"""The error floor of cooperative SGD on a quadratic, by theory and as measured.

Wang & Joshi, "Cooperative SGD: A Unified Framework for the Design and Analysis of Local-Update SGD Algorithms", JMLR
22(213), 2021, arXiv 1808.07576.

All m nodes have f(x) = |x|^2 / 2 and see gradients with noise as the paper assumes it, of variance
sigma^2 + beta |grad f|^2 in each component; components are independent repetitions of one scalar problem. The
covariance C (n x n) of the models of all nodes, v of them auxiliary, then follows

    C <- W_t [D C D + eta^2 diag(sigma^2 + beta C_ii, 0 for the auxiliary ones)] W_t',   D = 1 - eta, or 1

exactly, and comes to a period of tau values: the theory here. The averaged model u has the floor 1' C 1 / (2 n^2), the
nodes' own models have the mean of C_ii / 2 over those with data. With W = (1 - zeta) J + zeta I all eigenvalues but one
are zeta. The paper's bound for any smooth function is, with eta' = eta m / n,

    mean |grad F(u)|^2  <=  eta' sigma^2 / m + eta'^2 sigma^2 [(1 + zeta^2) / (1 - zeta^2) tau - 1] (1 + v/m)^2

with the variance in steady state in the place of sigma^2. Its second term is what the nodes' disagreement can do. Of a
quadratic the disagreement reaches u through the growing noise alone (with beta = 0 the floor of u depends on neither
tau nor zeta), so u stays far below; the disagreement itself is half of that term, if eta tau / (1 - zeta) is small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import gossip
from algorithms import CooperativeSGD, Layout, Oracle, Sample, ShardedWorkload, State
from algorithms.randomness import generator
from topologies import Topology

Array = NDArray[np.float64]
NODES = 8  # with data: m
ETA = 0.1  # learning rate
SIGMA = 1.0  # standard deviation of the noise at the optimum
BETA = 10.0  # by how much the variance of the noise grows with the squared gradient
EVERY = 7  # steps from one measurement to the next, so that all phases of a period are met


@dataclass(frozen=True)
class Bowl:
    """f(x) = |x|^2 / 2 on every node, with zeros as initial parameters; what is said of it is the mean over components.

    Args:
        components: Number of them.
    """

    components: int

    @property
    def layout(self) -> Layout:
        """One vector."""
        return Layout.vector(self.components)

    def initial(self) -> Tensor:
        """(d,): zeros."""
        return torch.zeros(self.components, dtype=torch.float64)

    def examples(self, node: int) -> int:
        """1."""
        return 1

    def gradient(self, x: Tensor, nodes: Sequence[int], examples: Tensor | None = None) -> Sample:
        """See `ShardedWorkload`."""
        return Sample(x.clone(), torch.stack([row.dot(row) / 2 for row in x]))

    def evaluate(self, x: Tensor) -> Mapping[str, float]:
        """ "test_loss": the mean of f over the components."""
        return {"test_loss": float(x.dot(x)) / (2 * self.components)}


@dataclass(frozen=True)
class GrowingNoise(Oracle):
    """(1 + sqrt(beta) a) grad f + sigma b, with independent standard normal a and b for each component."""

    def sample(
        self, state: State, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], step: int, seed: int
    ) -> Sample:
        exact = workload.gradient(x, nodes)
        drawn = [generator(seed, "growing noise", node, step).standard_normal((2, x.shape[1])) for node in nodes]
        a, b = torch.from_numpy(np.stack(drawn, axis=1))
        return Sample((1 + BETA**0.5 * a) * exact.gradient + SIGMA * b, exact.loss)


@dataclass(frozen=True)
class Floors:
    """Mean values of f in steady state.

    Attributes:
        average: The value at the averaged model u.
        own: The mean of the values at the models of the nodes that have data.
    """

    average: float
    own: float


def theory(W: Array, period: int, auxiliary: int = 0, *, beta: float = BETA) -> Floors:
    """The floors by the recursion of the covariance.

    Args:
        W: (n, n), the mixing matrix, symmetric.
        period: Steps from one averaging to the next.
        auxiliary: How many nodes have no data, the last ones.
        beta: By how much the variance of the noise grows with the squared gradient.
    """
    n = len(W)
    m = n - auxiliary
    data = np.arange(n) < m
    shrink = np.where(data, 1 - ETA, 1.0)
    C = np.zeros((n, n))
    before, floors = np.zeros(2), np.ones(2)
    while np.abs(floors - before).max() > 1e-12:
        visited = []
        for t in range(period):
            noise = ETA**2 * data * (SIGMA**2 + beta * np.diag(C))
            C = shrink[:, None] * C * shrink + np.diag(noise)
            if t == period - 1:
                C = W @ C @ W.T
            visited.append((C.sum() / n**2 / 2, np.diag(C)[:m].mean() / 2))
        before, floors = floors, np.mean(visited, axis=0)
    return Floors(*floors.tolist())


def bound(
    zeta: float, period: int, floors: Floors, auxiliary: int = 0, *, eta: float = ETA, beta: float = BETA
) -> tuple[float, float]:
    """The two terms of the paper's bound of |grad F(u)|^2, for the variance of the noise in steady state.

    Args:
        zeta: Second largest modulus of an eigenvalue of W.
        period: Steps from one averaging to the next.
        floors: In steady state.
        auxiliary: How many nodes have no data.
        eta: The learning rate.
        beta: By how much the variance of the noise grows with the squared gradient.
    """
    variance = SIGMA**2 + beta * 2 * floors.own
    m, n = NODES, NODES + auxiliary
    eta = eta * m / n
    network = (1 + zeta**2) / (1 - zeta**2) * period - 1
    return eta * variance / m, eta**2 * variance * network * (n / m) ** 2


def simulate(
    topology: Topology,
    period: int,
    auxiliary: int,
    seeds: Sequence[int],
    *,
    components: int,
    discarded: int,
    steps: int,
) -> Floors:
    """The floors as measured in the `steps` steps after the `discarded` first ones."""
    settled = [
        metrics
        for seed in seeds
        for metrics in gossip.run(
            Bowl(components),
            topology,
            CooperativeSGD(lr=ETA, period=period, auxiliary=auxiliary),
            oracle=GrowingNoise(),
            steps=discarded + steps,
            seed=seed,
            evaluate_every=EVERY,
            evaluate_nodes=NODES,
            output=None,
        ).history
        if metrics["step"] > discarded
    ]
    return Floors(*(float(np.mean([metrics[key] for metrics in settled])) for key in ("test_loss", "node_test_loss")))


def mixture(zeta: float) -> Topology:
    """W = (1 - zeta) J + zeta I."""
    return Topology.from_matrix(np.full((NODES, NODES), (1 - zeta) / NODES) + zeta * np.eye(NODES))


def second_eigenvalue(topology: Topology) -> float:
    """The second largest modulus."""
    return float(np.sort(np.abs(np.linalg.eigvalsh(topology.matrix.toarray())))[-2])
