"""RelaySGD: on a tree, partial sums of all nodes' models are handed on until they are everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.checks import check
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import State


@dataclass
class RelayState(State):
    """The state of RelaySGD. The lists have a tensor for each local node, with a row for each neighbour of it.

    Attributes:
        momentum: Of the local direction.
        received: m_ki, (degree, d), what the neighbours told of their sides.
        sent: m_ik, (degree, d), what they were told.
        received_counts: c_ki, (degree, 1), of how many nodes that is the sum.
        sent_counts: c_ik, (degree, 1).
        first: x_i(0), (k, d), if it stands in for nodes that were not heard of yet, else None.
    """

    momentum: Momentum
    received: list[Tensor]
    sent: list[Tensor]
    received_counts: list[Tensor]
    sent_counts: list[Tensor]
    first: Tensor | None = None


@dataclass(frozen=True)
class RelaySGD(Algorithm[RelayState]):
    """RelaySGD: on a tree, partial sums of all nodes' models are handed on until they are everywhere.

    Vogels, He, Koloskova, Lin, Karimireddy, Stich, Jaggi, "RelaySum for Decentralized Deep Learning on Heterogeneous
    Data", NeurIPS 2021, arXiv 2110.04175.

    With y_i = x_i - lr v_i(x_i), m_ij what node i tells its neighbour j of its own side of the edge, and c_ij of how
    many nodes that is the sum, both 0 at the start:

        m_ij+ = y_i + sum_{k != j} m_ki        c_ij+ = 1 + sum_{k != j} c_ki
        x_i+  = ((n - N_i) y_i + sum_k m_ki+) / n        with N_i = sum_k c_ki+

    Node i stands in for nodes that it has not heard of yet (the form of the authors' README). With `unheard` = "start"
    x_i(0) does, as in the code that they released: x_i+ = (y_i + (n - 1 - N_i) x_i(0) + sum_k m_ki+) / n, so that the
    first steps are shorter, by up to n times. After as many steps as the tree is wide N_i = n - 1, and x_i+ is the
    plain average of the y_j, each dist(i, j) - 1 steps old: every node counts alike, so that with a constant step the
    limit is the optimum, however different the nodes' objectives are.

    Node i sends the same to all its neighbours, s_i = y_i + sum_k m_ki. Node j takes from it m_ij+ = s_i - m_ji, where
    m_ji is what it told node i the step before; node i computes the same bits.

    Sent: one dense vector to each neighbour, per step, and one number in the first n - 1 steps: from then on the counts
    stay as they are. The weights of W are not used. Needs a smaller learning rate the wider the tree is: the average is
    that of older models.

    Momentum is local and never communicated: v_i <- momentum v_i + g_i, applied as in torch.optim.SGD.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        momentum: Momentum of the local direction, in [0, 1).
        nesterov: Use Nesterov's variant; needs momentum > 0.
        unheard: What stands in for nodes that a node has not heard of yet: its "own" model, or the "start".
    """

    needs: ClassVar[tuple[str, ...]] = ("static", "tree")

    lr: float | LearningRate = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    unheard: Literal["own", "start"] = "own"

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check_momentum(self, self.momentum, self.nesterov)
        check(self.unheard in ("own", "start"), self, "unheard", '"own" or "start"')

    def start(self, x: Tensor, network: Network) -> RelayState:
        momentum = Momentum.start(x, self.momentum, self.nesterov)
        number = x[:, :1]
        first = x.clone() if self.unheard == "start" else None
        return RelayState(x.clone(), momentum, _nothing(x), _nothing(x), _nothing(number), _nothing(number), first)

    def step(self, state: RelayState, sample: Sample, network: Network) -> None:
        v = state.momentum.descend(sample.gradient)
        y = add_scaled(state.x, -learning_rate(self.lr, state.step), v)
        if state.step < network.n - 1:
            _relay(torch.ones_like(y[:, :1]), state.received_counts, state.sent_counts, network)
        _relay(y, state.received, state.sent, network)
        missing = network.n - _sums(state.received_counts)
        if state.first is not None and state.step < network.n - 1:
            state.x = (y + (missing - 1) * state.first + _sums(state.received)) / network.n
        else:
            state.x = (missing * y + _sums(state.received)) / network.n


def _nothing(x: Tensor) -> list[Tensor]:
    """A row of zeros for each node, which stands for all its neighbours."""
    return [torch.zeros_like(row)[None] for row in x]


def _relay(y: Tensor, received: list[Tensor], sent: list[Tensor], network: Network) -> None:
    """Tell the neighbours y and what was heard from the others, and replace what was received and sent."""
    s = torch.add(y, _sums(received), out=network.empty(y.shape[1], y.dtype, y.device))
    for i, heard in enumerate(network.neighbors(s)):
        received[i], sent[i] = heard.rows - sent[i], s[i] - received[i]


def _sums(rows: list[Tensor]) -> Tensor:
    """(k, d): the sum of each node's rows, in the order of the neighbours."""
    return torch.stack([sum(each[1:], start=each[0]) if len(each) else each.new_zeros(each.shape[1]) for each in rows])
