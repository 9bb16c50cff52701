"""What turns a workload into gradient estimates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar, cast, runtime_checkable

import torch
from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.layout import Layout
from algorithms.state import Block


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
class HasClippedGradients(Protocol):
    """What a workload gives that clips the gradients of single examples, for differential privacy."""

    def clipped_gradient(self, x: Tensor, nodes: Sequence[int], examples: Tensor, clip: float) -> Sample:
        """As `gradient`, the mean of the gradients of single examples, each scaled down to a norm of at most `clip`.

        Raises:
            ValueError: The gradient of an example is none of it alone.
        """


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
class HasBuffers(Protocol):
    """What a workload gives whose nodes have more than parameters: running statistics and the like.

    Taking the gradient or losses of a node changes what it has, and later ones depend on it.
    """

    def buffers(self, nodes: Sequence[int]) -> dict[str, Tensor]:
        """What each of these nodes has at the start: stacks (len(nodes), ...) by name; empty if that is nothing."""

    def on(self, buffers: Mapping[str, Tensor], nodes: Sequence[int]) -> ShardedWorkload:
        """The workload with what these nodes have in `buffers`, which gradients and losses change in place."""

    def evaluate(self, x: Tensor, buffers: Mapping[str, Tensor] | None = None) -> Mapping[str, float]:
        """As `ShardedWorkload.evaluate`, of a model that has these buffers (...) by name, or those of the start."""


@runtime_checkable
class HasSmoothness(Protocol):
    """What a workload gives that importance sampling needs."""

    def smoothness(self, node: int) -> Tensor:
        """(m,) float64: the Lipschitz constant of the gradient of each of the node's examples."""


@dataclass
class OracleState(Block):
    """What an oracle carries from one iteration to the next. Those that remember more than counts add fields.

    Attributes:
        gradients: (k,) int64, the component gradients, those of the loss of a single example, that each node has
            evaluated so far.
        queries: (k,) int64, the function values, likewise of a single example, that each node has asked for so far.
        buffers: What the workload has of each node beside parameters, (k, ...) by name, see `HasBuffers`; None if that
            is nothing. It is whoever drives the oracle who gives the workload these.
    """

    gradients: Tensor
    queries: Tensor
    buffers: dict[str, Tensor] | None = field(default=None, kw_only=True)

    @classmethod
    def start(cls, nodes: int, **remembered: Any) -> Self:
        """Nothing counted so far at so many nodes.

        Args:
            nodes: k.
            remembered: The other fields.
        """
        nothing = torch.zeros(nodes, dtype=torch.int64)
        return cls(nothing, nothing.clone(), **remembered)

    @property
    def remembers(self) -> bool:
        """Whether it holds more of the nodes than counts, so that the oracle has to see all their iterations."""
        return type(self) is not OracleState

    def counts(self) -> dict[str, Tensor]:
        """The counts by name, (k,) each: not to be changed."""
        return {"gradients": self.gradients, "queries": self.queries}

    def rows(self, rows: Sequence[int] | Tensor) -> OracleState:
        """The counts of some rows, as a state of these nodes alone; for a state that remembers no more."""
        where = torch.as_tensor(rows, dtype=torch.int64)
        return OracleState(self.gradients[where], self.queries[where])

    def put(self, rows: Sequence[int] | Tensor, counts: Mapping[str, Tensor]) -> None:
        """Set the counts of some rows.

        Args:
            rows: Which.
            counts: As `counts` gives them, (len(rows),) each.
        """
        where = torch.as_tensor(rows, dtype=torch.int64)
        self.gradients[where] = counts["gradients"]
        self.queries[where] = counts["queries"]


def as_average(mean: Tensor, dtype: torch.dtype) -> Tensor:
    """The average of buffers, computed in float64, as a buffer of this type: rounded where that is one of integers."""
    return mean.to(dtype) if dtype.is_floating_point else mean.round().to(dtype)


S = TypeVar("S", bound=OracleState)


@dataclass(frozen=True)
class Oracle(Generic[S]):
    """Gives the gradient estimates of each iteration, with states of type S. Its fields are its parameters."""

    gives: ClassVar[str] = "gradients"
    """What its samples have in the place of gradients, if it is something else, for methods that take that."""

    @property
    def tells_norms(self) -> bool:
        """Whether its samples have `norms`."""
        return False

    def least_batch(self, size: int) -> int:
        """The fewest examples on which it ever takes a gradient at a node that has so many: all of them by default."""
        return size

    def start(self, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], seed: int) -> S:
        """The state before the first iteration, for these nodes at x (k, d): by default counts and nothing else.

        Raises:
            ValueError: The workload cannot give what the oracle needs.
        """
        check_gradients(self, workload)
        return cast(S, OracleState.start(len(nodes)))

    def sample(
        self, state: S, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], step: int, seed: int
    ) -> Sample:
        """Estimates at x (k, d) for the nodes of the state in iteration `step`, counted from 0; changes the state.

        A pure function of its arguments, the state included.
        """
        raise NotImplementedError

    def sample_each(
        self, state: S, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], steps: Sequence[int], seed: int
    ) -> Sample:
        """As `sample`, for nodes of which each is in an iteration of its own, `steps`.

        By default one call for each iteration that some node is in. For states that remember no more than counts.
        """
        rows_of: dict[int, list[int]] = {}
        for row, step in enumerate(steps):
            rows_of.setdefault(step, []).append(row)
        gradient, loss, norms = torch.empty_like(x), x.new_empty(len(x)), None
        for step, rows in rows_of.items():
            own = cast(S, state.rows(rows))
            sample = self.sample(own, workload, x[rows], [nodes[row] for row in rows], step, seed)
            state.put(rows, own.counts())
            gradient[rows], loss[rows] = sample.gradient, sample.loss
            if sample.norms is not None:
                norms = sample.norms.new_empty(len(x), sample.norms.shape[1]) if norms is None else norms
                norms[rows] = sample.norms
        return Sample(gradient, loss, norms)


def check_gradients(oracle: Oracle[Any], workload: ShardedWorkload) -> None:
    """Raise ValueError if a workload gives no gradients to an oracle that needs them."""
    if not hasattr(workload, "gradient"):
        raise ValueError(
            f"{type(oracle).__name__} needs gradients, and {name_of(workload)} gives function values only; "
            f"ZerothOrder makes estimates of these"
        )


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
