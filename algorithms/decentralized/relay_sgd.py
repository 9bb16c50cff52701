"""RelaySGD: on a tree, partial sums of all nodes' models are handed on until they are everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.momentum import Momentum, check_momentum
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
    """

    momentum: Momentum
    received: list[Tensor]
    sent: list[Tensor]
    received_counts: list[Tensor]
    sent_counts: list[Tensor]


@dataclass(frozen=True)
class RelaySGD(Algorithm[RelayState]):
    """RelaySGD: on a tree, partial sums of all nodes' models are handed on until they are everywhere.

    Vogels, He, Koloskova, Lin, Karimireddy, Stich, Jaggi, "RelaySum for Decentralized Deep Learning on Heterogeneous
    Data", NeurIPS 2021, arXiv 2110.04175.

    With y_i = x_i - lr v_i(x_i), m_ij what node i tells its neighbour j of its own side of the edge, and c_ij of how
    many nodes that is the sum, both 0 at the start:

        m_ij+ = y_i + sum_{k != j} m_ki        c_ij+ = 1 + sum_{k != j} c_ki
        x_i+  = ((n - N_i) y_i + sum_k m_ki+) / n        with N_i = sum_k c_ki+

    Node i stands in for nodes that it has not heard of yet (the form of the authors' README). After as many steps as
    the tree is wide N_i = n - 1, and x_i+ is the plain average of the y_j, each dist(i, j) - 1 steps old: every node
    counts alike, so that with a constant step the limit is the optimum, however different the nodes' objectives are.

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
    """

    needs: ClassVar[tuple[str, ...]] = ("static", "tree")

    lr: float | LearningRate = 0.1
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check_momentum(self, self.momentum, self.nesterov)

    def start(self, x: Tensor, network: Network) -> RelayState:
        momentum = Momentum.start(x, self.momentum, self.nesterov)
        number = x[:, :1]
        return RelayState(x.clone(), momentum, _nothing(x), _nothing(x), _nothing(number), _nothing(number))

    def step(self, state: RelayState, sample: Sample, network: Network) -> None:
        v = state.momentum.descend(sample.gradient)
        y = add_scaled(state.x, -learning_rate(self.lr, state.step), v)
        if state.step < network.n - 1:
            _relay(torch.ones_like(y[:, :1]), state.received_counts, state.sent_counts, network)
        _relay(y, state.received, state.sent, network)
        missing = network.n - _sums(state.received_counts)
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
