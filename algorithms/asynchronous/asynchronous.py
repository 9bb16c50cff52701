"""The contract of an asynchronous method: hyper-parameters, and the programs of its nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from torch import Tensor

from algorithms.layout import Layout, parts_for_layout
from algorithms.network import WeightedEdges
from algorithms.oracles.oracle import Oracle, check_gives_gradients
from algorithms.program import NodeProgram


@dataclass(frozen=True)
class Asynchronous:
    """An asynchronous method. Its fields are hyper-parameters; what changes is in the programs of the nodes."""

    needs: ClassVar[tuple[str, ...]] = ("row_stochastic",)
    """Properties that the topology must have, as those of `algorithms.Algorithm`; none with hubs."""

    @property
    def servers(self) -> int:
        """How many servers it has: further nodes, after those of the topology, without data. They are hubs."""
        return 0

    @property
    def hubs(self) -> int:
        """How many nodes, the last ones, servers included, are linked to all others.

        If there are any, these are all links: the topology says only how many nodes have data. The model of the last
        node is then what the run outputs.
        """
        return self.servers

    def for_layout(self, layout: Layout) -> Self:
        """This method for a model of these tensors, which compressors may treat one by one; before `programs`."""
        return parts_for_layout(self, layout)

    def check_oracle(self, oracle: Oracle[Any]) -> None:
        """Refuse an oracle whose samples are not what the programs take: gradients by default.

        Raises:
            ValueError: They are not.
        """
        check_gives_gradients(self, oracle)

    def programs(self, graph: WeightedEdges, nodes: Sequence[int], x: Tensor) -> list[NodeProgram]:
        """The programs of some nodes, in this order.

        Args:
            graph: Who may send to whom, among all nodes, servers included; see `topologies.with_hubs`.
            nodes: Which of them.
            x: (len(nodes), d), where they start, which is copied; of servers, where the first node starts.

        Raises:
            ValueError: The method cannot run on this graph.
        """
        raise NotImplementedError
