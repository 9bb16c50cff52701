"""The contract of an algorithm: one iteration, written once, on stacks (k, d) of k local nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Self, TypeVar, cast

from torch import Tensor

from algorithms.checks import unchecked
from algorithms.method import Method
from algorithms.network import Network
from algorithms.state import Rows, State

S = TypeVar("S", bound=State)

Losses = Callable[[Tensor, int, int], Tensor]
"""What a node loses elsewhere than at `state.x`: of points (r, d), a local row and the size of a batch, (r,).

These are mean losses over so many of that node's examples, drawn anew in each iteration and the same for all points.
Whoever gives them counts each as so many function values.
"""


@dataclass(slots=True)
class Sample:
    """Gradient estimates of the local nodes, taken at `state.x`; not to be changed.

    It is not frozen, as asynchronous runs make one for each gradient of each node. Its tensors may be kept by the
    algorithm that is given it, and nobody changes them any more: a state may hold the gradient until it is of no more
    use, and whoever made it uses other memory for the next one, or gives the state a copy of what it keeps.

    Attributes:
        gradient: (k, d).
        loss: (k,), the loss that each node saw.
        norms: (k, tensors) float64, the l2 norms of the tensors of a gradient, in the mean over those of the parts of a
            batch that the estimate is the mean of; None from oracles that do not tell.
        losses: Asks for losses at other points; None from who cannot tell.
    """

    gradient: Tensor
    loss: Tensor
    norms: Tensor | None = None
    losses: Losses | None = None

    def of(self, rows: Rows) -> Tensor:
        """(r, d): the gradients in these rows."""
        return self.gradient[rows]


@dataclass(frozen=True)
class Algorithm(Method, Generic[S]):
    """A decentralized algorithm, with states of type S. Its fields are hyper-parameters; what changes is in the state.

    Products and sums are separate operations (`x - lr * g`, or `add_scaled`, never `torch.add(..., alpha=...)`): a
    fused multiply-add rounds differently in the vectorised part and the tail of a loop, and so would make the
    result depend on how many nodes share a process.
    """

    @property
    def proportional(self) -> bool:
        """Whether a gradient c times as large does what a learning rate c times as large does.

        Parameter groups with learning rates of their own, and local optimizers, rest on it.
        """
        return getattr(self, "prox", None) is None

    @property
    def sets_batch_size(self) -> bool:
        """Whether it makes a batch of several samples while it trains, so that its iterations are not all steps."""
        return False

    def with_learning_rate(self, lr: float) -> Self:
        """This algorithm, of those that have a learning rate, with another one, which may be 0 here."""
        return unchecked(self, "lr", lr)

    def start(self, x: Tensor, network: Network) -> S:
        """The state before the first step, from the initial parameters x (k, d). It may communicate."""
        return cast(S, State(x.clone()))

    def post(self, state: S, network: Network) -> None:
        """Start what may travel while the gradients at `state.x` are computed; to be called before these.

        A step gives the same result without it.
        """

    def idle(self, state: S, network: Network) -> list[int]:
        """The rows of the local nodes whose gradients and losses the next step ignores; they need not be computed."""
        return []

    def step(self, state: S, sample: Sample, network: Network) -> None:
        """One iteration, in place, given gradients at `state.x`; leaves there the point for the next ones.

        The state may keep the sample's tensors without a copy, and changes none of them. It does change or replace its
        own. `state.x` may be a tensor of its own in each iteration, or the same; who wants to keep it makes a copy.
        `state.step` is the number of this iteration, from 0 on; `advance` counts it.
        """
        raise NotImplementedError

    def advance(self, state: S, sample: Sample, network: Network) -> None:
        """One iteration as all drivers make it: the step, which is counted, and the end of its round."""
        self.step(state, sample, network)
        state.step += 1
        network.finish_step()

    def model(self, state: S) -> Tensor:
        """(k, d): the parameters that the method outputs, which are evaluated and returned.

        Those of a server are not looked at.
        """
        return state.x

    def spread(self, state: S, network: Network) -> None:
        """Bring to all nodes what the method itself brings to some: the model, and the points of idle nodes.

        It is for those who look: to be called, on all ranks and outside of what the network records, before `model` is
        asked for or anything is computed at the points of nodes that are idle. The method goes on as without it.
        """

    def survive(self, state: S, network: Network) -> S:
        """What to go on with when nodes have been lost and `network` links the others; `state` has their rows.

        By default a new start from their models: what nodes keep of each other or sum up over all of them, such as
        copies of neighbours, trackers and duals, is no longer true. A method whose state says something of each node
        alone goes on with it.
        """
        return self.start(self.model(state), network)

    def mass(self, state: S) -> Tensor | None:
        """(k, 1): how much each local node counts, if mixing conserves the sum of this over all nodes."""
        return None
