"""What turns a workload into gradient estimates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from algorithms.algorithm import Sample, State
from algorithms.layout import Layout


class ShardedWorkload(Protocol):
    """Data, model and loss, sharded over the nodes. `gossip.workloads` implements it.

    The objective is (1/n) sum_i f_i(x), with f_i the mean loss over the examples of node i.
    """

    @property
    def layout(self) -> Layout:
        """How the model's tensors lie in the flat parameter vector."""

    def initial(self) -> Tensor:
        """(d,): the initial parameters, the same for all nodes."""

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
    """Gives the gradient estimates of each iteration. Its fields are its parameters.

    What it remembers from one iteration to the next lives in a `State`, whose entries are scalars, or have one row or
    item for each node: stacks (k, ...) and lists of length k. Two are common to all oracles, both (k,) int64:

    * `gradients`: the component gradients, those of the loss of a single example, that each node evaluated so far;
    * `queries`: the function values, likewise of a single example, that each node asked for so far.
    """

    def start(self, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], seed: int) -> State:
        """The state before the first iteration, for these nodes at x (k, d).

        Raises:
            ValueError: The workload cannot give what the oracle needs.
        """
        if not hasattr(workload, "gradient"):
            raise ValueError(
                f"{type(self).__name__} needs gradients, and {type(workload).__name__} gives function values only; "
                f"ZerothOrder makes estimates of these"
            )
        nothing = torch.zeros(len(nodes), dtype=torch.int64)
        return State(gradients=nothing, queries=nothing.clone())

    def sample(
        self, state: State, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], step: int, seed: int
    ) -> Sample:
        """Estimates at x (k, d) for the nodes of the state in iteration `step`, counted from 0; changes the state.

        A pure function of its arguments, the state included.
        """
        raise NotImplementedError
