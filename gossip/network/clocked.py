"""A network that tells a simulated time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.compressors.message import Message
from algorithms.network import Neighborhood, Posted, Spectrum, Traffic, Value, WeightedEdges
from algorithms.randomness import Draw
from gossip.network.clock import NodeTimes
from gossip.network.network import Network
from gossip.network.simulation.times import NetworkTimes
from gossip.network.sums.mixing import Scaled
from topologies import Schedule

UNSETTLED = 1024  # events that are kept at most

Times = NDArray[Any]  # of each node, in seconds or nanoseconds
Bytes = NDArray[np.int64] | int  # of a row of each node, the same for all or (n,)


@dataclass(eq=False)
class Arrival:
    """When what is sent is there."""

    at: Times | None = None
    """(n,): when each node has what it needs of it, once the event of sending it is settled."""


class ClockedNetwork:
    """A network with a simulated clock, which tells another time and otherwise hands everything on.

    How long packed rows are is known to the ranks that sent them only. So what happens is put down first, and the
    times follow from it later, whenever somebody asks for them, after one exchange of all lengths since then.

    Args:
        network: Does all the rest.
        times: The time of each node, at the beginning.
    """

    def __init__(self, network: Network, times: NodeTimes | NetworkTimes) -> None:
        self.times = times
        self._network = network
        self._recording = True
        self._events: list[tuple[Callable[[Bytes], None], Tensor | int]] = []
        self._under_way: dict[Posted[Any], Arrival] = {}
        self._restored: list[Times] = []

    # What a clock sees

    @property
    def seconds(self) -> float:
        """The time of the node that is last, in seconds; collective."""
        self._settle()
        return self.times.seconds

    def finish_gradients(self, step: int, idle: Sequence[int] | None = None) -> None:
        """See `RunNetwork`."""
        busy: Tensor | int = 1
        if idle is not None:
            busy = torch.ones(len(self.nodes), dtype=torch.int64)
            busy[list(idle)] = 0
        self._add(lambda busy: self.times.compute(step, busy), busy)

    def mix(
        self, value: Tensor | Message | Posted[Any], plus: Scaled | None = None, *, over: WeightedEdges | None = None
    ) -> Tensor:
        """See `algorithms.Network`."""
        self._wait_for(value, lambda rows: self._sent(rows, over))
        return self._network.mix(value, plus, over=over)

    def neighbors(
        self, value: Tensor | Message | Posted[Any], *, over: WeightedEdges | None = None
    ) -> list[Neighborhood]:
        """See `algorithms.Network`."""
        self._wait_for(value, lambda rows: self._sent(rows, over))
        return self._network.neighbors(value, over=over)

    def post(self, value: Value) -> Posted[Value]:
        """See `algorithms.Network`."""
        sent = self._sent(value, None)
        posted = self._network.post(value)
        self._under_way[posted] = sent
        return posted

    def mean(self, value: Tensor | Message | Posted[Tensor]) -> Tensor:
        """See `algorithms.Network`."""
        self._wait_for(value, self._summed)
        return self._network.mean(value)

    def sum(self, value: Tensor | Message | Posted[Tensor]) -> Tensor:
        """See `algorithms.Network`."""
        self._wait_for(value, self._summed)
        return self._network.sum(value)

    def post_mean(self, value: Tensor) -> Posted[Tensor]:
        """See `algorithms.Network`."""
        sent = self._summed(value)
        posted = self._network.post_mean(value)
        self._under_way[posted] = sent
        return posted

    def gather(self, values: Tensor) -> Tensor:
        """See `algorithms.Network`."""
        self._wait_for(values, lambda rows: self._gathered(rows, range(self.n)))
        return self._network.gather(values)

    def rows(self, value: Tensor, nodes: Sequence[int]) -> Tensor:
        """See `algorithms.Network`."""
        self._wait_for(value, lambda rows: self._gathered(rows, nodes))
        return self._network.rows(value, nodes)

    @contextmanager
    def unrecorded(self) -> Iterator[None]:
        """See `RunNetwork`."""
        self._recording = False
        try:
            with self._network.unrecorded():
                yield
        finally:
            self._recording = True

    def complete(self) -> None:
        """See `RunNetwork`."""
        self._network.complete()
        self._under_way.clear()

    def resume(
        self, round: int, traffic: Traffic, posted: Sequence[Posted[Any]], posted_means: Sequence[Posted[Tensor]]
    ) -> None:
        """See `RunNetwork`."""
        self._network.resume(round, traffic, posted, posted_means)
        for each in posted:
            self._under_way[each] = self._restored_arrival() or self._sent(each.value, None)
        for mean in posted_means:
            self._under_way[mean] = self._restored_arrival() or self._summed(mean.value)

    def clock_state(self) -> dict[str, Any]:
        """See `RunNetwork`."""
        self._settle()
        posted, means = self.posted
        arrivals = [self._under_way[each].at for each in (*posted, *means)]
        return {
            "now": self.times.now.tolist(),
            "free": self.times.free.tolist(),
            "under_way": [at.tolist() for at in arrivals if at is not None],
        }

    def load_clock_state(self, state: dict[str, Any]) -> None:
        """See `RunNetwork`."""
        kind: Any = self.times.now.dtype  # seconds, or whole nanoseconds
        now, free = np.array(state["now"], kind), np.array(state["free"], kind)
        restored = [np.array(there, kind) for there in state["under_way"]]
        if now.shape != self.times.now.shape or free.shape != self.times.free.shape:
            raise ValueError(f"it has the times of {now.shape} and {free.shape} nodes, not of {self.times.now.shape}")
        self._events.clear()
        self._under_way.clear()
        self.times.now, self.times.free, self._restored = now, free, restored

    # What it does not

    @property
    def topology(self) -> Schedule:
        """See `RunNetwork`."""
        return self._network.topology

    @property
    def n(self) -> int:
        """See `algorithms.Network`."""
        return self._network.n

    @property
    def nodes(self) -> Sequence[int]:
        """See `algorithms.Network`."""
        return self._network.nodes

    @property
    def hosts(self) -> Sequence[int]:
        """See `algorithms.Network`."""
        return self._network.hosts

    @property
    def round(self) -> int:
        """See `RunNetwork`."""
        return self._network.round

    @round.setter
    def round(self, round: int) -> None:
        self._network.round = round

    @property
    def period(self) -> int | None:
        """See `algorithms.Network`."""
        return self._network.period

    @property
    def spectrum(self) -> Spectrum:
        """See `algorithms.Network`."""
        return self._network.spectrum

    @property
    def traffic(self) -> Traffic:
        """See `algorithms.Network`."""
        return self._network.traffic

    def own_weights(self, ahead: int = 0) -> Tensor:
        """See `algorithms.Network`."""
        return self._network.own_weights(ahead)

    def empty(self, d: int, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """See `algorithms.Network`."""
        return self._network.empty(d, dtype, device)

    def draw(self, purpose: str) -> Draw:
        """See `algorithms.Network`."""
        return self._network.draw(purpose)

    def finish_step(self) -> None:
        """See `algorithms.Network`."""
        self._network.finish_step()

    def exposed(self, stack: Tensor) -> bool:
        """See `RunNetwork`."""
        return self._network.exposed(stack)

    @property
    def posted(self) -> tuple[list[Posted[Any]], list[Posted[Tensor]]]:
        """See `RunNetwork`."""
        return self._network.posted

    def all_rows(self, value: Tensor) -> Tensor:
        """See `RunNetwork`."""
        return self._network.all_rows(value)

    def abandon(self) -> None:
        """See `RunNetwork`."""
        self._network.abandon()

    def close(self) -> None:
        """See `RunNetwork`."""
        self._network.close()

    # What happens

    def _wait_for(self, value: Any, send: Callable[[Any], Arrival]) -> None:
        """Wait for what comes of this value, which is sent now unless it was posted."""
        if not self._recording:
            return
        posted = isinstance(value, Posted)
        sent = self._under_way.pop(value, None) if posted else None
        if sent is None:
            sent = send(value.value if posted else value)

        def wait(_: Bytes) -> None:
            assert sent.at is not None  # sending was settled before
            self.times.wait(sent.at)

        self._add(wait)

    def _sent(self, rows: Tensor | Message, over: WeightedEdges | None) -> Arrival:
        edges = over or self._network.matrix
        return self._put_down(rows, lambda row_bytes: self.times.send(edges, row_bytes))

    def _summed(self, rows: Tensor | Message) -> Arrival:
        if isinstance(rows, Message):
            return self._gathered(rows, range(self.n))
        return self._put_down(rows, self.times.reduce)

    def _gathered(self, rows: Tensor | Message, nodes: Sequence[int]) -> Arrival:
        return self._put_down(rows, lambda row_bytes: self.times.gather(row_bytes, nodes))

    def _put_down(self, rows: Tensor | Message, move: Callable[[Bytes], Times]) -> Arrival:
        """That rows are sent, which moves the times on, given the bytes of a row of each node."""
        arrival = Arrival()

        def send(row_bytes: Bytes) -> None:
            arrival.at = move(row_bytes)

        self._add(send, rows.nbytes if isinstance(rows, Message) else rows.shape[1] * rows.itemsize)
        return arrival

    def _restored_arrival(self) -> Arrival | None:
        """Of what was posted before the state was saved."""
        return Arrival(self._restored.pop(0)) if self._restored else None

    def _add(self, event: Callable[[Bytes], None], row_bytes: Tensor | int = 0) -> None:
        """Put down what happens.

        Args:
            event: Moves the times on, given the bytes of a row of each node.
            row_bytes: These as this rank knows them: of the local nodes, (k,), if they depend on the node. Events that
                are no messages may be given other numbers.
        """
        self._events.append((event, row_bytes))
        if len(self._events) >= UNSETTLED:
            self._settle()

    def _settle(self) -> None:
        """Bring the times up to date; collective."""
        events, self._events = self._events, []
        local = [row_bytes for _, row_bytes in events if isinstance(row_bytes, Tensor)]
        everywhere = iter(self.all_rows(torch.stack(local, dim=1)).T.numpy() if local else ())
        for event, row_bytes in events:
            event(next(everywhere) if isinstance(row_bytes, Tensor) else row_bytes)
