"""Accordion: light compression of the tensors whose gradients change, strong compression of the others."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.checks import check
from algorithms.compressors import Switched
from algorithms.error_feedback.error_feedback_sgd import ErrorFeedbackSGD
from algorithms.layout import Layout
from algorithms.network import Network
from algorithms.numerics.norms import part_norms
from algorithms.schedules.learning_rate import learning_rate
from algorithms.state import State


@dataclass
class AccordionState(State):
    """What Accordion carries on; `x` is that of the method.

    Attributes:
        method: The state of the method.
        total: (k, d), the sum of the gradients of an epoch that is looked at.
        norms: (tensors,) of the last such epoch; empty before there is one.
        light: (tensors,) which are compressed lightly.
        lr: The learning rate of the iteration before; 0 before there is one.
    """

    past: ClassVar[tuple[str, ...]] = ("total",)

    method: State
    total: Tensor
    norms: tuple[float, ...]
    light: tuple[bool, ...]
    lr: float = 0.0


@dataclass(frozen=True)
class Accordion(Algorithm[AccordionState]):
    """Accordion: another method, whose `Switched` operator compresses lightly in critical regimes of the training.

    Agarwal, Wang, Lee, Venkataraman, Papailiopoulos, "Adaptive Gradient Communication via Critical Learning Regime
    Identification", MLSys 2021, arXiv 2010.16248.

    With D the norm of the sum of the gradients of a tensor over an epoch, in the mean over the nodes, and D' the same
    of `every` epochs before:

        critical    where |D' - D| >= threshold D', for each tensor by itself; then it is compressed lightly

    D is found at the end of epochs 0, `every`, 2 `every`, ... and decides until the next one. All tensors are
    compressed lightly until there are two of them, and from an iteration whose learning rate is less than that of the
    one before until the next look: so with a schedule that decreases in every iteration always.

    The authors' code looks at the gradients of one node only; here it is the mean of the norms of all, which are sent:
    a number for each tensor. What else is sent is the method's. Where the strong operator has to work too, the method's
    gamma is settled for that.

    Args:
        algorithm: The method, with a `compressor` that is `Switched`.
        epoch: Iterations of an epoch, >= 1.
        every: Epochs from one look to the next, >= 1.
        threshold: The relative change that is critical, > 0.
    """

    algorithm: Algorithm = field(default_factory=lambda: ErrorFeedbackSGD(compressor=Switched()))
    epoch: int = 100
    every: int = 10
    threshold: float = 0.5

    def __post_init__(self) -> None:
        switched = isinstance(getattr(self.algorithm, "compressor", None), Switched)
        valid = switched and hasattr(self.algorithm, "lr")
        check(valid, self, "algorithm", "a method with a learning rate, whose compressor is Switched")
        check(self.epoch >= 1, self, "epoch", ">= 1")
        check(self.every >= 1, self, "every", ">= 1")
        check(self.threshold > 0, self, "threshold", "> 0")

    @property
    def lr(self) -> Any:
        """The method's learning rate."""
        return self.algorithm.lr  # type: ignore[attr-defined]

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.algorithm.needs

    @property
    def least_eigenvalue(self) -> float:  # type: ignore[override]
        return self.algorithm.least_eigenvalue

    @property
    def auxiliary(self) -> int:
        return self.algorithm.auxiliary

    @property
    def servers(self) -> int:
        return self.algorithm.servers

    @property
    def proportional(self) -> bool:
        return self.algorithm.proportional

    @property
    def takes_norms(self) -> bool:
        return self.algorithm.takes_norms

    @property
    def takes_losses(self) -> bool:
        return self.algorithm.takes_losses

    @property
    def trusted(self) -> int:
        return self.algorithm.trusted

    def with_learning_rate(self, lr: float) -> Self:
        return replace(self, algorithm=self.algorithm.with_learning_rate(lr))

    def replicated(self) -> Self:
        return replace(self, algorithm=self.algorithm.replicated())

    def for_examples(self, examples: Sequence[int]) -> Self:
        return replace(self, algorithm=self.algorithm.for_examples(examples))

    def start(self, x: Tensor, network: Network) -> AccordionState:
        tensors = len(self._layout(x).shapes)
        method = self._method((False,) * tensors).start(x, network)
        return AccordionState(method.x, method, torch.zeros_like(x), (), (True,) * tensors)

    def post(self, state: AccordionState, network: Network) -> None:
        self._of(state).post(state.method, network)

    def idle(self, state: AccordionState, network: Network) -> list[int]:
        return self._of(state).idle(state.method, network)

    def step(self, state: AccordionState, sample: Sample, network: Network) -> None:
        t, lr = state.step, learning_rate(self.lr, state.step)
        if lr < state.lr:
            state.light = (True,) * len(state.light)
        state.lr = lr
        looks = t // self.epoch % self.every == 0
        if looks:
            state.total = state.total + sample.gradient
        state.method.x, state.method.step = state.x, t
        self._of(state).step(state.method, sample, network)
        state.x = state.method.x
        if looks and (t + 1) % self.epoch == 0:
            self._look(state, network)

    def _look(self, state: AccordionState, network: Network) -> None:
        norms = part_norms(state.total, self._layout(state.x).places)
        with_data = network.n - self.without_data
        found = network.gather(norms)[:with_data].mean(dim=0).tolist()
        if state.norms:
            before = zip(state.norms, found, strict=True)
            state.light = tuple(old == 0 or abs(old - new) >= self.threshold * old for old, new in before)
        state.norms, state.total = tuple(found), torch.zeros_like(state.total)

    def model(self, state: AccordionState) -> Tensor:
        state.method.x = state.x
        return self._of(state).model(state.method)

    def spread(self, state: AccordionState, network: Network) -> None:
        self._of(state).spread(state.method, network)
        state.x = state.method.x

    def mass(self, state: AccordionState) -> Tensor | None:
        return self._of(state).mass(state.method)

    def chosen(self, state: AccordionState) -> dict[str, Any]:
        return self._of(state).chosen(state.method)

    def report(self, state: AccordionState) -> dict[str, Tensor]:
        light = torch.full((len(state.x),), sum(state.light) / len(state.light), dtype=torch.float64)
        return self._of(state).report(state.method) | {"tensors_compressed_lightly": light}

    def _of(self, state: AccordionState) -> Algorithm:
        return self._method(state.light)

    def _method(self, light: tuple[bool, ...]) -> Algorithm:
        return _with_levels(self.algorithm, light)

    def _layout(self, x: Tensor) -> Layout:
        compressor: Switched = self.algorithm.compressor  # type: ignore[attr-defined]
        return compressor.tensors(x.shape[1])


def _with_levels(algorithm: Any, light: tuple[bool, ...]) -> Any:
    changed = copy.copy(algorithm)  # unchecked: a learning rate may have come to 0
    object.__setattr__(changed, "compressor", algorithm.compressor.at_level(light))
    return changed
