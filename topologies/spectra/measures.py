"""The numbers by which topologies and schedules are compared: how fast they average, and what that costs."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from topologies.graphs.expanders import second_adjacency_eigenvalue
from topologies.links import Links
from topologies.matrices import Arrays, is_directed
from topologies.schedule import Schedule
from topologies.schedules.random import RandomSchedule
from topologies.spectra.convergence import no_consensus
from topologies.spectra.eigenvalues import DENSE_NODES, PRECISE_NODES, circulant_rows
from topologies.spectra.spectrum import (
    contraction_per_round,
    laplacian_norm,
    smallest_and_second_eigenvalue,
    spectral_gap,
)
from topologies.topology import Topology

if TYPE_CHECKING:
    from scipy.sparse import csr_array

CONSENSUS = 1e-6  # of the distance at the start
ROUNDS = 100_000  # after which consensus is given up
WORK = 2_000_000_000  # multiplications after which it is
SAMPLED_ROUNDS = 64  # rounds of a schedule without end, for its mean degrees and times
EXACT = 1e-12  # the norm of the product of a period minus J that counts as none
GROWN = 1e12  # of the distance at the start, from which nothing comes back
DECAY = 0.99  # gamma of the effective number of neighbours
DIAMETER_NODES = 5000  # above, the diameter takes minutes


@dataclass(frozen=True)
class Measurements:
    """What `measure` found; None where something does not exist, or takes too long for so many nodes.

    Attributes:
        name: What the topology is called.
        nodes: The number of nodes, n.
        edges: The number of edges of the communication graph; of a schedule, of the union of a period.
        period: Rounds until the schedule repeats: 1 for a static topology, None for a schedule without end.
        directed: Whether some edge runs one way only.
        symmetric: Whether W equals its transpose in all rounds.
        doubly_stochastic: Whether the rows and the columns of W sum to 1 in all rounds.
        row_stochastic: Whether the rows of W sum to 1 in all rounds.
        column_stochastic: Whether the columns of W sum to 1 in all rounds.
        spectral_gap: 1 minus the second largest modulus of an eigenvalue of W; of a static topology.
        second_eigenvalue: The second largest modulus of an eigenvalue of W; of a static topology.
        smallest_eigenvalue: The smallest eigenvalue of W; of a static symmetric topology.
        laplacian_norm: ||I - W||_2; of a static topology.
        contraction_per_round: What `topologies.contraction_per_round` gives, jointly over a period.
        rounds_to_consensus: Rounds until the distance of random vectors to their mean is 1e-6 of what it was, measured;
            None if it never is.
        exact_after: Rounds after which the average is exact, if there are such.
        diameter: The largest distance of two nodes in hops; above 5000 nodes if the graph looks the same from each.
        min_degree: The fewest other nodes that a node sends to in any round.
        max_degree: The most other nodes that a node sends to in any round.
        mean_degree: Messages that a node sends in a round, on average.
        bytes_per_round: Bytes that a node sends in a round, on average.
        effective_resistance: The mean effective resistance of all pairs of nodes, each edge of the graph being a
            resistor of 1 ohm; of undirected graphs.
        effective_neighbors: The effective number of neighbours at decay 0.99 (Vogels et al. 2022); of W that average.
        ramanujan: Whether `second_adjacency_eigenvalue` is at most 2 sqrt(degree - 1).
        second_adjacency_eigenvalue: The largest modulus of an eigenvalue of the adjacency matrix but for +-degree; of a
            static undirected regular graph.
        seconds_per_round: Seconds until the slowest node has heard all it waits for, predicted by the links.
        seconds_to_consensus: Seconds that `rounds_to_consensus` rounds take, predicted by the links.
    """

    name: str
    nodes: int
    edges: int
    period: int | None
    directed: bool
    symmetric: bool
    doubly_stochastic: bool
    row_stochastic: bool
    column_stochastic: bool
    spectral_gap: float | None
    second_eigenvalue: float | None
    smallest_eigenvalue: float | None
    laplacian_norm: float | None
    contraction_per_round: float | None
    rounds_to_consensus: int | None
    exact_after: int | None
    diameter: int | None
    min_degree: int
    max_degree: int
    mean_degree: float
    bytes_per_round: float
    effective_resistance: float | None
    effective_neighbors: float | None
    ramanujan: bool | None
    second_adjacency_eigenvalue: float | None
    seconds_per_round: float
    seconds_to_consensus: float | None

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def measure(schedule: Schedule, parameters: float, links: Links, value_bytes: int = 4) -> Measurements:
    """All numbers of a topology or schedule. Up to 1000 nodes from dense matrices, beyond from sparse ones.

    Args:
        schedule: what to measure.
        parameters: d, numbers in a message.
        links: how long messages take.
        value_bytes: of each number, 4 for float32.
    """
    n, dense = schedule.n, schedule.n <= DENSE_NODES
    rounds = list(islice((schedule[t] for t in range(schedule.period or SAMPLED_ROUNDS)), SAMPLED_ROUNDS))
    out = np.stack([each.out_degrees for each in rounds])
    support = schedule.support()
    directed = is_directed(support)
    links_there = int(support.nnz - np.count_nonzero(support.diagonal()))
    size = parameters * value_bytes
    gap, smallest, norm = _spectrum(schedule) if isinstance(schedule, Topology) else (None, None, None)
    curve = consensus_curve(schedule) if schedule.row_stochastic else None
    needed = rounds_until_consensus(curve)
    seconds = float(np.mean([each_round.max(initial=0) for each_round in (links.exchange(r, size) for r in rounds)]))
    regular, ramanujan = _of_regular(schedule)
    return Measurements(
        name=schedule.name,
        nodes=n,
        edges=links_there if directed else links_there // 2,
        period=schedule.period,
        directed=directed,
        symmetric=schedule.symmetric,
        doubly_stochastic=schedule.doubly_stochastic,
        row_stochastic=schedule.row_stochastic,
        column_stochastic=schedule.column_stochastic,
        spectral_gap=gap,
        second_eigenvalue=None if gap is None else 1 - gap,
        smallest_eigenvalue=smallest,
        laplacian_norm=norm,
        contraction_per_round=contraction_per_round(schedule) if schedule.row_stochastic and dense else None,
        rounds_to_consensus=needed,
        exact_after=exact_after(schedule) if dense else None,
        diameter=diameter(support),
        min_degree=int(out.min()),
        max_degree=int(out.max()),
        mean_degree=float(out.mean()),
        bytes_per_round=float(out.mean() * size),
        effective_resistance=effective_resistance(schedule) if dense and not directed else None,
        effective_neighbors=effective_neighbors(schedule) if dense and _averages(schedule) else None,
        ramanujan=ramanujan,
        second_adjacency_eigenvalue=regular,
        seconds_per_round=seconds,
        seconds_to_consensus=None if needed is None else needed * seconds,
    )


def _averages(schedule: Schedule) -> bool:
    """Whether the matrices are doubly stochastic, and no static one lets differences stay."""
    return schedule.doubly_stochastic and (not isinstance(schedule, Topology) or no_consensus(schedule) is None)


def _of_regular(schedule: Schedule) -> tuple[float | None, bool | None]:
    """Of a regular graph of up to 100,000 nodes the second adjacency eigenvalue, and whether it is Ramanujan."""
    if not isinstance(schedule, Topology) or not 1 < schedule.n <= PRECISE_NODES:
        return None, None
    second = second_adjacency_eigenvalue(schedule)
    bound = 2 * math.sqrt(max(int(schedule.out_degrees[0]) - 1, 0))
    return second, None if second is None else second <= bound + 1e-9


def _spectrum(topology: Topology) -> tuple[float, float | None, float | None]:
    """Spectral gap, smallest eigenvalue and ||I - W||, the symmetric ones from one search for both ends."""
    if topology.symmetric and topology.n > 1:
        low, high = smallest_and_second_eigenvalue(topology)
        return 1 - max(-low, high), low, 1 - low
    feasible = topology.n <= DENSE_NODES or circulant_rows(topology.arrays) is not None
    return spectral_gap(topology), 1.0 if topology.symmetric else None, laplacian_norm(topology) if feasible else None


def consensus_curve(schedule: Schedule, columns: int | None = None) -> np.ndarray:
    """(rounds + 1,): the distance of x to its consensus, as a part of that at the start, until 1e-6 or given up.

    x is (n, columns) and normal, the same for all schedules; the distance is that to the mean of its rows now.

    Args:
        schedule: with rows that sum to 1.
        columns: independent runs, whose distances add up; 4 by default, and 1 of more than 100,000 nodes, which make
            up for it.
    """
    columns = columns or (4 if schedule.n <= PRECISE_NODES else 1)
    x = np.random.default_rng(0).normal(size=(schedule.n, columns))
    start = float(np.linalg.norm(x - x.mean(axis=0))) or 1.0
    distances = [1.0 if schedule.n > 1 else 0.0]
    done = 0
    for t in range(ROUNDS):
        if not CONSENSUS < distances[-1] < GROWN or done > WORK:
            break
        matrix = schedule[t].matrix
        x = matrix @ x
        done += matrix.nnz * columns
        distances.append(float(np.linalg.norm(x - x.mean(axis=0))) / start)
    return np.array(distances)


def rounds_until_consensus(curve: np.ndarray | None) -> int | None:
    """Rounds until a curve of `consensus_curve` ends at 1e-6; None if it ends before that."""
    return len(curve) - 1 if curve is not None and curve[-1] <= CONSENSUS else None


def exact_after(schedule: Schedule) -> int | None:
    """The number of rounds whose product is the exact average, looked for in the first period; dense."""
    if not schedule.row_stochastic or isinstance(schedule, RandomSchedule):
        return None
    product = np.eye(schedule.n)
    for t in range(schedule.period or 0):
        product = schedule[t].matrix @ product
        if np.abs(product - 1 / schedule.n).max() < EXACT:
            return t + 1
    return None


def diameter(support: csr_array) -> int | None:
    """The largest distance in hops; above 5000 nodes of graphs that look the same from every node, else None."""
    from scipy.sparse.csgraph import breadth_first_order, shortest_path

    if support.shape[0] > DIAMETER_NODES:
        if circulant_rows(Arrays(support.indptr, support.indices, support.data)) is None:
            return None
        order, before = breadth_first_order(support, 0)
        node, hops = order[-1], 0
        while node != 0:
            node, hops = before[node], hops + 1
        return hops
    pattern = (support != 0).astype(float)  # weights may be negative
    longest = 0.0
    for first in range(0, support.shape[0], 256):  # some rows of the distances at a time
        sources = np.arange(first, min(first + 256, support.shape[0]))
        longest = max(longest, shortest_path(pattern, method="D", unweighted=True, indices=sources).max())
    return int(longest)


def effective_resistance(schedule: Schedule) -> float:
    """The mean over all pairs of nodes of the effective resistance between them, for edges of 1 ohm: 2 tr(L^+)/(n - 1).

    Source: A. Ghosh, S. Boyd, A. Saberi, "Minimizing effective resistance of a graph", SIAM Review 50(1), 2008.

    Args:
        schedule: undirected; of a schedule the union of a period.
    """
    from scipy.sparse.csgraph import laplacian

    n = schedule.n
    if n == 1:
        return 0.0
    adjacency = (schedule.support() != 0).astype(float).toarray()
    np.fill_diagonal(adjacency, 0)
    return float(2 * np.sum(1 / np.linalg.eigvalsh(laplacian(adjacency))[1:]) / (n - 1))


def effective_neighbors(schedule: Schedule, decay: float = DECAY) -> float:
    """The effective number of neighbours n_W(gamma): by how much averaging lowers the variance of decaying noise.

        n_W(gamma) = (1 / (1 - gamma)) / (1/n sum_i lambda_i^2 / (1 - gamma lambda_i^2))

    from 1 without any averaging to n with the exact one. It is the variance of x <- sqrt(gamma) (x + noise) over that
    of x <- sqrt(gamma) W (x + noise) in the long run, which is how it is found for W that is not symmetric and for
    schedules, for which it is averaged over a period (of those without end, over 64 rounds repeated).

    Source: T. Vogels, H. Hendrikx, M. Jaggi, "Beyond spectral gap: the role of the topology in decentralized learning",
    NeurIPS 2022, arXiv 2206.03093, definition A.

    Args:
        schedule: whose matrices are doubly stochastic.
        decay: gamma, in (0, 1).
    """
    n = schedule.n
    if isinstance(schedule, Topology) and schedule.symmetric:
        squares = np.linalg.eigvalsh(schedule.matrix.toarray()) ** 2
        return float(1 / (1 - decay) / np.mean(squares / (1 - decay * squares)))
    rounds = [schedule[t].matrix for t in range(schedule.period or SAMPLED_ROUNDS)]
    covariance = np.eye(n) / (1 - decay) / n  # near the end already; it forgets the start by gamma a round
    variances: list[float] = []
    for _ in range(math.ceil(math.log(1e-9) / math.log(decay) / len(rounds))):
        variances = []
        for W in rounds:
            covariance = decay * (W @ (W @ (covariance + np.eye(n))).T)
            variances.append(float(np.trace(covariance)) / n)
    return float(decay / (1 - decay) / np.mean(variances))
