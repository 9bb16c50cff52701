"""The contract of an asynchronous method: hyper-parameters, and the programs of its nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from algorithms.method import Method
from algorithms.network import WeightedEdges
from algorithms.program import NodeProgram
from algorithms.state import State


@dataclass
class NodesState(State):
    """Where an asynchronous run stands; `x` is what the method outputs.

    Attributes:
        programs: Those of the local nodes.
    """

    programs: list[NodeProgram]


@dataclass
class SavedNodes(State):
    """An asynchronous run in a checkpoint; `x` is what the method outputs.

    Attributes:
        nodes: (bytes,) uint8 each, what each local node has and waits for.
        shared: What belongs to no node, as JSON.
    """

    nodes: list[Tensor]
    shared: str


@dataclass(frozen=True)
class Asynchronous(Method):
    """An asynchronous method. Its fields are hyper-parameters; what changes is in the programs of the nodes."""

    @property
    def hubs(self) -> int:
        """How many nodes, the last ones, servers included, are linked to all others.

        If there are any, these are all links: the topology says only how many nodes have data.
        """
        return self.servers

    @property
    def outputs_hub(self) -> bool:
        """Whether what the run outputs is the model of the last node, and not each node's own."""
        return self.hubs > 0

    @property
    def essential(self) -> int:
        """Without how many of the nodes, the last ones, the others cannot go on: hubs, and those that they trust."""
        return max(self.hubs, self.servers + self.trusted)

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

    def report(self, state: Any) -> dict[str, Tensor]:
        """What the programs of the local nodes report, (k,) each, by name; a run records the means over all nodes."""
        told = [program.report() for program in state.programs]
        names = dict.fromkeys(name for each in told for name in each)
        return {name: torch.tensor([each.get(name, 0.0) for each in told], dtype=torch.float64) for name in names}
