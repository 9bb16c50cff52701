"""The contract of a local update rule: how a node turns a gradient at its parameters into a move of these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Self, TypeVar

from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.layout import Layout, parts_for_layout
from algorithms.network import Network
from algorithms.state import Block

M = TypeVar("M", bound=Block | None)


@dataclass(frozen=True)
class LocalOptimizer(Generic[M]):
    """An update rule: a frozen dataclass of its hyper-parameters, which remembers what changes in a memory of type M.

    The parameters that it updates may be those of nodes, of an anchor or of a server. The learning rate is that of
    whoever uses it, and may vary. No row's bits depend on the other rows, except where the rule communicates.
    """

    @property
    def communicates(self) -> bool:
        """Whether `observe` exchanges something over the network, which ends a round."""
        return False

    @property
    def proportional(self) -> bool:
        """Whether a gradient c times as large does what a learning rate c times as large does, entry by entry."""
        return False

    @property
    def takes_norms(self) -> bool:
        """Whether samples must have `norms`."""
        return False

    @property
    def by_rows(self) -> bool:
        """Whether `update` may be given some of the rows alone, or none, with what the memory has of these."""
        return True

    def for_layout(self, layout: Layout) -> Self:
        """This rule for a model of these tensors, which it may treat one by one."""
        return parts_for_layout(self, layout)

    def start(self, x: Tensor) -> M:
        """The memory of nothing seen so far, for parameters like x (k, d)."""
        raise NotImplementedError

    def observe(self, x: Tensor, memory: M, sample: Sample, network: Network) -> None:
        """Keep in the memory what `update` needs beside the gradient; to be called before each update. Collective.

        Args:
            x: (k, d), the parameters, at which the sample was taken.
            memory: What the rule remembers.
            sample: The gradient that `update` is going to be given, with losses and norms.
            network: Where a rule that communicates does so.
        """

    def update(self, x: Tensor, memory: M, gradient: Tensor, lr: float) -> tuple[float, Tensor]:
        """One iteration: the number c and the stack y (k, d) that take the parameters x to x + c y.

        Args:
            x: (k, d), the parameters, which stay as they are.
            memory: What the rule remembers, which changes.
            gradient: (k, d), taken at x; it stays as it is.
            lr: The learning rate of this iteration, >= 0.

        Returns:
            The pair, as `network.mix` takes it in `plus`. The stack may be the gradient, or belong to the memory: it
            may be read until the next update and not be written to.
        """
        raise NotImplementedError

    def model(self, x: Tensor, memory: M) -> Tensor:
        """(k, d): the parameters that the rule outputs, where gradients are taken at x (k, d)."""
        return x
