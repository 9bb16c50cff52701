"""Another workload, some of whose nodes train on false labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from algorithms.checks import check
from gossip.workloads.neural.images import Digits
from gossip.workloads.workload import Read, Workload, read_here


@runtime_checkable
class HasLabels(Protocol):
    """What a sharded workload gives whose examples have classes."""

    def with_flipped_labels(self, nodes: Sequence[int]) -> Any:
        """The same workload, with class c as C - 1 - c, of C classes, in the training examples of these nodes."""


@dataclass(frozen=True)
class FlippedLabels(Workload):
    """Another workload, some of whose nodes train on flipped labels: an attack by false data.

    Class c becomes C - 1 - c, of C classes. What the models are evaluated on stays as it is, and so does the split. As
    in Xie, Koyejo, Gupta, "Zeno", ICML 2019, arXiv 1805.10032.

    Args:
        workload: The workload, one of classes.
        nodes: The numbers of these nodes, each once.
    """

    workload: Workload = field(default_factory=Digits)
    nodes: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        distinct = len(set(self.nodes)) == len(self.nodes) > 0
        check(distinct and min(self.nodes) >= 0, self, "nodes", "the numbers of one or more nodes, each once")

    def shard(self, n: int, seed: int, read: Read = read_here) -> Any:
        """The data split over n nodes.

        Raises:
            ValueError: The workload is none of classes, or there is no such node.
        """
        check(max(self.nodes) < n, self, "nodes", f"among 0 to {n - 1}, the nodes with data")
        sharded = self.workload.shard(n, seed, read)
        if not isinstance(sharded, HasLabels):
            raise ValueError(f"FlippedLabels: {type(self.workload).__name__} has no classes that could be flipped")
        return sharded.with_flipped_labels(self.nodes)
