"""What controllers share: they find critical regimes of a training, and change a method by these while it trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.around import AroundMethod
from algorithms.checks import check
from algorithms.layout import Layout
from algorithms.network import Network
from algorithms.numerics.norms import part_norms
from algorithms.schedules.learning_rate import learning_rate
from algorithms.state import State


@dataclass
class ControllerState(State):
    """What a controller carries on; `x` is that of the method.

    Attributes:
        method: The state of the method.
        total: (k, d), the sum of the gradients of an epoch that is looked at.
        norms: (tensors,) of the last such epoch; empty before there is one.
        critical: (tensors,) which are in a critical regime.
        lr: The learning rate of the iteration before; 0 before there is one.
    """

    past: ClassVar[tuple[str, ...]] = ("total",)

    method: State
    total: Tensor
    norms: tuple[float, ...]
    critical: tuple[bool, ...]
    lr: float = 0.0


S = TypeVar("S", bound=ControllerState)


@dataclass(frozen=True)
class Controller(AroundMethod, Algorithm[S]):  # type: ignore[override]
    """Another method, which `of` changes while it trains, by the criterion of Accordion.

    Agarwal, Wang, Lee, Venkataraman, Papailiopoulos, "Adaptive Gradient Communication via Critical Learning Regime
    Identification", MLSys 2021, arXiv 2010.16248.

    With D the norm of the sum of the gradients of a tensor over an epoch, in the mean over the nodes, and D' the same
    of `every` epochs before:

        critical    where |D' - D| >= threshold D', for each tensor by itself

    D is found at the end of epochs 0, `every`, 2 `every`, ... and decides until the next one. All is critical until
    there are two of them, and from an iteration whose learning rate is less than that of the one before until the next
    look: so with a schedule that decreases in every iteration always.

    The authors' code looks at the gradients of one node only; here it is the mean of the norms of all, which are sent:
    a number for each tensor. What else is sent is the method's.

    Args:
        algorithm: The method.
        epoch: Iterations of an epoch, >= 1.
        every: Epochs from one look to the next, >= 1.
        threshold: The relative change that is critical, > 0.
    """

    algorithm: Algorithm
    epoch: int = 100
    every: int = 10
    threshold: float = 0.5

    def __post_init__(self) -> None:
        self.check_method()
        check(self.epoch >= 1, self, "epoch", ">= 1")
        check(self.every >= 1, self, "every", ">= 1")
        check(self.threshold > 0, self, "threshold", "> 0")

    def of(self, state: S) -> Algorithm:
        """The method as it is in a state."""
        raise NotImplementedError

    def tensors(self, x: Tensor) -> Layout:
        """What is critical or not by itself in a stack like x (k, d)."""
        raise NotImplementedError

    def see_rate(self, state: S) -> float:
        """The learning rate of this iteration, before its step; all is critical where it is less than before."""
        lr = learning_rate(self.lr, state.step)
        if lr < state.lr:
            state.critical = (True,) * len(state.critical)
        state.lr = lr
        return lr

    def look(self, state: S, sample: Sample, network: Network) -> tuple[bool, ...]:
        """Take up the gradients of this iteration, after its step, and give what is critical from now on. Collective
        at the end of an epoch that is looked at."""
        epoch, place = divmod(state.step, self.epoch)
        if epoch % self.every:
            return state.critical
        state.total = state.total + sample.gradient
        if place + 1 < self.epoch:
            return state.critical
        norms = part_norms(state.total, self.tensors(state.x).places)
        with_data = network.n - self.without_data
        found = network.gather(norms)[:with_data].mean(dim=0).tolist()
        before, state.norms, state.total = state.norms, tuple(found), torch.zeros_like(state.total)
        if not before:
            return state.critical
        pairs = zip(before, found, strict=True)
        return tuple(old == 0 or abs(old - new) >= self.threshold * old for old, new in pairs)

    def post(self, state: S, network: Network) -> None:
        self.of(state).post(state.method, network)

    def idle(self, state: S, network: Network) -> list[int]:
        return self.of(state).idle(state.method, network)

    def model(self, state: S) -> Tensor:
        state.method.x = state.x
        return self.of(state).model(state.method)

    def spread(self, state: S, network: Network) -> None:
        self.of(state).spread(state.method, network)
        state.x = state.method.x

    def mass(self, state: S) -> Tensor | None:
        return self.of(state).mass(state.method)

    def chosen(self, state: S) -> dict[str, Any]:
        return self.of(state).chosen(state.method)

    def report(self, state: S) -> dict[str, Tensor]:
        return self.of(state).report(state.method)
