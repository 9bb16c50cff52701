"""Cooperative SGD: the framework A(tau, W, v) of methods with local updates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.blocks.adacomm import AdaComm
from algorithms.blocks.local_updates import LocalState, LocalUpdates
from algorithms.checks import check
from algorithms.network import Network
from algorithms.optimizers import LocalOptimizer
from algorithms.schedules.learning_rate import LearningRate, learning_rate


@dataclass(kw_only=True)
class CooperativeState(LocalState):
    """The state of Cooperative SGD.

    Attributes:
        n: How many nodes there are, with the auxiliary ones.
    """

    n: int


@dataclass(frozen=True)
class CooperativeSGD(LocalUpdates[CooperativeState]):
    """Cooperative SGD: the framework A(tau, W, v) of methods with local updates.

    Wang & Joshi, "Cooperative SGD: A Unified Framework for the Design and Analysis of Local-Update SGD Algorithms",
    JMLR 22(213), 2021, arXiv 1808.07576.

    Of the m + v nodes the last v are auxiliary: they have no data and their gradients are 0. With X the models, one a
    row, G the gradients, and iterations t = 0, 1, ...

        X <- W_t (X - lr G),   W_t = W if tau divides t + 1, otherwise I

    (the paper has models as columns and so the transposed W_t; W is symmetric). Of a time-varying topology each
    averaging uses the next round's matrix. All nodes start at the same point in the paper, the auxiliary ones too.

    Sent: one dense vector to each out-neighbour, every tau iterations.

    The method is to be judged at the average u of all m + v models, which is what is evaluated. It moves as

        u <- u - lr m / (m + v) mean of the gradients of the m nodes with data,

    so that its learning rate is lr m / (m + v), the effective one, and not lr. With another local optimizer, its moves
    of the parameters take the place of -lr G, and auxiliary nodes stay where they are. What it remembers, such as
    momentum, is never averaged, and outside the paper's theory.

    A(1, J, 0) is fully synchronous SGD and A(tau, J, 0) local SGD, for which `LocalSGD` has exact averages; A(1, W, 0)
    is decentralized SGD; A(tau, W, 0) decentralized periodic averaging; A(tau, W_alpha, 1) elastic averaging on the
    topology `elastic_averaging`, and with v = groups + 1 its hierarchical form on `elastic_averaging_tree`; A(infinity,
    I, 0) independent SGDs.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        period: Iterations from one averaging to the next, tau >= 1, or a controller.
        auxiliary: How many nodes, the last ones, have no data, v >= 0.
        momentum: Momentum of the local direction, in [0, 1).
        nesterov: Use Nesterov's variant; needs momentum > 0.
        optimizer: The local update rule, instead of SGD with this momentum.
    """

    needs: ClassVar[tuple[str, ...]] = ("symmetric",)

    lr: float | LearningRate = 0.1
    period: int | AdaComm = 1
    auxiliary: int = 0
    momentum: float = 0.0
    nesterov: bool = False
    optimizer: LocalOptimizer | None = None

    def __post_init__(self) -> None:
        self.check_updates()
        check(self.auxiliary >= 0, self, "auxiliary", ">= 0")
        alone = not (self.auxiliary and self.rule.communicates)
        check(alone, self, "optimizer", "one that sends nothing beside auxiliary nodes, which have no gradients")

    def start(self, x: Tensor, network: Network) -> CooperativeState:
        check(self.auxiliary < network.n, self, "auxiliary", f"below the number of nodes, {network.n}")
        return CooperativeState(x.clone(), *self.start_updates(x), n=network.n)

    def step(self, state: CooperativeState, sample: Sample, network: Network) -> None:
        x = state.x
        state.x = self.updated(state, sample, network, out=network.empty(x.shape[1], x.dtype, x.device))
        if self.auxiliary:  # stay where they are, whatever the optimizer makes of no gradient, such as weight decay
            with_data = sum(node < network.n - self.auxiliary for node in network.nodes)
            state.x[with_data:] = x[with_data:]
        if self.ends_period(state, sample, network):
            state.x = network.mix(state.x)

    def report(self, state: CooperativeState) -> dict[str, Tensor]:
        lr = self.rate(state) * self._share(state.n)
        return {**super().report(state), "effective_lr": torch.full((len(state.x),), lr, dtype=torch.float64)}

    def effective_lr(self, n: int, t: int = 0) -> float:
        """lr m / (m + v): the learning rate of the average of all n = m + v models, in iteration t."""
        return learning_rate(self.lr, t) * self._share(n)

    def _share(self, n: int) -> float:
        """Of all n nodes, of those with data."""
        return (n - self.auxiliary) / n


def decentralized_sgd(lr: float | LearningRate, **options: Any) -> CooperativeSGD:
    """A(1, W, 0): decentralized SGD in the adapt-then-combine order."""
    return CooperativeSGD(lr, period=1, **options)


def decentralized_periodic_averaging(lr: float | LearningRate, period: int, **options: Any) -> CooperativeSGD:
    """A(tau, W, 0)."""
    return CooperativeSGD(lr, period, **options)


def elastic_averaging_sgd(
    lr: float | LearningRate, period: int = 1, auxiliary: int = 1, **options: Any
) -> CooperativeSGD:
    """A(tau, W_alpha, v), to be run on the topology `elastic_averaging`, whose last node is the anchor.

    On `elastic_averaging_tree`, whose anchors are the last groups + 1 nodes, it is the hierarchical form (EASGD Tree).
    """
    return CooperativeSGD(lr, period, auxiliary, **options)
