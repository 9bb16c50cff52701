"""What turns a workload into gradient estimates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.layout import Layout


class ShardedWorkload(Protocol):
    """Data, model and loss, sharded over the nodes. `gossip.workloads` implements it.

    The objective is (1/n) sum_i f_i(x), with f_i the mean loss over the examples of node i.
    """

    @property
    def layout(self) -> Layout:
        """How the model's tensors lie in the flat parameter vector."""

    def initial(self) -> Tensor:
        """(d,): the initial parameters, the same for all nodes; or (n, d), of each node."""

    def examples(self, node: int) -> int:
        """Number of training examples of a node."""

    def gradient(self, x: Tensor, nodes: Sequence[int], examples: Tensor | None = None) -> Sample:
        """Gradient and loss of each of these nodes at its own point.

        Args:
            x: (len(nodes), d), the parameters of each node.
            nodes: Any subset of the nodes.
            examples: (len(nodes), batch) int64, which of its examples each node uses; None for all.
        """

    def evaluate(self, x: Tensor) -> Mapping[str, float]:
        """Metrics of one model x (d,) on held-out data: "test_loss", and "test_accuracy" where it exists."""


@dataclass(frozen=True)
class Oracle:
    """Gives the gradient estimates of one iteration. Its fields are its parameters."""

    def sample(self, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], step: int, seed: int) -> Sample:
        """Estimates at x (len(nodes), d) for these nodes in iteration `step`, a pure function of its arguments."""
        raise NotImplementedError
