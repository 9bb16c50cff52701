"""Accordion for the batch size: large batches, and so fewer steps, while the gradients change little."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.checks import check
from algorithms.compressors import Identity
from algorithms.error_feedback.compressed_sgd import CompressedSGD
from algorithms.error_feedback.controller import Controller, ControllerState
from algorithms.layout import Layout
from algorithms.network import Network


@dataclass
class AccordionBatchState(ControllerState):
    """What Accordion for the batch size carries on; `x` is that of the method.

    Attributes:
        gradient: (k, d), the sum of the gradients since the last step of the method.
        loss: (k,), likewise.
        count: How many of them there are.
    """

    past: ClassVar[tuple[str, ...]] = ("total", "gradient")

    gradient: Tensor = field(kw_only=True)
    loss: Tensor = field(kw_only=True)
    count: int = field(default=0, kw_only=True)


@dataclass(frozen=True)
class AccordionBatch(Controller[AccordionBatchState]):
    """Accordion for the batch size: another method, which makes fewer steps outside of critical regimes.

    Agarwal, Wang, Lee, Venkataraman, Papailiopoulos, "Adaptive Gradient Communication via Critical Learning Regime
    Identification", MLSys 2021, arXiv 2010.16248.

    An iteration computes gradients of one small batch, that of the oracle. In critical regimes the method makes a step
    in each iteration. Elsewhere it makes one in every `accumulate` iterations, by the mean of their gradients, all of
    them taken at the same point, and with a learning rate as many times as large: a batch `accumulate` times as large.
    With D the norm of the sum of the gradients of the model over an epoch, in the mean over the nodes, and D' the same
    of `every` epochs before:

        critical    where |D' - D| >= threshold D'

    D is found at the end of epochs 0, `every`, 2 `every`, ...; before there are two all is critical. As batches have
    become large they stay so, until an iteration whose learning rate is less than that of the one before: from there to
    the next look they are small. What has been accumulated until then is a batch of its own.

    Iterations and epochs so count samples, and the method's own steps, which its periods and thresholds go by, are
    fewer. A learning rate that is a schedule is one of iterations.

    The authors' code looks at the gradients of one node only; here it is the mean of the norms of all, which are sent.
    What else is sent is the method's, in its steps alone.

    Args:
        algorithm: The method. It has a learning rate, and takes no norms of gradients.
        epoch: Iterations of an epoch, >= 1.
        every: Epochs from one look to the next, >= 1.
        threshold: The relative change that is critical, > 0.
        accumulate: Iterations of a step outside of critical regimes, >= 2; 8 in the paper.
    """

    algorithm: Algorithm = field(default_factory=lambda: CompressedSGD(compressor=Identity()))
    accumulate: int = 8

    def __post_init__(self) -> None:
        valid = getattr(self.algorithm, "lr", None) is not None and not self.algorithm.takes_norms
        valid &= not isinstance(self.algorithm, Controller)
        check(valid, self, "algorithm", "a method with a learning rate, without norms, that is no Accordion itself")
        check(self.accumulate >= 2, self, "accumulate", ">= 2")
        super().__post_init__()

    @property
    def sets_batch_size(self) -> bool:
        return True

    def start(self, x: Tensor, network: Network) -> AccordionBatchState:
        method = self.algorithm.start(x, network)
        nothing = torch.zeros_like(x)
        return AccordionBatchState(
            method.x, method, nothing, (), (True,), gradient=nothing.clone(), loss=nothing[:, 0].clone()
        )

    def post(self, state: AccordionBatchState, network: Network) -> None:
        if state.count + 1 >= self._wanted(state):
            super().post(state, network)

    def step(self, state: AccordionBatchState, sample: Sample, network: Network) -> None:
        lr = self.see_rate(state)
        state.gradient, state.loss = state.gradient + sample.gradient, state.loss + sample.loss
        state.count += 1
        if state.count >= self._wanted(state):
            gradient, loss = state.gradient / state.count, state.loss / state.count
            method, large = state.method, Sample(gradient, loss, losses=sample.losses)
            method.x = state.x
            self.algorithm.with_learning_rate(lr * state.count).step(method, large, network)
            method.step += 1
            state.x = method.x
            state.gradient, state.loss = torch.zeros_like(state.gradient), torch.zeros_like(state.loss)
            state.count = 0
        if not all(self.look(state, sample, network)):
            state.critical = (False,)

    def report(self, state: AccordionBatchState) -> dict[str, Tensor]:
        gradients = torch.full((len(state.x),), self._wanted(state), dtype=torch.float64)
        return super().report(state) | {"gradients_per_step": gradients}

    def of(self, state: AccordionBatchState) -> Algorithm:
        return self.algorithm

    def tensors(self, x: Tensor) -> Layout:
        return Layout.vector(x.shape[1])

    def _wanted(self, state: AccordionBatchState) -> int:
        """How many gradients the next step of the method takes."""
        return 1 if all(state.critical) else self.accumulate
