"""How many steps a method needs, by the rates that are known: see docs/advise.md for the formulas and their sources."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topologies import Schedule, Topology

Matrix = NDArray[np.float64]
Numbers = NDArray[np.float64]

ENDLESS = 16  # rounds of a schedule that never repeats, repeated
DOUBLINGS = 60
ROUNDING = 1e-12  # of a memory that is none
MOST_ROUNDS = 2**20  # after which differences that are still there count as staying
RATES = np.geomspace(1e-3, 1.0, 61)  # learning rates that are tried, in units of 1 / L
PULL = 0.8  # a, see `Memory`: fitted, see docs/advise.md
CURVATURE = 0.02  # c, see `Problem`: fitted, see docs/advise.md
FACTORS = 1 - np.geomspace(1.0, 1e-4, 25)  # for which the memory of a schedule is computed


@dataclass(frozen=True, eq=False)
class Memory:
    """How long differences between nodes live under averaging: as functions of what is left of them at each round.

    With D (n, d) the differences to the mean and B what is added to them between two rounds, D+ = (W - J)(f D + B),
    where f = 1 would be without, and f < 1 is with, the pull of each node's own gradient towards its own optimum.

    Attributes:
        factors: (k,) ascending, f.
        noise: (k,), v: the mean over nodes of |D|^2, if B is independent in each round, with |B|^2 = 1 on average. Of a
            symmetric W it is the mean over its eigenvalues, that of the average taken as 0, of
            lambda^2 / (1 - f^2 lambda^2).
        drift: (k,), m: the same if B never changes, the mean of (lambda / (1 - f lambda))^2.
        cross: (k,), c: the mean product of D and such a B, that of lambda / (1 - f lambda).
        left: The share of the squares of independent differences that is there after so many rounds without any new
            ones, on average over the nodes; of a symmetric W the mean of lambda^(2 rounds).
    """

    factors: Numbers
    noise: Numbers
    drift: Numbers
    cross: Numbers
    left: Callable[[int], float]

    def over(self, other: Memory) -> float:
        """How many times as long as in another one differences by noise live, where f is nearly 1.

        Infinite where they do not live at all in the other one, as on two or three nodes that are all linked.
        """
        return float(self.noise[-1] / other.noise[-1]) if other.noise[-1] > ROUNDING else math.inf

    def at(self, factor: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """v, m and c at other f, by interpolation."""
        place = np.log(np.maximum(1 - factor, 1 - self.factors[-1]))
        known = np.log(1 - self.factors)[::-1]
        v, m, c = (np.interp(place, known, each[::-1]) for each in (self.noise, self.drift, self.cross))
        return v, m, c


def memory(schedule: Schedule, factors: Numbers = FACTORS) -> Memory:
    """That of a topology, or of a schedule on average over its rounds.

    Args:
        schedule: Whose matrices are doubly stochastic; its union is connected.
        factors: (k,) f, ascending, below 1.
    """
    if isinstance(schedule, Topology) and schedule.symmetric:
        values = eigenvalues(schedule)
        v, m, c = np.array([_of_modes(values, f) for f in factors]).T / schedule.n
        return Memory(factors, v, m, c, lambda count: float(np.sum(values ** (2 * count))) / schedule.n)
    rounds = [schedule[t].matrix.toarray() - 1 / schedule.n for t in range(schedule.period or ENDLESS)]
    v, m, c = np.array([_of_rounds(rounds, f) for f in factors]).T
    return Memory(factors, v, m, c, lambda count: _left(rounds, count))


def _left(rounds: Sequence[Matrix], count: int) -> float:
    periods, more = divmod(count, len(rounds))
    product = np.linalg.matrix_power(_product(rounds), periods)
    return float(np.sum((_product(rounds[:more]) @ product if more else product) ** 2)) / len(product)


def _product(rounds: Sequence[Matrix]) -> Matrix:
    """Of matrices that come one after the other."""
    product = rounds[0]
    for W in rounds[1:]:
        product = W @ product
    return product


@cache
def rounds_to(memory: Memory | None, share: float) -> float:
    """After how many rounds at most this share of the squares of differences is left: one, where averages are exact."""
    if memory is None:
        return 1
    above, count = 0, 1
    while memory.left(count) > share:
        above, count = count, 2 * count
        if count > MOST_ROUNDS:
            return math.inf
    while count - above > 1:
        middle = (above + count) // 2
        above, count = (middle, count) if memory.left(middle) > share else (above, middle)
    return count


def eigenvalues(topology: Topology) -> Numbers:
    """(n - 1,): those of a symmetric W, but for the one of the average."""
    values = np.linalg.eigvalsh(topology.matrix.toarray() - 1 / topology.n)
    return np.delete(values, np.argmin(np.abs(values)))


def _of_modes(values: Numbers, factor: float) -> tuple[float, float, float]:
    living = values / (1 - factor * values)
    return float(np.sum(values**2 / (1 - (factor * values) ** 2))), float(np.sum(living**2)), float(np.sum(living))


def _of_rounds(rounds: Sequence[Matrix], factor: float) -> tuple[float, float, float]:
    """v, m and c of W - J of a period, on average over it, from where it repeats."""
    n = len(rounds[0])
    apart, product = np.eye(n) - 1 / n, np.eye(n)
    noise: NDArray[Any] = np.zeros((n, n))
    drift: NDArray[Any] = np.zeros((n, n))
    for W in rounds:
        noise, drift = W @ (factor**2 * noise + apart) @ W.T, W @ (factor * drift + apart)
        product = factor * (W @ product)
    drift = np.linalg.solve(np.eye(n) - product, drift)
    for _ in range(DOUBLINGS):  # noise + P noise P^T + P^2 noise P^2^T + ...
        if np.abs(product).max() < np.finfo(float).eps:
            break
        noise, product = noise + product @ noise @ product.T, product @ product
    sums = np.zeros(3)
    for W in rounds:
        noise, drift = W @ (factor**2 * noise + apart) @ W.T, W @ (factor * drift + apart)
        sums += np.trace(noise), np.sum(drift**2), np.trace(drift)
    v, m, c = (sums / len(rounds) / n).tolist()
    return v, m, c


@dataclass(frozen=True)
class Deviation:
    """How far the nodes are from their mean: lr^2 (sigma^2 noise + zeta^2 drift), the mean over nodes of |D|^2.

    Attributes:
        noise: (61,) Of independent noise, at each of `RATES`.
        drift: (61,) Of gradients that differ from node to node.
        settling: Steps until that holds, for methods that learn how gradients differ; 0 for others.
        period: H, the steps from one averaging to the next.
        memory: Of the averaging; None if it is exact, or if `settling` is what counts.
    """

    noise: Numbers
    drift: Numbers
    settling: float = 0.0
    period: int = 1
    memory: Memory | None = None


def periodic(memory: Memory | None, n: int, steps: int, *, beside: bool = False) -> Deviation:
    """Averaging after every so many local steps H, in each of which D <- q D - lr G with q = 1 - a lr L.

    With u = (n - 1) / n, s_j = 1 + q + ... + q^(j - 1), z_j = 1 + q^2 + ... + q^(2 j - 2), and v, m, c of `Memory` at
    f = q^H, on average over the steps j = 0, ..., H - 1 after an averaging,

        noise = mean q^2j z_H v + u z_j;   drift = mean q^2j s_H^2 m + 2 q^j s_j s_H c + u s_j^2.

    Without the pull, q = 1, and where all eigenvalues are the same, twice this noise is
    H (1 + lambda^2) / (1 - lambda^2) - 1, the term of the error bound of Wang & Joshi, JMLR 22(213), 2021, arXiv
    1808.07576, which takes the largest eigenvalue for all of them.

    Args:
        memory: Of the averaging; None if it is exact.
        n: Number of nodes.
        steps: H, from one averaging to the next.
        beside: Whether gradients are added after the averaging and not before; with H = 1.
    """
    u, H = (n - 1) / n, steps
    q = (1 - PULL * RATES)[:, None]
    powers = q ** np.arange(H + 1)
    s, z = (1 - powers) / (1 - q), (1 - powers**2) / (1 - q**2)
    v, m, c = memory.at(powers[:, H]) if memory is not None else (np.zeros(len(RATES)),) * 3
    if beside:  # D+ = (W - J) D - lr G: what was added last is still there as it was
        return Deviation(v + u, m + 2 * c + u, memory=memory)
    before, inner, noise = powers[:, :-1], s[:, :-1], z[:, :-1]
    s_H, z_H = s[:, H], z[:, H]
    drift = (before**2).mean(1) * s_H**2 * m + 2 * (before * inner).mean(1) * s_H * c + u * (inner**2).mean(1)
    return Deviation((before**2).mean(1) * z_H * v + u * noise.mean(1), drift, period=H, memory=memory)


def corrected(topology: Topology, precision: float) -> Deviation:
    """Exact diffusion: no drift is left, in exchange for twice the noise of slow modes.

    With the eigenvalues l of (I + W) / 2 the noise is the mean of 2 l^2 / ((1 - l) (1 + 3 l)), the variance of the
    recursion x+ = l (2 x - x_before - lr (g - g_before)); and it settles at the rate sqrt(l), in its
    square at l.
    """
    values = (1 + eigenvalues(topology)) / 2
    noise = float(np.sum(2 * values**2 / ((1 - values) * (1 + 3 * values)))) / topology.n
    settling = np.log(precision) / np.log(values.max())
    return Deviation(np.full(len(RATES), noise), np.zeros(len(RATES)), float(settling))


def tracked(topology: Topology, precision: float) -> Deviation:
    """Gradient tracking, in the order adapt-then-combine: no drift is left, and noise is mixed twice.

    With the eigenvalues l of W the noise is the mean of 2 l^4 / ((1 - l) (1 + l)^3), the variance of x+ = l (x - lr y),
    y+ = l (y + g+ - g); and it settles at the rate l, in its square at l^2.
    """
    values = eigenvalues(topology)
    noise = float(np.sum(2 * values**4 / ((1 - values) * (1 + values) ** 3))) / topology.n
    settling = np.log(precision) / np.log(max(float(np.abs(values).max()), ROUNDING) ** 2)
    return Deviation(np.full(len(RATES), noise), np.zeros(len(RATES)), float(settling))


def compressed(topology: Topology, alpha: float, gamma: float) -> Memory:
    """That of CHOCO-Gossip with an operator of contraction alpha, in its place the mean operator C(x) = alpha x.

    In the mode of eigenvalue l of W, the values x and the public copies h follow, with y = f x + B,

        h+ = h + alpha (y - h);   x+ = y + gamma (l - 1) h+,

    a linear recursion of two numbers, whose stationary variance and fixed point are v, m and c.

    Args:
        topology: Static, with a W that is symmetric or normal, as that of a circulant graph.
        alpha: In (0, 1].
        gamma: Consensus step size.
    """
    factors = FACTORS
    W = topology.matrix.toarray() - 1 / topology.n
    values = np.linalg.eigvalsh(W) if topology.symmetric else np.linalg.eigvals(W)
    values = np.delete(values, np.argmin(np.abs(values)))
    f, pull = factors[:, None], gamma * (values - 1)
    once = np.broadcast_arrays(f * (1 + pull * alpha), pull * (1 - alpha), f * alpha, 1 - alpha)
    A = np.stack(once, axis=-1).reshape(*once[0].shape, 2, 2)
    added = np.broadcast_to(np.stack(np.broadcast_arrays(1 + pull * alpha, alpha), axis=-1)[None], (*A.shape[:-2], 2))
    twice = np.einsum("kmac,kmbd->kmabcd", A, A.conj()).reshape(*A.shape[:-2], 4, 4)
    squares = np.einsum("kma,kmb->kmab", added, added.conj()).reshape(*A.shape[:-2], 4)
    variance = np.linalg.solve(np.eye(4) - twice, squares[..., None])[..., 0, 0].real
    fixed = np.linalg.solve(np.eye(2) - A, added[..., None])[..., 0, 0]
    v, m, c = (each.sum(1) / topology.n for each in (variance, np.abs(fixed) ** 2, fixed.real))
    free = np.stack(np.broadcast_arrays(1 + pull * alpha, pull * (1 - alpha), alpha, 1 - alpha), axis=-1)

    def left(count: int) -> float:
        after = np.linalg.matrix_power(free.reshape(-1, 2, 2), count)
        return float(np.sum(np.abs(after[:, 0, 0]) ** 2)) / topology.n

    return Memory(factors, v, m, c, left)


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

    where c = 1; the smallest K that makes this the target, for the best lr. It is proven for averages after every H
    steps where lr + c lr^2 H (H - 1) <= 1 (Wang & Joshi, SysML 2019, arXiv 1810.08313, theorem 1, with c = 1), so no
    other lr counts. And it is about the average of the models, which no node has where they are not averaged: there are
    at least as many rounds as bring a difference between nodes down to the share of the target, in its square.
    """
    average = RATES * problem.noise / n
    apart = 2 * problem.curvature * RATES**2
    by_noise, by_drift = apart * problem.noise * deviation.noise, apart * problem.heterogeneity * deviation.drift
    left = problem.target - average - by_noise - by_drift
    proven = RATES + problem.curvature * RATES**2 * deviation.period * (deviation.period - 1) <= 1
    with np.errstate(divide="ignore"):
        needed = np.where((left > 0) & proven, 2 / (RATES * np.maximum(left, 1e-300)), np.inf)
    best = int(np.argmin(needed))
    shares = (each[best] / problem.target for each in (average, by_noise, by_drift))
    count = float(needed[best]) + deviation.settling
    if not deviation.settling:
        count = max(count, deviation.period * rounds_to(deviation.memory, problem.target))
    return Steps(count, float(RATES[best]), *(float(share) for share in shares))
