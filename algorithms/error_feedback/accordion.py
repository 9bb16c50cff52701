"""Accordion: light compression of the tensors whose gradients change, strong compression of the others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.checks import check, unchecked
from algorithms.compressors import Switched
from algorithms.error_feedback.controller import Controller, ControllerState
from algorithms.error_feedback.error_feedback_sgd import ErrorFeedbackSGD
from algorithms.layout import Layout
from algorithms.network import Network


@dataclass(frozen=True)
class Accordion(Controller[ControllerState]):
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
    gamma is settled for that. `AccordionBatch` changes the size of batches by the same criterion.

    Args:
        algorithm: The method, with a `compressor` that is `Switched`.
        epoch: Iterations of an epoch, >= 1.
        every: Epochs from one look to the next, >= 1.
        threshold: The relative change that is critical, > 0.
    """

    algorithm: Algorithm = field(default_factory=lambda: ErrorFeedbackSGD(compressor=Switched()))

    def __post_init__(self) -> None:
        switched = isinstance(getattr(self.algorithm, "compressor", None), Switched)
        valid = switched and getattr(self.algorithm, "lr", None) is not None
        check(valid, self, "algorithm", "a method with a learning rate, whose compressor is Switched")
        super().__post_init__()

    def start(self, x: Tensor, network: Network) -> ControllerState:
        tensors = len(self.tensors(x).shapes)
        method = self._at_level((False,) * tensors).start(x, network)
        return ControllerState(method.x, method, torch.zeros_like(x), (), (True,) * tensors)

    def step(self, state: ControllerState, sample: Sample, network: Network) -> None:
        self.see_rate(state)
        state.method.x, state.method.step = state.x, state.step
        self.of(state).step(state.method, sample, network)
        state.x = state.method.x
        state.critical = self.look(state, sample, network)

    def report(self, state: ControllerState) -> dict[str, Tensor]:
        light = torch.full((len(state.x),), sum(state.critical) / len(state.critical), dtype=torch.float64)
        return super().report(state) | {"tensors_compressed_lightly": light}

    def of(self, state: ControllerState) -> Algorithm:
        return self._at_level(state.critical)

    def tensors(self, x: Tensor) -> Layout:
        return self._compressor.tensors(x.shape[1])

    @property
    def _compressor(self) -> Switched:
        return cast(Switched, cast(Any, self.algorithm).compressor)

    def _at_level(self, light: tuple[bool, ...]) -> Algorithm:
        """The method with light compression of these tensors; its learning rate may have come to 0."""
        return unchecked(self.algorithm, "compressor", self._compressor.at_level(light))
