"""A torch model with what its nodes have of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from algorithms import Layout, Sample
from gossip.workloads.neural.movable import Own

if TYPE_CHECKING:
    from gossip.workloads.neural.supervised import Supervised


@dataclass(frozen=True)
class SupervisedOnNodes:
    """A workload with what its nodes have of their own, which gradients and losses change."""

    workload: Supervised
    own: Own

    @property
    def layout(self) -> Layout:
        return self.workload.layout

    def initial(self) -> Tensor:
        return self.workload.initial()

    def examples(self, node: int) -> int:
        return self.workload.examples(node)

    def gradient(self, x: Tensor, nodes: Sequence[int], examples: Tensor | None = None) -> Sample:
        return self.workload._sample(x, nodes, examples, self.own)

    def losses(self, x: Tensor, nodes: Sequence[int], examples: Tensor) -> Tensor:
        return self.workload._losses(x, nodes, examples, self.own)

    def evaluate(self, x: Tensor) -> Mapping[str, float]:
        return self.workload.evaluate(x)
