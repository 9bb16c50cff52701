"""Asynchronous node programs in one process, on a simulated clock: thousands of nodes, one event after the other."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from heapq import heapify, heappop, heappush
from math import inf
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor

from algorithms import Message, Sample, Traffic
from algorithms.program import NodeProgram
from gossip.drivers.nodes import Gradient, LocalNode, PendingGradients, listeners_of
from gossip.drivers.schedule import GRADIENT, KINDS, MESSAGE, SECOND, START, TIMER, Event, Record, Schedule, packed
from gossip.network import SimulatedClock, SimulatedNetwork
from gossip.network.mail import Letter
from gossip.network.message_times import START as START_OF_WAY
from gossip.network.message_times import Journey, MessageTimes
from topologies import Topology

HOP = len(KINDS)  # what is no event of a node: a message comes to a link
YOUNG = 20_000  # objects more than before after which Python looks for circles of garbage among them
NOBODY = -1  # to whom that happens; before all nodes, so that messages go on before others are sent at the same time


class EventDriver:
    """Runs one program per node on simulated nodes and links, which decide the order of what happens.

    A gradient takes a node as long as the one of the same number takes it on the same clock in lockstep, and messages
    take the links of that clock, see `MessageTimes`. Times are integers. What happens at the same time goes by the
    number of the node, and of a node in the order in which it was caused; so a run is the same each time. Gradients
    whose points are known are computed together, whatever their times.

    Args:
        programs: Of the nodes, in their order.
        topology: Node j may send to node i where w_ij is not 0.
        gradient: Gives the samples of nodes at points, such as `NodeGradients`.
        clock: How fast nodes and links are.
        seed: Of computing times, failures of links, and what programs draw.
        steps: How many gradients each node computes at most; those that it asks for beyond these never come.
        servers: How many of the nodes, the last ones, have no data.

    Attributes:
        programs: These.

    Raises:
        ValueError: Programs or clock are not those of so many nodes.
    """

    def __init__(
        self,
        programs: Sequence[NodeProgram],
        topology: Topology,
        gradient: Gradient,
        clock: SimulatedClock | SimulatedNetwork,
        *,
        seed: int = 0,
        steps: int | None = None,
        servers: int = 0,
    ) -> None:
        n = topology.n
        if len(programs) != n:
            raise ValueError(f"{len(programs)} programs for {n} nodes: every node needs one")
        self.programs = list(programs)
        self._times = MessageTimes(clock, n, seed, servers)
        self._pending = PendingGradients(gradient)
        self._steps = steps
        parts = zip(range(n), listeners_of(topology), programs, strict=True)
        self._nodes = [LocalNode(node, listeners, program, self, seed) for node, listeners, program in parts]
        self._record = Record(n)
        self._sent_bytes, self._sent_messages = [0] * n, [0] * n
        # (time, node, number of the cause among all, kind, event that caused it, what belongs to it)
        self._queue: list[tuple[int, int, int, int, int, Any]] = []
        self._caused = 0
        self._now, self._event, self._done = 0, -1, 0
        for node in range(n):
            self._cause(0, node, START)

    @property
    def seconds(self) -> float:
        """The simulated time of the last event."""
        return self._now / SECOND

    @property
    def now(self) -> int:
        """See `Host`."""
        return self._now

    @property
    def schedule(self) -> Schedule:
        """What has happened so far; a copy."""
        return self._record.schedule()

    @property
    def gradients(self) -> int:
        """Those of all nodes so far."""
        return self._done

    @property
    def there(self) -> int:
        """How many nodes there are: none is lost."""
        return len(self._nodes)

    @property
    def more(self) -> bool:
        """Whether anything is left to happen."""
        return bool(self._queue)

    @property
    def ahead(self) -> list[int]:
        """The nodes of this process whose next gradient has been computed already."""
        return self._pending.ahead

    def last(self, node: int) -> Sample | None:
        """The last gradient of a node, if it has had one."""
        return self._nodes[node].last

    def recorded(self) -> Schedule:
        """As `schedule`."""
        return self.schedule

    @property
    def traffic(self) -> Traffic:
        """What the nodes have sent so far."""
        return Traffic(torch.tensor(self._sent_bytes), torch.tensor(self._sent_messages))

    def run(self, until: float | None = None) -> None:
        """Let happen what is due.

        Args:
            until: Stop before the first event after so many seconds; by default when nothing is left to happen.
        """
        with seldom_collecting():
            for _ in self._happenings(until):
                pass

    def advance(self, gradients: int | None = None, seconds: float | None = None) -> None:
        """Let happen what is due, and pause at a mark of the schedule.

        Args:
            gradients: Pause after the event in which all nodes together have so many since the beginning.
            seconds: Pause before the first event after so many.
        """
        if gradients is None or self._done < gradients:
            with seldom_collecting():
                for _ in self._happenings(seconds):
                    if self._done == gradients:
                        break
        self._record.mark()

    def events(self, until: float | None = None) -> Iterator[Event]:
        """As `run`, one event after the other, each of which is given when it has happened."""
        for _ in self._happenings(until):
            yield self._record.last()

    def models(self) -> Tensor:
        """(n, d): what the nodes output."""
        return torch.cat([program.model for program in self.programs])

    def under_way(self) -> Iterator[Letter]:
        """The messages that have been sent and have not arrived, in no order that means anything."""
        for _, _, _, kind, _, what in self._queue:
            if kind == MESSAGE:
                yield what
            elif kind == HOP:
                yield what[0]

    def saved(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Where the run stands: what belongs to no node, in numbers and lists of them, and what each node has."""
        shared = {
            "now": self._now, "event": self._event, "done": self._done, "caused": self._caused,
            "bytes": self._sent_bytes, "messages": self._sent_messages, "links": self._times.state(),
        }  # fmt: skip
        nodes = [node.saved() | self._pending.saved(node.node) | {"queue": []} for node in self._nodes]
        for time, number, caused, kind, cause, what in sorted(self._queue, key=itemgetter(2)):
            # What comes to a link is kept with who has sent it.
            nodes[what[0].sender if kind == HOP else number]["queue"].append((time, number, caused, kind, cause, what))
        return shared, nodes

    def restore(self, shared: dict[str, Any], nodes: Sequence[dict[str, Any]]) -> None:
        """Go on from where a run stood, with its programs; see `gossip.drivers.asynchronous.Saves`."""
        self._now, self._event, self._done, self._caused = (shared[k] for k in ("now", "event", "done", "caused"))
        self._sent_bytes, self._sent_messages = list(shared["bytes"]), list(shared["messages"])
        self._times.restore(shared["links"])
        events = [saved["events"] for saved in nodes]
        self._record.resume(Schedule.of_nodes(len(nodes), events, shared["marks"]))
        self._queue = [_event_again(*event) for saved in nodes for event in saved["queue"]]
        heapify(self._queue)
        for node, saved in zip(self._nodes, nodes, strict=True):
            node.restore(saved)
            self._pending.restore(node.node, saved)

    def compute(self, node: LocalNode, x: Tensor) -> None:
        """See `Host`."""
        step = node.gradients
        if step == self._steps:
            return
        node.gradients += 1
        self._pending.ask(node.node, x, step)
        self._cause(self._times.computed(node.node, step, self._now), node.node, GRADIENT)

    def carry(self, node: LocalNode, to: int, value: Tensor | Message, label: str) -> None:
        """See `Host`."""
        number = node.node
        letter = Letter(number, to, value, label, self._event)
        size = letter.size
        self._sent_bytes[number] += size
        self._sent_messages[number] += 1
        self._send_on(letter, size, START_OF_WAY)

    def wake(self, node: LocalNode, seconds: float) -> None:
        """See `Host`."""
        self._cause(self._now + nanoseconds(seconds), node.node, TIMER)

    def _happenings(self, until: float | None) -> Iterator[None]:
        """Let the events of nodes happen that are due until then, with a pause after each."""
        end = inf if until is None else nanoseconds(until)
        queue, nodes, pending, record = self._queue, self._nodes, self._pending, self._record.add_packed
        while queue and queue[0][0] <= end:
            time, number, _, kind, cause, what = heappop(queue)
            if kind == HOP:
                self._now = time
                self._send_on(*what)
                continue
            node = nodes[number]
            if node.stopped and kind in (GRADIENT, TIMER):
                pending.forget(number)
                continue
            self._now = time
            self._event += 1
            if kind == MESSAGE:
                sender, _, _, label, cause = what
                record(packed(time, MESSAGE, number, sender, cause))
                node.receive(sender, what.row, label)
            else:
                record(packed(time, kind, number, number, cause))
                if kind == GRADIENT:
                    self._done += 1
                    node.use(pending.take(number))
                else:
                    node.start() if kind == START else node.awake()
            yield

    def _send_on(self, letter: Letter, size: int, journey: Journey) -> None:
        """Bring a message of so many bytes as far as it gets now."""
        to = letter.to
        way = self._times.travel(letter.sender, to, size, self._now, journey)
        if isinstance(way, int):
            self._cause(way, to, MESSAGE, letter)
        else:
            self._cause(way.time, NOBODY, HOP, (letter, size, way))

    def _cause(self, time: int, node: int, kind: int, what: Any = None) -> None:
        """Let something happen at this time."""
        heappush(self._queue, (time, node, self._caused, kind, self._event, what))
        self._caused += 1


def _event_again(
    time: int, number: int, caused: int, kind: int, cause: int, what: Any
) -> tuple[int, int, int, int, int, Any]:
    """An event as it is in the queue, of what has been saved of it."""
    if kind == MESSAGE:
        what = Letter(*what)
    elif kind == HOP:
        letter, size, journey = what
        what = Letter(*letter), size, Journey(*journey)
    return time, number, caused, kind, cause, what


@contextmanager
def seldom_collecting() -> Iterator[None]:
    """Let Python look for circles of garbage more seldom, and not among what is there already.

    Gradients that are computed together are many new objects, which would let it look at all nodes again and again.
    """
    thresholds, frozen = gc.get_threshold(), gc.get_freeze_count()
    if not frozen:  # else whoever has frozen something could not have it back so
        gc.freeze()
    gc.set_threshold(YOUNG, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        if not frozen:
            gc.unfreeze()


def nanoseconds(seconds: float) -> int:
    """The nearest whole number of them."""
    return round(seconds * SECOND)
