"""The network of one process that hosts all nodes; the base of those that cross processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import cached_property, lru_cache
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.compressors.compressor import Message
from algorithms.network import Neighborhood, Posted, Spectrum, Traffic, Value, WeightedEdges
from algorithms.numerics.sums import add_scaled
from algorithms.randomness import Draw
from gossip.network.clock import WallClock
from gossip.network.plans.halo import HaloPlan, entries_of
from gossip.network.plans.tree import Total, messages_per_node
from gossip.network.sums.memory import in_whole_pages
from gossip.network.sums.mixing import TYPES, Places, Scaled, Sums
from topologies import Schedule, Topology, contraction_per_round, laplacian_norm, spectral_gap

T = TypeVar("T")
Rows = Tensor | Message  # (rows, d): a message has them packed

STREAMED = 1 << 25  # bytes of the stacks of a host that no cache keeps until they are read again
PLANS = 64  # kept ready; random schedules may have no end


class Exchange:
    """What the local nodes read in one round, from the moment it is sent until they are done with it.

    This one is for nodes that share a process, where nothing travels.

    Args:
        plan: Who reads what.
        sums: How it is summed.
        own: (k, d), the local rows, or the message that has them packed.

    Attributes:
        sources: (rows, d) each, once they are there: the local rows, then what `plan.sources` provide.
        columns: How many there are,
        segment: and how many arrive at a time.
    """

    def __init__(self, plan: HaloPlan, sums: Sums, own: Rows) -> None:
        self.plan = plan
        self.sums = sums
        self.sources: list[Rows] = [own]
        self.columns = own.d if isinstance(own, Message) else own.shape[1]
        self.segment = self.columns

    def wait(self, stop: int) -> None:
        """Wait until the columns before `stop` are there."""

    def finish(self) -> None:
        """The sources will not be read again; wait until what was sent may be changed."""


def dense(sources: Sequence[Rows]) -> list[Tensor]:
    """What an exchange has brought as (rows, d) each."""
    return [source.dense() if isinstance(source, Message) else source for source in sources]


class InProcessNetwork:
    """All n nodes in this process: mixing is one pass over memory. Implements `algorithms.Network`.

    A process that hosts only some of the nodes overrides `_begin`, `_begin_total`, `all_rows` and `_from_root`, where
    something comes from and goes to other processes.

    Args:
        topology: The mixing matrix of each round.
        seed: Seed of the random draws.
        hosted: The nodes that each rank hosts, ascending; all in one by default.
        rank: That of this process.
    """

    def __init__(
        self, topology: Schedule, seed: int = 0, hosted: Sequence[Sequence[int]] | None = None, rank: int = 0
    ) -> None:
        self.topology = topology
        self.seed = seed
        self.round = 0
        self._hosted = hosted or [range(topology.n)]
        self.nodes = self._hosted[rank]
        k = len(self.nodes)
        self._traffic = Traffic(torch.zeros(k, dtype=torch.int64), torch.zeros(k, dtype=torch.int64))
        self._uncounted: dict[tuple[int, int], int] = {}
        self._receivers: dict[int, NDArray[np.int64]] = {}
        self._communicated = False
        self._streamed = STREAMED  # bytes of a local stack
        self._posted: list[tuple[Posted[Any], Exchange]] = []
        self._posted_means: list[tuple[Posted[Tensor], Total]] = []
        self._recording = True
        self._over: WeightedEdges | None = None
        self._clock = WallClock()
        self._drawn: tuple[int, Topology] | None = None
        self._sent_in_a_mean = messages_per_node(topology.n)[self.nodes]

        @lru_cache(maxsize=PLANS)
        def plan(topology: WeightedEdges) -> tuple[HaloPlan, Sums]:
            plan = HaloPlan.build(topology.arrays, self._hosted, rank)
            return plan, Sums(plan, plan.places)

        self._plan_of = plan

    @property
    def n(self) -> int:
        """Number of nodes in the whole network."""
        return self.topology.n

    @property
    def hosts(self) -> Sequence[int]:
        """(n,): the host that each node is on, as a number."""
        return [0] * self.n

    @property
    def period(self) -> int | None:
        """Rounds after which the mixing matrices repeat: 1 if W is the same in all rounds."""
        return self.topology.period

    @cached_property
    def spectrum(self) -> Spectrum:
        """Of a W that is the same in all rounds; collective where first asked for.

        Raises:
            ValueError: the topology varies with time.
        """
        return self._from_root(lambda: _spectrum(self.topology))

    @property
    def seconds(self) -> float:
        """Since this network was made, on rank 0, without what `unrecorded` left out; collective."""
        return self._from_root(lambda: self._clock.seconds)

    @property
    def traffic(self) -> Traffic:
        """What each local node has sent so far, exact."""
        for (row_bytes, receivers), uses in self._uncounted.items():
            messages = torch.from_numpy(self._receivers[receivers] * uses)
            self._traffic.bytes += row_bytes * messages
            self._traffic.messages += messages
        self._uncounted.clear()
        self._receivers.clear()
        return self._traffic

    def mix(
        self,
        value: Tensor | Message | Posted[Any],
        plus: tuple[float, Tensor] | None = None,
        *,
        over: WeightedEdges | None = None,
    ) -> Tensor:
        """Row i of the result is sum_j w_ij value_j over the in-neighbours j and i itself, (k, d).

        Products and sums are rounded one by one, in node order, in the precision of the stack.

        Args:
            value: What the local nodes send.
            plus: A number c and a stack y (k, d): c y_i is added to row i, in the same pass.
        """
        exchange = self._exchange(value, over)
        value = value.value if isinstance(value, Posted) else value
        if isinstance(value, Message):
            return self._mix_messages(value, exchange, plus)
        if exchange.segment >= exchange.columns:
            exchange.wait(exchange.columns)  # first: who has sent its stack has read what is about to be overwritten
            mixed = self.empty(exchange.columns, value.dtype, value.device)
            self._sum(exchange.sums, mixed, dense(exchange.sources), plus)
        else:
            mixed = self.empty(exchange.columns, value.dtype, value.device)
            for first in range(0, exchange.columns, exchange.segment):
                here = slice(first, min(first + exchange.segment, exchange.columns))
                exchange.wait(here.stop)
                part = plus and (plus[0], plus[1][:, here])
                sources = [rows[:, here] for rows in dense(exchange.sources)]
                self._sum(exchange.sums, mixed[:, here], sources, part)
        exchange.finish()
        return mixed

    def _mix_messages(self, message: Message, exchange: Exchange, plus: Scaled | None) -> Tensor:
        """`mix` of packed rows, which are added as they are decoded where a single sum reads them.

        Sums begin with 0, so that it makes no difference, not even to the sign of a zero, if what is 0 is left out.
        """
        exchange.wait(exchange.columns)
        mixed = self.empty(message.d, message.dtype, message.device)
        if len(mixed) == 1 and message.dtype in TYPES:
            mixed.zero_()
            for owner, row, weight in exchange.sums.terms(message.dtype):
                source = exchange.sources[owner]
                assert isinstance(source, Message)
                source.add_to(mixed[0], source.pack(row), float(weight))
        else:
            self._sum(exchange.sums, mixed, dense(exchange.sources), None)
            mixed += 0.0
        if plus is not None:
            add_scaled(mixed, *plus, out=mixed)
        exchange.finish()
        return mixed

    def neighbors(
        self, value: Tensor | Message | Posted[Any], *, over: WeightedEdges | None = None
    ) -> list[Neighborhood]:
        """What each local node hears from its in-neighbours, itself left out."""
        exchange = self._exchange(value, over)
        exchange.wait(exchange.columns)
        plan, rows = exchange.plan, exchange.sums.rows
        sources = dense(exchange.sources)
        heard = []
        for row, node in enumerate(self.nodes):
            terms = np.arange(*plan.indptr[row : row + 2])
            terms = terms[plan.nodes[terms] != node]
            read = [sources[plan.owners[t]][rows[t]] for t in terms]
            heard.append(
                Neighborhood(
                    nodes=tuple(plan.nodes[terms].tolist()),
                    weights=torch.from_numpy(plan.weights[terms]).to(sources[0]),
                    rows=torch.stack(read) if read else sources[0][:0],
                )
            )
        exchange.finish()
        return heard

    def own_weights(self, ahead: int = 0) -> Tensor:
        """(k, 1), float64: the weight that each local node gives to itself in this round, or so many rounds later."""
        matrix = self.topology[self.round + ahead].arrays if ahead else self._topology().arrays
        indptr, entries = entries_of(matrix, self.nodes)
        rows = np.repeat(np.arange(len(self.nodes)), np.diff(indptr))
        own = np.where(matrix.indices[entries] == np.asarray(self.nodes)[rows], matrix.data[entries], 0.0)
        return torch.from_numpy(np.bincount(rows, own, minlength=len(self.nodes))[:, None])

    def post(self, value: Value) -> Posted[Value]:
        """Start the exchange that a `mix` or `neighbors` of what this gives completes."""
        posted = Posted(value)
        self._posted.append((posted, self._begin(value, posted=True)))
        return posted

    def empty(self, d: int, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """(k, d), uninitialised, where neighbours can read it in place."""
        if device is None or device.type == "cpu":
            return in_whole_pages(len(self.nodes), d, dtype)
        return torch.empty(len(self.nodes), d, dtype=dtype, device=device)

    def exposed(self, stack: Tensor) -> bool:
        """Whether others may still be reading this stack, so that its next value needs memory of its own."""
        return any(each.value is stack for each, _ in [*self._posted, *self._posted_means])

    def mean(self, value: Tensor | Message | Posted[Tensor]) -> Tensor:
        """The average of a stack over all n nodes, (d,), summed along a fixed binary tree over the nodes."""
        return self.sum(value) / self.n

    def sum(self, value: Tensor | Message | Posted[Tensor]) -> Tensor:
        """The sum of a stack over all n nodes, (d,), along the same tree."""
        return self._total(value).wait()

    def post_mean(self, value: Tensor) -> Posted[Tensor]:
        """Start the average that the `mean` of what this gives completes."""
        posted = Posted(value)
        self._posted_means.append((posted, self._begin_total(value)))
        return posted

    def gather(self, values: Tensor) -> Tensor:
        """What all nodes have, (n, m) in node order, of a few numbers (k, m) of each local node."""
        self._communicated = True
        return self.all_rows(values)

    def rows(self, value: Tensor, nodes: Sequence[int]) -> Tensor:
        """The rows of these nodes, (len(nodes), d) in this order, on every rank."""
        self._communicated = True
        return self.all_rows(value)[list(nodes)]

    @property
    def posted(self) -> tuple[list[Tensor | Message], list[Tensor]]:
        """What is under way: to be mixed, and to be averaged, in the order of posting."""
        return [each.value for each, _ in self._posted], [each.value for each, _ in self._posted_means]

    def resume(
        self, round: int, traffic: Traffic, posted: Sequence[Tensor | Message], posted_means: Sequence[Tensor]
    ) -> None:
        """Go on as a network that has come to this round, where this had been sent and this been posted; collective."""
        self.round = round
        with self.unrecorded():
            for value in posted:
                self.post(value)
            for mean in posted_means:
                self.post_mean(mean)
        self._traffic = traffic

    def all_rows(self, value: Tensor) -> Tensor:
        """A stack's rows of all nodes, (n, d), in node order, on every rank. For results, not for the loop."""
        return value

    def draw(self, purpose: str) -> Draw:
        """The random streams of this round."""
        return Draw(self.seed, purpose, self.nodes, self.round)

    def finish_gradients(self, step: int) -> None:
        """The gradients of a step are there; to be called before the step, for clocks that do not see it themselves."""

    def finish_step(self) -> None:
        """End the round if anything was sent since the last call; to be called after `start` and each step."""
        self.round += self._communicated
        self._communicated = False

    @contextmanager
    def unrecorded(self) -> Iterator[None]:
        """What is done meanwhile is not part of the method: it counts neither as traffic nor as a round nor as time."""
        before = self.traffic, self._communicated
        self._traffic = deepcopy(self._traffic)
        self._recording = False  # what the method has posted is left for it to complete
        try:
            with self._clock.paused():
                yield
        finally:
            self._uncounted.clear()
            self._traffic, self._communicated = before
            self._recording = True

    def clock_state(self) -> dict[str, Any]:
        """What `seconds` is and depends on, in numbers and lists of them, the same on every rank; collective."""
        return {"seconds": self.seconds}

    def load_clock_state(self, state: dict[str, Any]) -> None:
        """Go on from a saved state; to be called before what was under way then is posted again, in the same order:
        first all that is to be mixed, then all that is to be averaged."""
        self._clock.seconds = state["seconds"]

    def close(self) -> None:
        """Complete what is under way and free what this network holds; collective. Stacks that it made stay valid."""
        self.complete()

    def complete(self) -> None:
        """Complete what is under way, which nobody will mix any more; collective."""
        while self._posted:
            self._posted.pop(0)[1].finish()
        while self._posted_means:
            self._posted_means.pop(0)[1].wait()

    def _topology(self) -> Topology:
        """That of this round, the same object throughout: a schedule without end makes one whenever it is asked."""
        if self._drawn is None or self._drawn[0] != self.round:
            self._drawn = self.round, self.topology[self.round]
        return self._drawn[1]

    def _plan(self) -> tuple[HaloPlan, Sums]:
        matrix: WeightedEdges = self._topology() if self._over is None else self._over
        return self._plan_of(matrix)  # type: ignore[arg-type]  # known by its object

    def _exchange(self, value: Tensor | Message | Posted[Any], over: WeightedEdges | None = None) -> Exchange:
        """The exchange of this value, begun now unless it was posted."""
        for i, (posted, exchange) in enumerate(self._posted):
            if posted is value or posted.value is value:
                del self._posted[i]
                return exchange
        self._over = over
        try:
            return self._begin(value.value if isinstance(value, Posted) else value, posted=False)
        finally:
            self._over = None

    def _begin(self, value: Tensor | Message, posted: bool) -> Exchange:
        """Send the value to all who read it in this round."""
        plan, sums = self._plan()
        self._count_sent(value, plan)
        return Exchange(plan, sums, value)

    def _sum(self, sums: Sums, out: Tensor, sources: Sequence[Tensor] | Places, plus: Scaled | None) -> None:
        sums.into(out, sources, plus, stream=out.nbytes >= self._streamed)

    def _count_sent(self, value: Tensor | Message, plan: HaloPlan) -> None:
        """Count a row to each out-neighbour."""
        if isinstance(value, Message):
            self._count(value.nbytes.numpy(), plan.out_degree)
        else:
            self._count(value.shape[1] * value.itemsize, plan.out_degree)

    def _count(self, row_bytes: NDArray[np.int64] | int, receivers: NDArray[np.int64]) -> None:
        self._communicated = True
        if isinstance(row_bytes, int):  # mostly the same, again and again
            key = row_bytes, id(receivers)
            if key in self._uncounted:
                self._uncounted[key] += 1
            else:
                self._uncounted[key], self._receivers[id(receivers)] = 1, receivers
        else:
            self._traffic.bytes += torch.from_numpy(row_bytes * receivers)
            self._traffic.messages += torch.from_numpy(receivers)

    def _total(self, value: Tensor | Message | Posted[Tensor]) -> Total:
        """The sum of this stack, begun now unless it was posted."""
        for i, (posted, total) in enumerate(self._posted_means):
            if (posted is value or posted.value is value) and self._recording:
                del self._posted_means[i]
                return total
        value = value.value if isinstance(value, Posted) else value
        return self._begin_total(value.dense() if isinstance(value, Message) else value)

    def _begin_total(self, value: Tensor) -> Total:
        """Begin to sum a stack over all n nodes."""
        self._count(value.shape[1] * value.itemsize, self._sent_in_a_mean)
        return Total(value)

    def _from_root(self, function: Callable[[], T]) -> T:
        """What a function gives on rank 0, on every rank."""
        return function()


def _spectrum(topology: Schedule) -> Spectrum:
    if not isinstance(topology, Topology):
        raise ValueError(f"{topology.name} varies with time: its mixing matrices have no common spectrum")
    gap = spectral_gap(topology) if topology.symmetric else contraction_per_round(topology)
    return Spectrum(gap, laplacian_norm(topology))
