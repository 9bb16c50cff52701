"""A torch model on tensors in memory, with what nodes have of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from algorithms import Layout, Sample, ShardedWorkload
from gossip.workloads.neural.movable import Own


@dataclass(frozen=True)
class OnNodes:
    """A workload with what its nodes have of their own, which gradients and losses change."""

    workload: ShardedWorkload
    """Has the data."""

    sample_with: Callable[[Tensor, Sequence[int], Tensor | None, Own], Sample]
    """Its gradients, with that."""

    losses_with: Callable[[Tensor, Sequence[int], Tensor, Own], Tensor]
    """Its losses, with that."""

    own: Own
    """What nodes have."""

    @property
    def layout(self) -> Layout:
        return self.workload.layout

    def initial(self) -> Tensor:
        return self.workload.initial()

    def examples(self, node: int) -> int:
        return self.workload.examples(node)

    def gradient(self, x: Tensor, nodes: Sequence[int], examples: Tensor | None = None) -> Sample:
        return self.sample_with(x, nodes, examples, self.own)

    def losses(self, x: Tensor, nodes: Sequence[int], examples: Tensor) -> Tensor:
        return self.losses_with(x, nodes, examples, self.own)

    def evaluate(self, x: Tensor) -> Mapping[str, float]:
        return self.workload.evaluate(x)
