"""The network: who sends what to whom, with what weight, and what it counts as. A transport carries it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from algorithms.compressors.message import Message
from algorithms.network import Neighborhood, Posted, Spectrum, Traffic, Value, WeightedEdges
from algorithms.numerics.sums import add_scaled
from algorithms.numerics.tree_sum import fold_each
from algorithms.randomness import Draw
from gossip.network.clock import WallClock
from gossip.network.plans.halo import HaloPlan, Indices, entries_of, owners_of
from gossip.network.plans.tree import NodeTree
from gossip.network.posting import PostedExchange, PostedQueue
from gossip.network.sums.mixing import TYPES, Scaled
from gossip.network.traffic import TrafficCounter
from gossip.network.transport import PLANS, Exchange, Rows, Site, Total, Transport, dense, row_bytes_of
from gossip.spans import timed
from topologies import Schedule, Topology, contraction_per_round, laplacian_norm, spectral_gap


class Network:
    """The nodes of this process and their links to all others. Implements `algorithms.Network` and `RunNetwork`.

    Args:
        topology: The mixing matrix of each round.
        site: The processes and the nodes that each of them hosts.
        transport: Carries rows between these processes.
        seed: Seed of the random draws.
    """

    def __init__(self, topology: Schedule, site: Site, transport: Transport, seed: int = 0) -> None:
        self.topology = topology
        self.seed = seed
        self.round = 0
        self.nodes = site.nodes
        self._communicator, self._hosted = site.communicator, site.hosted
        self._transport = transport
        self._counter = TrafficCounter(len(self.nodes), transport.wire)
        self._posted: PostedQueue[PostedExchange] = PostedQueue()
        self._posted_means: PostedQueue[Total] = PostedQueue()
        self._recording = True
        self._clock = WallClock()
        self._tree = NodeTree.build(topology.n)
        self._sent_in_a_sum = self._tree.messages[self.nodes]
        rank = site.communicator.rank
        self._plan_of = lru_cache(maxsize=PLANS)(lambda matrix: HaloPlan.build(matrix.arrays, site.hosted, rank))
        self._drawn: tuple[int, tuple[Topology, HaloPlan]] | None = None
        self._sum = timed(site.spans, transport.sum, "sum of rows", "compute")
        self._dense = timed(site.spans, dense, "decode messages", "compress")
        self._add_decoded = timed(site.spans, Message.add_to, "add_to Message", "compress")

    @property
    def n(self) -> int:
        """Number of nodes in the whole network."""
        return self.topology.n

    @property
    def hosts(self) -> Sequence[int]:
        """(n,): the host that each node is on, as a number."""
        hosts: list[int] = self._communicator.hosts[owners_of(self._hosted)].tolist()
        return hosts

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
        return self._communicator.from_root(lambda: _spectrum(self.topology))

    @property
    def seconds(self) -> float:
        """Since this network was made, on rank 0, without what `unrecorded` left out; collective."""
        return self._communicator.from_root(lambda: self._clock.seconds)

    @property
    def traffic(self) -> Traffic:
        """What each local node has sent so far, exact."""
        return self._counter.traffic

    def mix(
        self, value: Tensor | Message | Posted[Any], plus: Scaled | None = None, *, over: WeightedEdges | None = None
    ) -> Tensor:
        """Row i of the result is sum_j w_ij value_j over the in-neighbours j and i itself, (k, d).

        Products and sums are rounded one by one, in node order, in the precision of the stack.

        Args:
            value: What the local nodes send.
            plus: A number c and a stack y (k, d): c y_i is added to row i, in the same pass.
            over: The matrix of this exchange, that of the round by default.
        """
        if over is None and isinstance(value, Tensor):
            plan = self._current()[1]
            in_place = self._transport.mix_in_place(value, plan, plus)
            if in_place is not None:
                self._counter.count(row_bytes_of(value), plan.out_degree)
                return in_place
        exchange, own = self._exchange(value, over)
        if isinstance(own, Message):
            return self._mix_messages(own, exchange, plus)
        return self._mix_stacks(own, exchange, plus)

    def own_weights(self, ahead: int = 0) -> Tensor:
        """(k, 1), float64: the weight that each local node gives to itself in this round, or so many rounds later."""
        matrix = self.topology[self.round + ahead].arrays if ahead else self._current()[0].arrays
        indptr, entries = entries_of(matrix, self.nodes)
        rows = np.repeat(np.arange(len(self.nodes)), np.diff(indptr))
        own = np.where(matrix.indices[entries] == np.asarray(self.nodes)[rows], matrix.data[entries], 0.0)
        return torch.from_numpy(np.bincount(rows, own, minlength=len(self.nodes))[:, None])

    def post(self, value: Value) -> Posted[Value]:
        """Start the exchange that a `mix` or `neighbors` of what this gives completes, as soon as there is room."""
        posted = Posted(value)
        self._post(posted)
        return posted

    def empty(self, d: int, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """(k, d), uninitialised, where neighbours can read it in place."""
        return self._transport.empty(d, dtype, device)

    def neighbors(
        self, value: Tensor | Message | Posted[Any], *, over: WeightedEdges | None = None
    ) -> list[Neighborhood]:
        """What each local node hears from its in-neighbours, itself left out."""
        exchange, _ = self._exchange(value, over)
        exchange.wait(exchange.columns)
        plan, rows = exchange.plan, exchange.sums.rows
        sources = self._dense(exchange.sources)
        heard, nothing = [], Neighborhood((), torch.zeros(0).to(sources[0]), sources[0][:0])
        for row, node in enumerate(self.nodes):
            if plan.indptr[row] == plan.indptr[row + 1]:
                heard.append(nothing)
                continue
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

    def mean(self, value: Tensor | Message | Posted[Tensor]) -> Tensor:
        """The average over all n nodes, (d,), summed along a fixed binary tree over the nodes."""
        return self.sum(value) / self.n

    def sum(self, value: Tensor | Message | Posted[Tensor]) -> Tensor:
        """The sum over all n nodes, (d,), along the same tree."""
        if isinstance(value, Posted):
            total = self._posted_means.taken(value, in_order=False) if self._recording else None
            if total is not None:
                return total.wait()
            value = value.value
        if isinstance(value, Message):
            return self._sum_messages(value)
        return self._begin_total(value, posted=False).wait()

    def post_mean(self, value: Tensor) -> Posted[Tensor]:
        """Start the average that a `mean` or `sum` of what this gives completes."""
        posted = Posted(value)
        self._posted_means.add(posted, self._begin_total(value, posted=True))
        return posted

    def gather(self, values: Tensor) -> Tensor:
        """What all nodes have, (n, m) in node order on every rank, of a few numbers (k, m) of each local node."""
        return self.rows(values, range(self.n))

    def rows(self, value: Tensor, nodes: Sequence[int]) -> Tensor:
        """The rows of these nodes, (len(nodes), d) in this order, on every rank."""
        gathered = self._transport.rows(value, nodes)
        self._count_gathered(np.full(self.n, row_bytes_of(value)), nodes)
        return gathered

    def draw(self, purpose: str) -> Draw:
        """The random streams of this round."""
        return Draw(self.seed, purpose, self.nodes, self.round)

    def finish_gradients(self, step: int, idle: Sequence[int] | None = None) -> None:
        """The gradients of a step are there, which a simulated clock wants to know."""

    def finish_step(self) -> None:
        """End the round if anything was sent since the last call; to be called after `start` and each step."""
        self.round += self._counter.communicated
        self._counter.communicated = False
        self._transport.advance()

    @property
    def matrix(self) -> Topology:
        """That of this round."""
        return self._current()[0]

    # What runs need beyond that: see `RunNetwork`.

    def exposed(self, stack: Tensor) -> bool:
        """Whether others may still be reading this stack, so that its next value needs memory of its own."""
        return self._posted.has(stack) or self._posted_means.has(stack) or self._transport.exposed(stack)

    @property
    def posted(self) -> tuple[list[Posted[Any]], list[Posted[Tensor]]]:
        """What was posted and is not complete: to be mixed, and to be averaged, in the order of posting."""
        return self._posted.handles, self._posted_means.handles

    def resume(
        self, round: int, traffic: Traffic, posted: Sequence[Posted[Any]], posted_means: Sequence[Posted[Tensor]]
    ) -> None:
        """Go on as a network that has come to this round, where this had been sent and this been posted; collective."""
        self.round = round
        with self.unrecorded():
            for each in posted:
                self._post(each)
            for mean in posted_means:
                self._posted_means.add(mean, self._begin_total(mean.value, posted=True))
        self._counter.traffic = traffic

    def all_rows(self, value: Tensor) -> Tensor:
        """A stack's rows of all nodes, (n, d), in node order, on every rank. For results, not for the loop; collective.

        It takes no transport, so that it works on a network that is closed.
        """
        stacks = self._communicator.gather(value.detach().cpu().contiguous())
        order = np.argsort(np.concatenate(self._hosted))
        return torch.cat(stacks)[torch.from_numpy(order)].to(value.device)

    @contextmanager
    def unrecorded(self) -> Iterator[None]:
        """What is done meanwhile is not part of the method: it counts neither as traffic nor as a round nor as time."""
        self._recording = False  # what the method has posted is left for it to complete
        try:
            with self._counter.paused(), self._clock.paused():
                yield
        finally:
            self._recording = True

    def clock_state(self) -> dict[str, Any]:
        """What `seconds` is and depends on, in numbers and lists of them, the same on every rank; collective."""
        return {"seconds": self.seconds}

    def load_clock_state(self, state: dict[str, Any]) -> None:
        """Go on from a saved state; to be called before `resume`."""
        self._clock.seconds = float(state["seconds"])

    def complete(self) -> None:
        """Complete what is under way, which nobody will mix any more; collective."""
        for each in self._posted.clear():
            if each.exchange is not None:
                each.exchange.finish()
        for total in self._posted_means.clear():
            total.wait()

    def abandon(self) -> None:
        """Leave what is under way as it is, as other ranks are gone; nothing can be sent any more. Not collective."""
        transport, self._transport = self._transport, cast(Transport, _Closed())
        transport.abandon()

    def close(self) -> None:
        """Complete what is under way and free what this network holds; collective. Stacks that it made stay valid.

        Nothing can be sent any more. Closing again does nothing.
        """
        if isinstance(self._transport, _Closed):
            return
        try:
            self.complete()
        finally:
            transport, self._transport = self._transport, cast(Transport, _Closed())
            transport.close()

    def _current(self) -> tuple[Topology, HaloPlan]:
        """The matrix of this round, the same object throughout, as a schedule without end makes one whenever it is
        asked; and the plan of it."""
        drawn = self._drawn
        if drawn is None or drawn[0] != self.round:
            topology = self.topology[self.round]
            drawn = self._drawn = self.round, (topology, self._plan_of(topology))
        return drawn[1]

    def _exchange(self, value: Rows | Posted[Any], over: WeightedEdges | None) -> tuple[Exchange, Rows]:
        """The exchange of this value, begun now unless it was posted; and the local rows."""
        own: Rows = value.value if isinstance(value, Posted) else value
        if isinstance(value, Posted) and self._recording:
            known = self._posted.taken(value, in_order=True)
            if known is not None:
                return known.exchange or self._transport.begin(own, known.plan, posted=False), own
        if over is None:
            plan = self._current()[1]
        elif over.n == self.n:
            plan = self._plan_of(over)
        else:
            raise ValueError(f"an exchange over {over.n} nodes was asked of a network of {self.n}")
        exchange = self._transport.begin(own, plan, posted=False)
        self._count_sent(own, plan)
        return exchange, own

    def _post(self, handle: Posted[Any]) -> None:
        """Begin the exchange of what was posted, if there is room."""
        plan = self._current()[1]
        room = sum(each.exchange is not None for each in self._posted.begun) < self._transport.ahead
        exchange = self._transport.begin(handle.value, plan, posted=True) if room else None
        self._count_sent(handle.value, plan)
        self._posted.add(handle, PostedExchange(plan, exchange))

    def _mix_stacks(self, own: Tensor, exchange: Exchange, plus: Scaled | None) -> Tensor:
        if exchange.segment >= exchange.columns:
            exchange.wait(exchange.columns)  # first: who has sent its stack has read what is about to be overwritten
            mixed = self.empty(exchange.columns, own.dtype, own.device)
            self._sum(exchange.sums, mixed, dense(exchange.sources), plus)
        else:
            mixed = self.empty(exchange.columns, own.dtype, own.device)
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
                self._add_decoded(source, mixed[0], source.pack(row), float(weight))
        else:
            self._sum(exchange.sums, mixed, self._dense(exchange.sources), None)
            mixed += 0.0
        if plus is not None:
            add_scaled(mixed, *plus, out=mixed)
        exchange.finish()
        return mixed

    def _begin_total(self, value: Tensor, posted: bool) -> Total:
        """Begin to sum a stack over all n nodes."""
        total = self._transport.total(value, posted)
        self._counter.count(row_bytes_of(value), self._sent_in_a_sum)
        return total

    def _sum_messages(self, message: Message) -> Tensor:
        """The sum of the rows that all nodes have packed, which go to every node."""
        everyone = self._transport.packed_rows(message, range(self.n))
        self._count_gathered(everyone.nbytes.numpy(), range(self.n))
        return fold_each(lambda node: self._dense([everyone.of([everyone.pack(node)])])[0][0], range(self.n))

    def _count_sent(self, value: Rows, plan: HaloPlan) -> None:
        """Count a row to each out-neighbour."""
        sizes = value.nbytes.numpy() if isinstance(value, Message) else row_bytes_of(value)
        self._counter.count(sizes, plan.out_degree)

    def _count_gathered(self, sizes: Indices, nodes: Sequence[int]) -> None:
        """Count the rows of these nodes, of so many bytes (n,), as sent along the tree so that every node has them."""
        sent, messages = self._tree.gathering(sizes, np.unique(np.asarray(nodes, np.int64)))
        self._counter.add(sent[self.nodes], messages[self.nodes])


class _Closed:
    """In the place of the transport of a network that is closed."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("this network is closed: nothing can be sent over it any more")


def _spectrum(topology: Schedule) -> Spectrum:
    if not isinstance(topology, Topology):
        raise ValueError(f"{topology.name} varies with time: its mixing matrices have no common spectrum")
    gap = spectral_gap(topology) if topology.symmetric else contraction_per_round(topology)
    return Spectrum(gap, laplacian_norm(topology))
