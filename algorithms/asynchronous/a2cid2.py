"""A2CiD2: asynchronous averagings of two nodes, with a momentum of mixing that goes on in continuous time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.asynchronous.asynchronous import Asynchronous
from algorithms.asynchronous.pairing import Active, Pairing, active_nodes, check_active, others_of
from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.checks import check
from algorithms.network import WeightedEdges
from algorithms.program import NodeContext, NodeProgram
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate

SECOND = 10**9  # nanoseconds


@dataclass(frozen=True)
class A2CiD2(Asynchronous):
    """A2CiD2: asynchronous averagings of two nodes, with a momentum of mixing that goes on in continuous time.

    Nabli, Belilovsky, Oyallon, "A2CiD2: Accelerating Asynchronous Communication in Decentralized Deep Learning",
    NeurIPS 2023, arXiv 2306.08289, algorithm 1. Node i has a companion y_i (the paper's x~_i) of its model x_i, the
    same at the start. Whatever happens to it, the two first mix for the time dt since the last time, in units of the
    time of a gradient, with e = exp(-2 eta dt):

        mixing      x_i, y_i <- ((1 + e) x_i + (1 - e) y_i) / 2, ((1 - e) x_i + (1 + e) y_i) / 2
        gradient    x_i <- x_i - lr v_i,   y_i <- y_i - lr v_i        with v_i at x_i as it was asked for, or momentum
        averaging   x_i <- x_i + D / 2,    y_i <- y_i + alpha D       with D = x_j - x_i, and the opposite at j

    and unless they are given, as by the theory from the graph,

        eta = 1 / (2 sqrt(chi1 chi2)),   alpha = sqrt(chi1 / chi2) / 2,   chi1 = 1 / lambda_2(L),
        chi2 = max over links of (e_i - e_j)' L^+ (e_i - e_j) / 2,
        L = sum over links of rate_ij (e_i - e_j)(e_i - e_j)'

    where rate_ij is how often i and j average in the time of a gradient. On a ring of n nodes chi1 grows like n^2, and
    chi2 does not grow. With eta 0, x is that of plain asynchronous averaging, whatever alpha. What is computed for eta
    and alpha takes n^3 operations.

    An active node begins a number of averagings per gradient that has the Poisson distribution, one after the other and
    each with a neighbour drawn at random. Gradients do not wait for them: what i and j add is D by what they have told
    each other, so that the sums of x and of y are kept by averagings, and that of x + y by mixing. Who may begin, and
    who answers whom when, is as in `AdPsgd`; a refused averaging is not made up for.

    Sent: one dense vector to j and one back, per averaging; eight bytes or less for a refusal.

        >>> import torch
        >>> from topologies import ring
        >>> first = A2CiD2(lr=0.5).programs(ring(16), range(16), torch.zeros(16, 1))[0]
        >>> round(first.eta, 3), round(first.alpha, 3)
        (0.142, 1.872)

    Args:
        lr: Learning rate, > 0, or a schedule of it, by the number of the node's own gradients.
        rate: The mean number of averagings that an active node begins per gradient, > 0.
        active: Whether one "half" of a bipartite graph begins averagings, or "all" nodes do.
        eta: How fast x and y mix, >= 0; None for what the theory says.
        alpha: The part of a difference that the companion takes, >= 0; None for what the theory says.
        gradient_seconds: The time of a gradient, > 0; None for the mean of the node's own, each of which counts as much
            as all before.
        momentum: Momentum of the local direction, in [0, 1).
        nesterov: Use Nesterov's variant; needs momentum > 0.
    """

    needs = ("symmetric",)

    lr: float | LearningRate = 0.1
    rate: float = 1.0
    active: Active = "half"
    eta: float | None = None
    alpha: float | None = None
    gradient_seconds: float | None = None
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check(self.rate > 0, self, "rate", "> 0")
        check_active(self, self.active)
        check(self.eta is None or self.eta >= 0, self, "eta", ">= 0, or None")
        check(self.alpha is None or self.alpha >= 0, self, "alpha", ">= 0, or None")
        check(self.gradient_seconds is None or self.gradient_seconds > 0, self, "gradient_seconds", "> 0, or None")
        check_momentum(self, self.momentum, self.nesterov)

    def programs(self, graph: WeightedEdges, nodes: Sequence[int], x: Tensor) -> list[NodeProgram]:
        eta, alpha = self.eta, self.alpha
        if eta is None or alpha is None:
            chi1, chi2 = resistances(graph, self.rates(graph))
            eta = 1 / (2 * math.sqrt(chi1 * chi2)) if eta is None else eta
            alpha = math.sqrt(chi1 / chi2) / 2 if alpha is None else alpha
        active = active_nodes(self, self.active, graph)
        unit = None if self.gradient_seconds is None else self.gradient_seconds * SECOND
        return [
            A2CiD2Node(
                self,
                eta,
                alpha,
                row.clone(),
                row.clone(),
                Momentum.start(row, self.momentum, self.nesterov),
                bool(active[node]),
                Pairing(),
                unit,
            )
            for node, row in zip(nodes, x.split(1), strict=True)
        ]

    def rates(self, graph: WeightedEdges) -> dict[tuple[int, int], float]:
        """Of each link, by its smaller and its larger node, how often its nodes average in the time of a gradient."""
        rates: dict[tuple[int, int], float] = {}
        active = active_nodes(self, self.active, graph)
        for node in range(graph.n):
            others = others_of(graph, node)
            for other in others:
                link = min(node, other), max(node, other)
                rates[link] = rates.get(link, 0.0) + self.rate * float(active[node]) / len(others)
        return rates


@dataclass(eq=False)
class A2CiD2Node(NodeProgram):
    """One node of `A2CiD2`.

    Attributes:
        eta: How fast x and y mix.
        alpha: The part of a difference that y takes.
        x: (1, d), its model, as of the last thing that happened to it.
        y: (1, d), the companion.
        active: Whether it begins averagings.
        pairing: Those that are under way.
        unit: The time of a gradient in nanoseconds; None until it is known.
        mixed: Until when x and y have mixed, in nanoseconds.
        asked: When the last gradient was asked for.
        due: The averagings that it is to begin.
        updates: The gradients that it has used.
    """

    method: A2CiD2
    eta: float
    alpha: float
    x: Tensor
    y: Tensor
    momentum: Momentum
    active: bool
    pairing: Pairing
    unit: float | None
    mixed: int = 0
    asked: int = 0
    due: int = 0
    updates: int = 0

    def on_start(self, context: NodeContext) -> None:
        self._iterate(context)

    def on_gradient(self, sample: Sample, context: NodeContext) -> None:
        if self.method.gradient_seconds is None:
            took = float(context.now - self.asked)
            self.unit = took if self.unit is None else (self.unit + took) / 2
        self._mix(context.now)
        step = learning_rate(self.method.lr, self.updates) * self.momentum.descend(sample.gradient)
        self.x, self.y = self.x - step, self.y - step
        self.updates += 1
        self._iterate(context)

    def on_message(self, sender: int, value: Tensor, kind: str, context: NodeContext) -> None:
        self._mix(context.now)
        if self.pairing.hear(sender, value, kind, self, context):
            self._average_on(context)

    def on_lost(self, neighbor: int, returned: Sequence[tuple[Tensor, str]], context: NodeContext) -> None:
        self._mix(context.now)
        if self.pairing.lose(neighbor, self, context):
            self._average_on(context)

    @property
    def model(self) -> Tensor:
        return self.x

    @property
    def shown(self) -> Tensor:
        """See `Averaging`."""
        return self.x

    def average(self, heard: Tensor, told: Tensor) -> None:
        """See `Averaging`."""
        difference = heard.sub_(told)
        self.x = self.x + 0.5 * difference
        self.y = self.y + self.alpha * difference

    def _iterate(self, context: NodeContext) -> None:
        self.asked = context.now
        context.ask_gradient(self.x)
        if self.active:
            self.due += int(context.draw("averagings").generator(0).poisson(self.method.rate))
            self._average_on(context)

    def _average_on(self, context: NodeContext) -> None:
        """Begin an averaging if one is due."""
        if self.due and not self.pairing.waits and self.pairing.ask(self, context):
            self.due -= 1

    def _mix(self, now: int) -> None:
        """Let x and y mix until now, once it is known how long a gradient takes."""
        if self.unit is None or not self.eta:
            return
        decay = math.exp(-2 * self.eta * (now - self.mixed) / self.unit) if self.unit else 0.0
        self.mixed = now
        mean, half = 0.5 * (self.x + self.y), 0.5 * decay * (self.x - self.y)
        self.x, self.y = mean + half, mean - half


def resistances(graph: WeightedEdges, rates: dict[tuple[int, int], float]) -> tuple[float, float]:
    """chi1 and chi2 of `A2CiD2`, of a connected graph with these rates of its links; 1 and 1 of a single node."""
    if not rates:
        return 1.0, 1.0
    laplacian = np.zeros((graph.n, graph.n))
    for (i, j), rate in rates.items():
        laplacian[[i, j], [i, j]] += rate
        laplacian[[i, j], [j, i]] -= rate
    values, vectors = np.linalg.eigh(laplacian)
    inverse = vectors[:, 1:] / values[1:] @ vectors[:, 1:].T
    between = [inverse[i, i] + inverse[j, j] - 2 * inverse[i, j] for i, j in rates]
    return float(1 / values[1]), float(max(between) / 2)
