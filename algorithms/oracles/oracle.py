"""What turns a workload into gradient estimates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.layout import Layout
from algorithms.state import LooseState, State

COUNTS = ("gradients", "queries")
"""What all oracles count, see `Oracle`."""


class ShardedWorkload(Protocol):
    """Data, model and loss, sharded over the nodes. `gossip.workloads` implements it.

    The objective is (1/n) sum_i f_i(x), with f_i the mean loss over the examples of node i. A workload may give more
    than this, see `HasLosses`, `HasSlopes` and `HasSmoothness`; a black box gives losses, and no gradient.
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


@runtime_checkable
class HasLosses(Protocol):
    """What a workload gives of which zeroth-order oracles make gradient estimates."""

    def losses(self, x: Tensor, nodes: Sequence[int], examples: Tensor) -> Tensor:
        """(r, batch): the loss of each example alone, whose mean is that of `gradient`.

        Args:
            x: (r, d), the points.
            nodes: The node of each row; a node may have many rows.
            examples: (r, batch) int64, which of its examples.
        """


@runtime_checkable
class HasNorms(Protocol):
    """What a workload gives that computes the norms of single examples' gradients without these."""

    def gradient_and_norms(self, x: Tensor, nodes: Sequence[int], examples: Tensor) -> Sample | None:
        """As `gradient`, with the `norms` of a sample whose parts are the single examples; None if it cannot."""


@runtime_checkable
class HasSlopes(Protocol):
    """What a linear model gives: the gradient of example a_j at x is slope_j a_j + l2 x."""

    @property
    def l2(self) -> float:
        """Weight of the squared norm in every loss, l2/2 |x|^2."""

    def slopes(self, x: Tensor, nodes: Sequence[int], examples: Tensor) -> tuple[Tensor, Tensor]:
        """The `losses` and the derivative of each by the prediction a_j . x, both (r, batch)."""

    def combine(self, weights: Tensor, nodes: Sequence[int], examples: Tensor) -> Tensor:
        """(r, d): mean_j weights_j a_j over the examples (r, batch) of each row, with weights (r, batch)."""


@runtime_checkable
class HasSmoothness(Protocol):
    """What a workload gives that importance sampling needs."""

    def smoothness(self, node: int) -> Tensor:
        """(m,) float64: the Lipschitz constant of the gradient of each of the node's examples."""


@dataclass(frozen=True)
class Oracle:
    """Gives the gradient estimates of each iteration. Its fields are its parameters.

    What it remembers from one iteration to the next lives in a `State`, whose entries are scalars, or have one row or
    item for each node: stacks (k, ...) and lists of length k. Two are common to all oracles, both (k,) int64:

    * `gradients`: the component gradients, those of the loss of a single example, that each node evaluated so far;
    * `queries`: the function values, likewise of a single example, that each node asked for so far.
    """

    @property
    def tells_norms(self) -> bool:
        """Whether its samples have `norms`."""
        return False

    def start(self, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], seed: int) -> State:
        """The state before the first iteration, for these nodes at x (k, d).

        Raises:
            ValueError: The workload cannot give what the oracle needs.
        """
        if not hasattr(workload, "gradient"):
            raise ValueError(
                f"{type(self).__name__} needs gradients, and {name_of(workload)} gives function values only; "
                f"ZerothOrder makes estimates of these"
            )
        nothing = torch.zeros(len(nodes), dtype=torch.int64)
        return LooseState(gradients=nothing, queries=nothing.clone())

    def sample(
        self, state: State, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], step: int, seed: int
    ) -> Sample:
        """Estimates at x (k, d) for the nodes of the state in iteration `step`, counted from 0; changes the state.

        A pure function of its arguments, the state included.
        """
        raise NotImplementedError


def remembers(state: State) -> bool:
    """Whether an oracle with this state remembers more of the nodes than counts; it has to see all their iterations."""
    return not vars(state).keys() <= {*COUNTS}


@runtime_checkable
class Estimates(ShardedWorkload, Protocol):
    """A workload whose gradients are random estimates, each along a direction drawn for its node, example and step."""

    def drawn(self, since: Tensor) -> ShardedWorkload:
        """The same with the directions of these steps, (k,) for the rows of a call, or (k, batch) for its examples."""


def redraws(workload: ShardedWorkload) -> bool:
    """Whether gradients of the same example at the same point differ from step to step."""
    return isinstance(workload, Estimates)


def drawn(workload: ShardedWorkload, since: Tensor) -> ShardedWorkload:
    """The workload with the random draws of these steps; itself if its gradients are not random."""
    return workload.drawn(since) if isinstance(workload, Estimates) else workload


def name_of(workload: object) -> str:
    """What to call a workload where it is refused."""
    return type(getattr(workload, "estimated", workload)).__name__
