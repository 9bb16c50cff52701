"""Zeno: a server that scores gradients by what they would do to a loss of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm, Losses, Sample
from algorithms.blocks.server import collect, distribute, server_rows
from algorithms.checks import check, positive
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled, squared_norms
from algorithms.numerics.tree_sum import tree_sum
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import State


@dataclass(frozen=True)
class Zeno(Algorithm[State]):
    """Zeno: SGD by the gradients that score best at a server, which has data of its own.

    Xie, Koyejo, Gupta, "Zeno: Distributed Stochastic Gradient Descent with Suspicion-based Fault-tolerance", ICML 2019,
    arXiv 1805.10032.

        score(u) = f_r(x) - f_r(x - lr u) - rho |u|^2
        x <- x - lr (the mean of the m - b gradients u_i with the largest scores)

    f_r is the loss over n_r examples of the server, drawn anew in each iteration. It withstands any number of attackers
    up to b, also where they are the majority; with b = 0 it is plain averaging. The server is the last node: its share
    of the data is f_r's alone, it computes no gradient, and m is the number of all others. Of equal scores the node
    with the smaller number counts; a score that is not a number is the least.

    The authors' code has the mean of the squares in the place of |u|^2, so that its rho is d times this one.

    Sent: a gradient up by each node but the server, and the average down to each; at the start the parameters along the
    tree of `network.mean`, as all nodes start from their mean. The m + 1 losses of n_r examples at the server count as
    function values. W is not used.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        trim: b, how many gradients are left out, 0 <= b < m.
        rho: Weight of the squared norm, >= 0.
        batch: n_r, examples of a loss at the server, >= 1 and no more than it has.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    lr: float | LearningRate = 0.1
    trim: int = 1
    rho: float = 5e-4
    batch: int = 4

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check(self.trim >= 0, self, "trim", ">= 0")
        check(self.rho == 0 or positive(self.rho), self, "rho", ">= 0")
        check(self.batch >= 1, self, "batch", ">= 1")

    @property
    def trusted(self) -> int:
        return 1

    @property
    def takes_losses(self) -> bool:
        return True

    def for_examples(self, examples: Sequence[int]) -> Self:
        allowed = f"at most {examples[-1]}, the number of examples of the server, node {len(examples) - 1}"
        check(self.batch <= examples[-1], self, "batch", allowed)
        return self

    def start(self, x: Tensor, network: Network) -> State:
        m = network.n - 1
        check(self.trim < m, self, "trim", f"below {m}, the number of nodes without the server, node {m}")
        return State(network.mean(x).repeat(len(x), 1))

    def idle(self, state: State, network: Network) -> list[int]:
        return list(range(len(state.x)))[server_rows(network)]

    def step(self, state: State, sample: Sample, network: Network) -> None:
        lr, others = learning_rate(self.lr, state.step), range(network.n - 1)
        average = torch.zeros_like(state.x)
        heard = collect(sample.gradient, others, network)
        if heard:
            assert sample.losses is not None
            scores = self._scores(torch.stack([heard[node] for node in others]), state.x, lr, sample.losses)
            kept = best(scores, len(others) - self.trim)
            average[-1] = tree_sum({node: heard[node] for node in kept}, len(others)) / len(kept)
        average = distribute(average, others, network, others=average)
        state.x = add_scaled(state.x, -lr, average)

    def _scores(self, gradients: Tensor, x: Tensor, lr: float, losses: Losses) -> Tensor:
        """(m,), of gradients (m, d) at the server's row of x (k, d), the last one."""
        points = torch.cat([x[-1:], x[-1] - lr * gradients])
        found = losses(points, len(x) - 1, self.batch).double()
        return found[0] - found[1:] - self.rho * squared_norms(gradients)


def best(scores: Tensor, count: int) -> list[int]:
    """The numbers, ascending, of so many of the largest scores (m,); of equal ones the first."""
    order = torch.argsort(scores.nan_to_num(nan=-torch.inf), descending=True, stable=True)
    return sorted(order[:count].tolist())
