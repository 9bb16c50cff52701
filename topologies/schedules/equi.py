"""EquiTopo: averages of random cyclic shifts, whose consensus rate does not get worse with the number of nodes.

    A^(u) = ((n - 1) / n) S^(u) + I / n,    S^(u): node i hears from i - u modulo n

W - J shrinks by a constant with about ln n shifts (static) or one a round (dynamic, in expectation).

Source: Z. Song, W. Li, K. Jin, L. Shi, M. Yan, W. Yin, K. Yuan, "Communication-efficient topologies for decentralized
learning with O(1) consensus rate", NeurIPS 2022, arXiv 2210.07881.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from topologies.graphs.arguments import count
from topologies.graphs.exponential import ceil_log2
from topologies.graphs.random import DRAWS
from topologies.matrices import average_of_shifts
from topologies.schedule import Schedule
from topologies.schedules.random import RandomSchedule
from topologies.topology import Topology

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["EquiDyn", "d_equi_static", "equi_topo", "od_equi_dyn", "ou_equi_dyn", "u_equi_static"]

Form = Literal["u-static", "d-static", "od-dynamic", "ou-dynamic"]


def d_equi_static(n: int, shifts: int | None = None, seed: int = 0) -> Topology:
    """D-EquiStatic: the average of some random cyclic shifts, W = (1 / M) sum_m A^(u_m). Directed, doubly stochastic.

    Args:
        n: number of nodes.
        shifts: M, how many are drawn, with replacement; ceil(log2 n) by default.
        seed: of the first draw; the next, until W connects all nodes, take seed + 1, seed + 2, ...

    Raises:
        ValueError: a parameter is out of range, or no draw of 1000 was strongly connected.
    """
    return Topology.from_matrix(_static("d_equi_static", n, shifts, seed), name="d_equi_static")


def u_equi_static(n: int, shifts: int | None = None, seed: int = 0) -> Topology:
    """U-EquiStatic: W = (1 / 2 M) sum_m (A^(u_m) + A^(u_m)^T), for which each shift is there in both directions.

    Args:
        n: number of nodes.
        shifts: M, how many are drawn, with replacement; ceil(log2 n) by default.
        seed: of the first draw; the next, until W connects all nodes, take seed + 1, seed + 2, ...

    Raises:
        ValueError: a parameter is out of range, or no draw of 1000 was connected.
    """
    W = _static("u_equi_static", n, shifts, seed)
    return Topology.from_matrix((W + W.T) / 2, name="u_equi_static")


class EquiDyn(RandomSchedule):
    """In each round one random shift: OD-EquiDyn sends one message from each node, OU-EquiDyn swaps within pairs.

        OD:  W = (1 - eta) I + eta A^(u),    u uniform in 1..n-1
        OU:  the same with the pairs (i, i + u) in place of the shift: from a random node on, each i that is still
             free is paired with i + u if that is free; who is left keeps what it has

    Args:
        n: number of nodes.
        undirected: OU rather than OD.
        eta: weight of what is heard, in (0, 1].
        seed: decides all draws.
    """

    purpose = "equidyn"

    def __init__(self, n: int, undirected: bool, eta: float, seed: int) -> None:
        name = "ou_equi_dyn" if undirected else "od_equi_dyn"
        super().__init__(count(name, n), seed, name, symmetric=undirected or n <= 2)
        if not 0 < eta <= 1:
            raise ValueError(f"{name} needs eta in (0, 1], got {eta!r}")
        self.undirected = undirected
        self.eta = eta

    def draw(self, random: np.random.Generator) -> Any:
        """The matrix of one round."""
        from scipy.sparse import csr_array, eye_array

        n = self.n
        if n == 1:
            return eye_array(1)
        u = int(random.integers(1, n))
        heard = np.arange(n)
        if self.undirected:
            first = int(random.integers(n))
            free = np.ones(n, bool)
            for i in (first + np.arange(n)) % n:
                j = (i + u) % n
                if free[i] and free[j]:
                    heard[i], heard[j] = j, i
                    free[i] = free[j] = False
        else:
            heard = (heard - u) % n
        moved = csr_array((np.full(n, self.eta * (n - 1) / n), (np.arange(n), heard)), shape=(n, n))
        return moved + (1 - self.eta * (n - 1) / n) * eye_array(n)

    def support(self) -> csr_array:
        """(n, n) of equal weights: any shift may be drawn."""
        return average_of_shifts(self.n, range(self.n))

    def __repr__(self) -> str:
        return f"EquiDyn({self.n}, undirected={self.undirected}, eta={self.eta}, seed={self.seed})"


def od_equi_dyn(n: int, eta: float = 0.5, seed: int = 0) -> EquiDyn:
    """OD-EquiDyn: in each round every node sends to the one peer i + u with a random shift u; without end.

    Args:
        n: number of nodes.
        eta: weight of what is heard, in (0, 1].
        seed: decides all draws.

    Raises:
        ValueError: a parameter is out of range.
    """
    return EquiDyn(n, False, eta, seed)


def ou_equi_dyn(n: int, eta: float = 0.5, seed: int = 0) -> EquiDyn:
    """OU-EquiDyn: in each round random pairs at one random distance average; without end.

    Args:
        n: number of nodes.
        eta: weight of what is heard, in (0, 1].
        seed: decides all draws.

    Raises:
        ValueError: a parameter is out of range.
    """
    return EquiDyn(n, True, eta, seed)


def equi_topo(n: int, form: Form = "u-static", seed: int = 0) -> Schedule:
    """EquiTopo in any of its four forms, with default options: see u_equi_static, d_equi_static, od_equi_dyn and
    ou_equi_dyn.

    Args:
        n: number of nodes.
        form: u-static, d-static, od-dynamic or ou-dynamic.
        seed: decides all draws.

    Raises:
        ValueError: a parameter is out of range.
    """
    count("equi_topo", n)
    makers = {
        "u-static": u_equi_static, "d-static": d_equi_static, "od-dynamic": od_equi_dyn, "ou-dynamic": ou_equi_dyn
    }  # fmt: skip
    if form not in makers:
        raise ValueError(f"equi_topo knows no form {form!r}, allowed are {', '.join(makers)}")
    return makers[form](n, seed=seed)


def _static(family: str, n: int, number: int | None, seed: int) -> csr_array:
    """The average of the shifts."""
    from scipy.sparse import csr_array, eye_array

    count(family, n)
    count(family, seed, "seed", 0)
    number = max(ceil_log2(n), 1) if number is None else count(family, number, "shifts")
    if n == 1:
        return csr_array(eye_array(1))
    for each in range(seed, seed + DRAWS):
        drawn = np.random.default_rng(each).integers(1, n, size=number)
        if math.gcd(n, *drawn.tolist()) == 1:  # else the graph falls apart
            return csr_array((n - 1) / n * average_of_shifts(n, drawn.tolist()) + eye_array(n) / n)
    raise ValueError(f"{family} found no connected graph in {DRAWS} draws from seed {seed}: raise shifts, {number}")
