"""The cores of simulated hosts, which the nodes on them share, for gradients and for messages."""

from __future__ import annotations

import math
from dataclasses import dataclass

from algorithms.checks import check


@dataclass(frozen=True)
class Host:
    """What computes for the nodes of a host: gradients, and handling messages, as TCP does in the kernel.

    The gradient of a node takes one core for all its time. A message takes a core of its sender's host, and then one of
    its listener's, for `message` + bytes * `byte` seconds each, while it travels on. Each core does one thing after the
    other, in the order in which they come; what comes takes the core that is free first.

    Args:
        cores: How many each host has, >= 1.
        nodes: How many nodes, by their numbers, are on a host, >= 1; all of them by default.
        message: Seconds of a core that each message takes at either end, >= 0.
        byte: And seconds for each of its bytes, >= 0.
    """

    cores: int
    nodes: int | None = None
    message: float = 0.0
    byte: float = 0.0

    def __post_init__(self) -> None:
        check(isinstance(self.cores, int) and self.cores >= 1, self, "cores", "a whole number, >= 1")
        check(
            self.nodes is None or (isinstance(self.nodes, int) and self.nodes >= 1),
            self,
            "nodes",
            "a whole number, >= 1, or left out",
        )
        check(0 <= self.message < math.inf, self, "message", ">= 0, in seconds")
        check(0 <= self.byte < math.inf, self, "byte", ">= 0, in seconds")

    def of_node(self, node: int) -> int:
        """The number of its host."""
        return 0 if self.nodes is None else node // self.nodes

    def count(self, n: int) -> int:
        """Hosts of n nodes."""
        return self.of_node(n - 1) + 1
