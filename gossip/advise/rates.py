"""How many steps a method needs, by the rates that are known: see docs/advise.md for the formulas and their sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from topologies import Schedule, Topology

Matrix = NDArray[np.float64]

ENDLESS = 16  # rounds of a schedule that never repeats, repeated
DOUBLINGS = 60
CURVATURE = 0.1  # c, see `Problem` and docs/advise.md
RATES = np.geomspace(1e-6, 1.0, 400)  # learning rates that are tried, in units of 1 / L


@dataclass(frozen=True)
class Memory:
    """How long differences between nodes live under averaging that takes place in every step.

    With D (n, d) the differences to the mean and G the gradients, D+ = (W - J)(D - lr G).

    Attributes:
        noise: v; the mean over nodes of |D|^2 is lr^2 sigma^2 v where gradients have independent noise of variance
            sigma^2. Of a symmetric W the mean over its eigenvalues but for the 1 of the average, taken as 0, of
            lambda^2 / (1 - lambda^2).
        drift: m; it is lr^2 zeta^2 m where the gradients of the nodes differ by the same zeta at all times: the mean of
            (lambda / (1 - lambda))^2.
        cross: The mean of lambda / (1 - lambda).
    """

    noise: float
    drift: float
    cross: float


EXACT = Memory(0.0, 0.0, 0.0)
"""That of exact averages."""


def memory(schedule: Schedule) -> Memory:
    """That of a topology, or of a schedule on average over its rounds.

    Args:
        schedule: Whose matrices are doubly stochastic; its union is connected.
    """
    n = schedule.n
    if isinstance(schedule, Topology) and schedule.symmetric:
        values = eigenvalues(schedule)
        return Memory(*(float(sum_) / n for sum_ in (
            np.sum(values**2 / (1 - values**2)), np.sum((values / (1 - values)) ** 2), np.sum(values / (1 - values))
        )))  # fmt: skip
    rounds = [each.matrix.toarray() - 1 / n for each in islice(_rounds(schedule), schedule.period or ENDLESS)]
    apart = np.eye(n) - 1 / n
    product, noise, drift = np.eye(n), np.zeros((n, n)), np.zeros((n, n))
    for W in rounds:
        product, noise, drift = W @ product, W @ (noise + apart) @ W.T, W @ (drift + apart)
    noise, power = noise.copy(), product
    for _ in range(DOUBLINGS):  # noise + P noise P^T + P^2 noise P^2^T + ...
        if np.abs(power).max() < np.finfo(float).eps:
            break
        noise, power = noise + power @ noise @ power.T, power @ power
    drift = np.linalg.solve(np.eye(n) - product, drift)
    sums = np.zeros(3)
    for W in rounds:
        noise, drift = W @ (noise + apart) @ W.T, W @ (drift + apart)
        sums += np.trace(noise), np.sum(drift**2), np.trace(drift)
    return Memory(*(sums / len(rounds) / n).tolist())


def eigenvalues(topology: Topology) -> NDArray[np.float64]:
    """(n - 1,): those of a symmetric W, ascending, but for the one of the average."""
    values = np.linalg.eigvalsh(topology.matrix.toarray() - 1 / topology.n)
    return np.delete(values, np.argmin(np.abs(values)))


def _rounds(schedule: Schedule) -> Sequence[Topology]:
    return [schedule[t] for t in range(schedule.period or ENDLESS)]


@dataclass(frozen=True)
class Deviation:
    """How far the nodes are from their mean: lr^2 (sigma^2 noise + zeta^2 drift), the mean over nodes of |D|^2.

    Attributes:
        noise: Of independent noise.
        drift: Of gradients that differ from node to node.
        settling: Steps until that holds, for methods that learn how gradients differ; 0 for others.
    """

    noise: float
    drift: float
    settling: float = 0.0


def periodic(memory: Memory, n: int, steps: float, *, beside: bool = False) -> Deviation:
    """Averaging after every so many local steps, at each of which nodes go apart.

    With v, m and c of `Memory` and u = (n - 1) / n, on average over the steps of a period,

        noise = H v + u (H - 1) / 2;   drift = H^2 m + H (H - 1) c + u (H - 1) (2 H - 1) / 6.

    Where all eigenvalues are the same, twice this noise is H (1 + lambda^2) / (1 - lambda^2) - 1, the term of the error
    bound of Wang & Joshi, JMLR 22(213), 2021, arXiv 1808.07576, which takes the largest eigenvalue for all of them.

    Args:
        memory: Of the averaging.
        n: Number of nodes.
        steps: H, from one averaging to the next; compression counts as more of them, see `slowed`.
        beside: Whether gradients are added after the averaging and not before, D+ = (W - J) D - lr G; with H = 1.
    """
    u, H = (n - 1) / n, steps
    if beside:
        return Deviation(memory.noise + u, memory.drift + 2 * memory.cross + u)
    return Deviation(
        H * memory.noise + u * (H - 1) / 2,
        H**2 * memory.drift + H * (H - 1) * memory.cross + u * (H - 1) * (2 * H - 1) / 6,
    )


def corrected(topology: Topology, precision: float) -> Deviation:
    """Exact diffusion: no drift is left, in exchange for twice the noise of slow modes.

    With the eigenvalues l of (I + W) / 2 the noise is the mean of 2 l^2 / ((1 - l) (1 + 3 l)), the variance of the
    recursion x+ = l (2 x - x_before - lr (g - g_before)); and it settles at the rate sqrt(l).
    """
    values = (1 + eigenvalues(topology)) / 2
    noise = np.sum(2 * values**2 / ((1 - values) * (1 + 3 * values))) / topology.n
    return Deviation(float(noise), 0.0, -np.log(precision) / -np.log(np.sqrt(values.max())))


def tracked(topology: Topology, precision: float) -> Deviation:
    """Gradient tracking, in the order adapt-then-combine: no drift is left, and noise is mixed twice.

    With the eigenvalues l of W the noise is the mean of 2 l^4 / (1 - l^2)^2, the variance of x+ = l (x - lr y),
    y+ = l (y + g+ - g); and it settles at the rate l.
    """
    values = eigenvalues(topology)
    noise = np.sum(2 * values**4 / (1 - values**2) ** 2) / topology.n
    return Deviation(float(noise), 0.0, -np.log(precision) / -np.log(np.abs(values).max()))


@dataclass(frozen=True)
class Slowdown:
    """What compression costs in averaging."""

    gamma: float
    """The consensus step size at which it costs least."""

    times: float
    """How many rounds do as much as one without compression."""


def slowed(topology: Topology, alpha: float) -> Slowdown:
    """CHOCO-Gossip with an operator of contraction alpha, in its place the mean operator alpha x.

    In the mode of eigenvalue l of W, values x and public copies h follow h+ = h + alpha (x - h) and
    x+ = x + gamma (l - 1) h+. The gamma is that of the least spectral radius over all modes.

    Args:
        topology: Static.
        alpha: In (0, 1].
    """
    W = topology.matrix.toarray() - 1 / topology.n
    values = np.linalg.eigvalsh(W) if topology.symmetric else np.linalg.eigvals(W)
    values = np.delete(values, np.argmin(np.abs(values)))
    radii = {gamma: _radius(values, gamma, alpha) for gamma in np.geomspace(1 / 256, 1, 33).tolist()}
    best = min(radii, key=radii.__getitem__)
    plain = float(np.abs(values).max())
    if plain < 1e-12:  # one round is exact
        return Slowdown(best, 1.0 if alpha == 1 else 1 - 1 / np.log(radii[best]))
    return Slowdown(best, max(1.0, np.log(plain) / np.log(radii[best])))


def _radius(values: NDArray[np.complexfloating | np.floating], gamma: float, alpha: float) -> float:
    """The largest modulus of an eigenvalue of the recursion, over all modes."""
    pull = gamma * (values - 1)
    trace, product = 1 + pull * alpha + 1 - alpha, 1 - alpha  # of a 2 x 2 matrix, its determinant being 1 - alpha
    root = np.sqrt(trace.astype(complex) ** 2 - 4 * product)
    return float(np.maximum(np.abs(trace + root), np.abs(trace - root)).max() / 2)


@dataclass(frozen=True)
class Problem:
    """What is to be minimised, in units in which L, the smoothness, and F(x_0) - min F are 1.

    Args:
        noise: sigma^2, the variance of a node's stochastic gradient, in units of L (F(x_0) - min F).
        heterogeneity: zeta^2, the mean squared distance of a node's gradient to that of all, in the same units.
        target: The mean squared gradient norm over the iterates that is to be reached, in the same units.
        curvature: What a deviation between nodes costs, in units of the bound, in (0, 1].
    """

    noise: float
    heterogeneity: float
    target: float
    curvature: float


@dataclass(frozen=True)
class Steps:
    """A prediction."""

    steps: float
    lr: float
    """The learning rate at which so many are enough, in units of 1 / L."""

    of_noise: float
    """The share of the target that the noise of the average takes at that rate."""

    of_deviation: float
    """The share that the deviation by noise takes."""

    of_drift: float
    """The share that the deviation by heterogeneity takes."""


def steps(problem: Problem, n: int, deviation: Deviation) -> Steps:
    """The steps after which the mean squared gradient norm is at most the target, at the best constant learning rate.

    The bound of Wang & Joshi (JMLR 22(213), 2021, theorem 1) on it, after K steps, is

        2 / (lr K) + lr sigma^2 / n + 2 c lr^2 (sigma^2 noise + zeta^2 drift)   with L = F(x_0) - min F = 1,

    where c = 1; the smallest K that makes this the target, for the best lr <= 1.
    """
    average = RATES * problem.noise / n
    apart = 2 * problem.curvature * RATES**2
    by_noise, by_drift = apart * problem.noise * deviation.noise, apart * problem.heterogeneity * deviation.drift
    left = problem.target - average - by_noise - by_drift
    with np.errstate(divide="ignore"):
        needed = np.where(left > 0, 2 / (RATES * np.maximum(left, 1e-300)), np.inf)
    best = int(np.argmin(needed))
    shares = (each[best] / problem.target for each in (average, by_noise, by_drift))
    return Steps(float(needed[best]) + deviation.settling, float(RATES[best]), *(float(share) for share in shares))
