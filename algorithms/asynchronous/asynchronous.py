"""The contract of an asynchronous method: hyper-parameters, and the programs of its nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from torch import Tensor

from algorithms.layout import Layout, parts_for_layout
from algorithms.network import WeightedEdges
from algorithms.program import NodeProgram


@dataclass(frozen=True)
class Asynchronous:
    """An asynchronous method. Its fields are hyper-parameters; what changes is in the programs of the nodes."""

    needs: ClassVar[tuple[str, ...]] = ("row_stochastic",)
    """Properties that the topology must have, as those of `algorithms.Algorithm`."""

    def for_layout(self, layout: Layout) -> Self:
        """This method for a model of these tensors, which compressors may treat one by one; before `programs`."""
        return parts_for_layout(self, layout)

    def programs(self, graph: WeightedEdges, nodes: Sequence[int], x: Tensor) -> list[NodeProgram]:
        """The programs of some nodes, in this order.

        Args:
            graph: Who may send to whom, among all nodes.
            nodes: Which of them.
            x: (len(nodes), d), where they start, which is copied.

        Raises:
            ValueError: The method cannot run on this graph.
        """
        raise NotImplementedError
