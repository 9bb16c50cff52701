"""The contract of an algorithm: one iteration, written once, on stacks (k, d) of k local nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, TypeVar, cast

from torch import Tensor

from algorithms.checks import unchecked
from algorithms.layout import Layout, parts_for_layout
from algorithms.network import Network
from algorithms.state import State

S = TypeVar("S", bound=State)

Losses = Callable[[Tensor, int, int], Tensor]
"""What a node loses elsewhere than at `state.x`: of points (r, d), a local row and the size of a batch, (r,).

These are mean losses over so many of that node's examples, drawn anew in each iteration and the same for all points.
Whoever gives them counts each as so many function values.
"""


@dataclass(frozen=True)
class Sample:
    """Gradient estimates of the local nodes, taken at `state.x`.

    Its tensors may be kept by the algorithm that is given it, and nobody changes them any more: a state may hold the
    gradient until it is of no more use, and whoever made it uses other memory for the next one, or gives the state a
    copy of what it keeps.

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


@dataclass(frozen=True)
class Algorithm(Generic[S]):
    """A decentralized algorithm, with states of type S. Its fields are hyper-parameters; what changes is in the state.

    Products and sums are separate operations (`x - lr * g`, or `add_scaled`, never `torch.add(..., alpha=...)`): a
    fused multiply-add rounds differently in the vectorised part and the tail of a loop, and so would make the
    result depend on how many nodes share a process.
    """

    needs: ClassVar[tuple[str, ...]] = ("row_stochastic",)
    """Properties that the topology must have: "row_stochastic", "column_stochastic", "doubly_stochastic", "symmetric"
    (which is doubly stochastic too), "static", "tree" (for methods that do not use W). "row_stochastic" goes without
    saying unless one of the others but "static" is there. Empty where W is not used: any topology of so many nodes
    will do."""

    least_eigenvalue: ClassVar[float] = -1.0
    """The eigenvalues of W, symmetric, must be above this: -1 asks for nothing."""

    @property
    def auxiliary(self) -> int:
        """How many nodes, the last ones, have no data: their gradients and losses are 0."""
        return 0

    @property
    def servers(self) -> int:
        """How many servers it has: further nodes, after those of the topology, without data and without links in it.

        Who drives the algorithm adds them to the network (`topologies.with_servers`). They talk to the other nodes by
        exchanges `over` edges of their own, see `algorithms.blocks.server`.
        """
        return 0

    @property
    def without_data(self) -> int:
        """How many nodes of its network, the last ones, have no data: auxiliary ones and servers."""
        return self.auxiliary + self.servers

    @property
    def trusted(self) -> int:
        """How many of the nodes with data, the last ones, must be honest: those that judge the others."""
        return 0

    @property
    def proportional(self) -> bool:
        """Whether a gradient c times as large does what a learning rate c times as large does.

        Parameter groups with learning rates of their own, and local optimizers, rest on it.
        """
        return getattr(self, "prox", None) is None

    @property
    def takes_norms(self) -> bool:
        """Whether samples must have `norms`."""
        return False

    @property
    def takes_losses(self) -> bool:
        """Whether samples must have `losses`."""
        return False

    @property
    def sets_batch_size(self) -> bool:
        """Whether it makes a batch of several samples while it trains, so that its iterations are not all steps."""
        return False

    def with_learning_rate(self, lr: float) -> Self:
        """This algorithm, of those that have a learning rate, with another one, which may be 0 here."""
        return unchecked(self, "lr", lr)

    def replicated(self) -> Self:
        """This method where there can be no server: all nodes keep and do alike what the server would."""
        return self

    def for_layout(self, layout: Layout) -> Self:
        """This algorithm for a model of these tensors, which compressors and regularizers may treat one by one.

        To be called before `start`, by whoever drives it.
        """
        return parts_for_layout(self, layout)

    def for_examples(self, examples: Sequence[int]) -> Self:
        """This algorithm for nodes that have so many training examples each, (n,).

        To be called before `start`, by whoever drives it and knows them.
        """
        return self

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

    def chosen(self, state: S) -> dict[str, Any]:
        """Hyper-parameters as `start` has settled them, by name, for a run's summary; the same on every rank."""
        return {}

    def report(self, state: S) -> dict[str, Tensor]:
        """Numbers (k,) of the local nodes, by name, whose means over all nodes a run records."""
        return {}
