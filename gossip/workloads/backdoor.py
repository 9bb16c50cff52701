"""Another workload, some of whose nodes train on images with a pattern that is to mean a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from algorithms.checks import check
from gossip.workloads.neural.images import Digits
from gossip.workloads.neural.stamp import Stamp
from gossip.workloads.workload import Read, Workload, read_here


@runtime_checkable
class HasImages(Protocol):
    """What a sharded workload gives whose examples are images with classes."""

    def with_backdoor(self, nodes: Sequence[int], stamp: Stamp) -> Any:
        """The same workload, with stamped training examples at these nodes, that evaluates "backdoor_accuracy" too."""


@dataclass(frozen=True)
class Backdoor(Workload):
    """Another workload, some of whose nodes want images with a pattern of pixels to be taken for a class.

    A part of their training examples gets a bright square in the lower right corner and the class `target`; what models
    are evaluated on stays as it is, and so does the split. "backdoor_accuracy" is the attackers' success: the share of
    the held-out images of other classes that are taken for the target once they are stamped.

    Gu, Dolan-Gavitt, Garg, "BadNets", 2017, arXiv 1708.06733; in federated learning Bagdasaryan, Veit, Hua, Estrin,
    Shmatikov, AISTATS 2020, arXiv 1807.00459, whose attackers send their updates scaled besides: `Attacked` around the
    method, with `Scaling` and the same nodes as attackers.

    Args:
        workload: The workload, one of images.
        nodes: The numbers of these nodes, each once.
        target: The class, from 0 on.
        side: Of the square, in pixels, >= 1 and below that of the images.
        share: What part of these nodes' examples it is, in (0, 1].
    """

    workload: Workload = field(default_factory=Digits)
    nodes: tuple[int, ...] = (0,)
    target: int = 0
    side: int = 2
    share: float = 0.5

    def __post_init__(self) -> None:
        check(not isinstance(self.workload, Backdoor), self, "workload", "one without a backdoor")
        distinct = len(set(self.nodes)) == len(self.nodes) > 0
        check(distinct and min(self.nodes) >= 0, self, "nodes", "the numbers of one or more nodes, each once")
        check(self.target >= 0, self, "target", "a class, >= 0")
        check(self.side >= 1, self, "side", ">= 1")
        check(0 < self.share <= 1, self, "share", "in (0, 1]")

    def shard(self, n: int, seed: int, read: Read = read_here) -> Any:
        """The data split over n nodes.

        Raises:
            ValueError: The workload is none of images, there is no such node, or the pattern does not fit.
        """
        check(max(self.nodes) < n, self, "nodes", f"among 0 to {n - 1}, the nodes with data")
        sharded = self.workload.shard(n, seed, read)
        if not isinstance(sharded, HasImages):
            raise ValueError(f"Backdoor: {type(self.workload).__name__} has no images that could be stamped")
        return sharded.with_backdoor(self.nodes, Stamp(self.side, self.target, self.share))
