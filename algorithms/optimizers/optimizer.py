"""The contract of a local update rule: how a node turns a gradient at its parameters into a move of these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.layout import Layout, parts_for_layout
from algorithms.network import Network
from algorithms.state import State


@dataclass(frozen=True)
class LocalOptimizer:
    """A local update rule. Its fields are its hyper-parameters; what changes lives in the algorithm's `State`.

    The learning rate is the algorithm's. No row's bits depend on the other rows.
    """

    @property
    def communicates(self) -> bool:
        """Whether each `update` exchanges something over the network, which ends a round."""
        return False

    @property
    def proportional(self) -> bool:
        """Whether a gradient c times as large does what a learning rate c times as large does, entry by entry."""
        return False

    @property
    def takes_norms(self) -> bool:
        """Whether samples must have `norms`, and `observe` is to be called."""
        return False

    def for_layout(self, layout: Layout) -> Self:
        """This rule for a model of these tensors, which it may treat one by one."""
        return parts_for_layout(self, layout)

    def start(self, state: State) -> None:
        """Add what the rule remembers to a state that has `x`, or renew it there: nothing seen so far."""

    def observe(self, state: State, sample: Sample) -> None:
        """Keep what `update` needs of the sample, beside the gradient; to be called before it."""

    def update(self, state: State, gradient: Tensor, lr: float, network: Network) -> tuple[float, Tensor]:
        """One iteration: the number c and the stack y (k, d) that take the parameters x to x + c y.

        Args:
            state: With x (k, d), the parameters, which stay as they are, and what the rule remembers, which changes.
            gradient: (k, d), taken at x; stays as it is.
            lr: The learning rate of this iteration, >= 0.
            network: Used by rules that communicate.

        Returns:
            The pair, as `network.mix` takes it in `plus`. The stack may be the gradient, or belong to the state: it
            may be read until the next update and not be written to.
        """
        raise NotImplementedError

    def model(self, state: State, x: Tensor) -> Tensor:
        """(k, d): the parameters that the rule outputs, where gradients are taken at x (k, d)."""
        return x
