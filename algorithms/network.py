"""What an algorithm may ask of the network. `gossip.network` implements it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from algorithms.compressors.message import Message
from algorithms.randomness import Draw
from algorithms.state import Block

Value = TypeVar("Value", bound=Tensor | Message)


@dataclass
class Traffic:
    """What each local node has sent so far, exact.

    A node that sends to three neighbours has sent three messages. This is what a network of one node per
    process carries; it does not depend on which rank hosts whom.

    Attributes:
        bytes: (k,) int64, bytes sent by each local node.
        messages: (k,) int64, messages sent by each local node.
        wire_bytes: Bytes that this process handed to MPI. A row travels once to each rank that needs it and
            never inside a process, so with one node per rank this equals `bytes`, with more it is less.
        wire_messages: Messages that this process handed to MPI.
    """

    bytes: Tensor
    messages: Tensor
    wire_bytes: int = 0
    wire_messages: int = 0


@dataclass(eq=False)
class Posted(Block, Generic[Value]):
    """A value that a network has begun to send, or to average. It stands for it where the exchange is completed.

    Two of them are never equal: a network knows the exchange by the object that it gave. One that it does not know,
    such as a copy or one read from a file, is begun where it is completed, so that results are always the same.
    """

    value: Value
    """(k, d), or the message that has it packed. Not to be changed before the exchange is completed."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__


class SparseMatrix(Protocol):
    """An n x n matrix in compressed rows, with ascending columns in each row."""

    @property
    def indptr(self) -> Any:
        """(n + 1,), an integer array: where each row begins and ends."""

    @property
    def indices(self) -> Any:
        """The columns, an integer array."""

    @property
    def data(self) -> Any:
        """The weights, float64."""


class WeightedEdges(Protocol):
    """Who hears whom in one exchange, and with what weight; a `topologies.Topology` is one.

    Rows and columns may sum to anything, and a node need not give itself any weight. A matrix is known by its object,
    so one that is used again should be the same object.
    """

    @property
    def n(self) -> int:
        """The number of nodes."""

    @property
    def arrays(self) -> SparseMatrix:
        """Row i holds what node i gives to itself and to those that send to it. The same on every rank."""

    def __hash__(self) -> int: ...


class Neighborhood(NamedTuple):
    """What one local node heard from its in-neighbours, itself left out, in node order."""

    nodes: tuple[int, ...]
    """The in-neighbours."""
    weights: Tensor
    """(degree,), w_ij of each of them."""
    rows: Tensor
    """(degree, d), their rows as every receiver decodes them."""


class Spectrum(NamedTuple):
    """How fast one mixing matrix W averages; J is the exact average."""

    gap: float
    """1 - |W - J|_2: the spectral gap of a symmetric W; at most 0 if some disagreement does not shrink."""
    laplacian_norm: float
    """|I - W|_2."""


class Network(Protocol):
    """The nodes hosted by this process and their links to all others.

    The first row of a stack (k, d) belongs to node `nodes[0]`, and so on. All calls are collective: every rank
    makes the same ones in the same order.
    """

    @property
    def n(self) -> int:
        """Number of nodes in the whole network."""

    @property
    def nodes(self) -> Sequence[int]:
        """The local nodes, in row order and ascending; k = len(nodes)."""

    @property
    def hosts(self) -> Sequence[int]:
        """(n,): the host that each node is on, as a number, the same on every rank; all 0 in a single process."""

    @property
    def round(self) -> int:
        """Rounds completed so far; it selects W in a time-varying topology."""

    @property
    def period(self) -> int | None:
        """Rounds after which the mixing matrices repeat: 1 if W is the same in all rounds, None if they never do."""

    @property
    def spectrum(self) -> Spectrum:
        """Of a W that is the same in all rounds; the same bits on every rank."""

    @property
    def traffic(self) -> Traffic:
        """Bytes and messages sent so far."""

    @property
    def seconds(self) -> float:
        """The time of the training so far, the same on every rank: simulated where there is such a clock."""

    def mix(
        self,
        value: Tensor | Message | Posted[Any],
        plus: tuple[float, Tensor] | None = None,
        *,
        over: WeightedEdges | None = None,
    ) -> Tensor:
        """Gossip: row i of the result is sum_j w_ij value_j, (k, d), summed in node order, own node included.

        With `plus`, a number c and a stack y (k, d), c y_i is added to that, in the same pass over memory.

        The value must not be changed in place until the next exchange: neighbours may still be reading it. The
        result is the caller's.

        Args:
            value: What the local nodes send, or what `post` gave for it, which completes that exchange.
            plus: Added to the sums.
            over: A matrix of the n nodes for this one exchange, the same on every rank, in the place of the mixing
                matrix of the round. Only its edges carry anything; a row without entries gives zeros. What was posted
                keeps the matrix that it was posted with.
        """

    def own_weights(self, ahead: int = 0) -> Tensor:
        """(k, 1), float64: w_ii of each local node in the matrix of this round, or of so many rounds later."""

    def post(self, value: Value) -> Posted[Value]:
        """Start the exchange that a `mix` or `neighbors` of what this gives completes; it travels meanwhile.

        A hint: the result is the same without it. Until then the value must not be changed. What is posted is
        completed in the order of posting, each once.
        """

    def empty(self, d: int, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """(k, d), uninitialised, where neighbours can read it in place: mixing it takes no copy."""

    def neighbors(
        self, value: Tensor | Message | Posted[Any], *, over: WeightedEdges | None = None
    ) -> list[Neighborhood]:
        """The rows that each local node hears, one by one, for rules that are not a weighted sum; see `mix`."""

    def mean(self, value: Tensor | Message | Posted[Tensor]) -> Tensor:
        """Exact average over all n nodes, (d,), the same bits on every rank.

        Args:
            value: A stack (k, d), whose sums travel along a tree; or a message, whose packed rows all go to every
                node, which decodes them; or what `post_mean` gave, which completes that.
        """

    def sum(self, value: Tensor | Message | Posted[Tensor]) -> Tensor:
        """n times `mean`, (d,), summed along a fixed binary tree over the nodes.

        Exactly row i on every rank, where that is the only row that is not 0.
        """

    def post_mean(self, value: Tensor) -> Posted[Tensor]:
        """Start the average that a `mean` or `sum` of what this gives completes; it travels meanwhile.

        A hint: the result is the same without it. Until then, which may be in any later step, the stack must not be
        changed. The bytes and the round are those of the step that posts.
        """

    def gather(self, values: Tensor) -> Tensor:
        """What all nodes have, (n, m) in node order on every rank, of a few numbers (k, m) of each local node."""

    def rows(self, value: Tensor, nodes: Sequence[int]) -> Tensor:
        """The rows of these nodes, (len(nodes), d) in this order, exactly, on every rank.

        Args:
            value: A stack (k, d).
            nodes: Which nodes, the same on every rank, wherever they are.
        """

    def draw(self, purpose: str) -> Draw:
        """The random streams of this round for one purpose."""

    def finish_step(self) -> None:
        """Called by whoever drives the algorithm after `start` and each step: if that communicated, a round ends."""

    def unrecorded(self) -> AbstractContextManager[None]:
        """What is done meanwhile counts neither as traffic nor as a round, nor on a clock: it is not the method's.

        What was posted stays as it is.
        """
