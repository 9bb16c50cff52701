"""Asynchronous node programs in real time, in one process or several: nobody waits but for what it needs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from heapq import heappop, heappush
from math import inf
from typing import Any

import torch
from torch import Tensor

from algorithms import Message, Sample, Traffic
from algorithms.program import NodeProgram
from gossip.drivers.merging import merged
from gossip.drivers.nodes import Gradient, LocalNode, PendingGradients, listeners_of
from gossip.drivers.schedule import GRADIENT, LOSS, MESSAGE, SECOND, START, TIMER, Record, Schedule
from gossip.errors import UsageError
from gossip.network.mail import Letter, LiveMail
from topologies import Topology

AT_ONCE = 64  # letters that are read before the next gradient
FEW = 8  # letters under way that never keep a process from computing
OUTSTANDING = 1 << 26  # bytes of more of them from which on it computes no gradient
LONG = 2e-3  # seconds of a gradient from which on another thread computes the next one
OVERHEAD = 1 << 12  # bytes, at least, of a letter that is under way


class MailDriver:
    """Runs the programs of this process's nodes as fast as they are, together with other processes that do the same.

    Between gradients, letters that have come are handed over; and meanwhile, too, where gradients take long: another
    thread computes them then. A gradient takes as long as it takes; those that several nodes of the process have asked
    for are computed together. No call is collective from the start to the end. A process that has too many letters
    under way, which others have not taken yet, computes no gradient until they have (`outstanding`), so that nobody is
    flooded: it goes on to take letters itself.

    A run has marks, at which it can be evaluated and goes on when all processes like: from when one is due, gradients
    and timers wait, and letters are handed over until none is under way, which a token that goes around finds out. The
    time until the next call of `advance` does not count.

    In which order things happen is up to the machines. It is recorded, and `ReplayDriver` gives the same models again.

    Args:
        programs: Of the nodes of this process, in their order.
        topology: Node j may send to node i where w_ij is not 0.
        gradient: Gives the samples of these nodes.
        mail: Carries letters between the processes, and says who has which nodes.
        seed: Of what programs draw.
        steps: How many gradients each node computes at most; those that it asks for beyond these never come.
        outstanding: Bytes of letters of this process that others have not taken, if there are more than a few of these,
            from which on it computes no gradient.
        long: Seconds of a gradient from which on another thread computes the next one, while letters are handed over.
        essential: Nodes without which the others stop, if one is lost, until the next mark.

    Attributes:
        lost: The nodes that have been lost, as far as this process knows.

    Raises:
        UsageError: (a ValueError) There is no program for each node of this process.
    """

    def __init__(
        self,
        programs: Sequence[NodeProgram],
        topology: Topology,
        gradient: Gradient,
        mail: LiveMail,
        *,
        seed: int = 0,
        steps: int | None = None,
        outstanding: int = OUTSTANDING,
        long: float = LONG,
        essential: Sequence[int] = (),
    ) -> None:
        here = mail.hosted[mail.rank]
        if len(programs) != len(here):
            raise UsageError(f"{len(programs)} programs for {len(here)} nodes: every node needs one")
        self.programs = list(programs)
        self._n, self._mail, self._steps, self._outstanding = topology.n, mail, steps, outstanding
        self._pending = PendingGradients(gradient)
        self._essential = frozenset(essential)
        self._listeners = listeners_of(topology)
        self._nodes = {
            node: LocalNode(node, self._listeners[node], program, self, seed)
            for node, program in zip(here, programs, strict=True)
        }
        self._rank_of = ranks_of(mail.hosted)
        self.lost: list[int] = []
        self._record, self._past = Record(topology.n), Record(topology.n).schedule()  # of this process; of all, before
        self._letters: deque[Letter] = deque()  # from and to nodes of this process
        self._asked: deque[tuple[LocalNode, int]] = deque()  # who waits for a gradient, and in which event it asked
        self._thread = ThreadPoolExecutor(1)
        self._computing: Future[float] | None = None  # of the node that has asked first
        self._took, self._long = inf, long  # seconds of the last gradient, as far as is known
        self._timers: list[tuple[int, int, int, int]] = []  # (time, number, node, event)
        self._set = 0
        self._event, self._done, self._moment = -1, 0, 0
        self._sent_bytes, self._sent_messages = dict.fromkeys(here, 0), dict.fromkeys(here, 0)
        self._began: list[int] = []  # when the clock of this process was 0 by the world's, as of each mark
        self._before, self._tick = 0, 0  # on that clock, when it was started again, and when that was
        self._goal: tuple[int | None, int | None] = None, None  # gradients, nanoseconds
        self._pausing = False

    def run(self) -> None:
        """Let happen all that will; every process does."""
        self.advance()

    def advance(self, gradients: int | None = None, seconds: float | None = None) -> None:
        """Go on to the next mark, which no process passes before all have come to it; every process does.

        Args:
            gradients: It is due when all nodes of all processes together have about so many since the beginning: some
                more, as it takes a moment until this is known.
            seconds: It is due when so many have passed since the beginning, by the clock of each process.
        """
        self.begin(gradients, seconds)
        over = False
        while not over:
            for idle in self.pieces():
                if idle:
                    self._mail.wait(self._busy)
            over = self._mail.mark()
        self.end()

    def begin(self, gradients: int | None = None, seconds: float | None = None) -> None:
        """The first part of `advance`: start again, with this aim."""
        self._goal = gradients, None if seconds is None else round(seconds * SECOND)
        self._pausing = gradients is not None and self.gradients >= gradients  # as all processes know
        self._tick = time.perf_counter_ns()
        self._began.append(time.time_ns() - self._before)
        if self._event < 0:
            for number, node in self._nodes.items():
                self._add(START, number, number, -1)
                node.start()

    def pieces(self) -> Iterator[bool]:
        """The second part: do what there is to do until all is over; after each piece, whether there was nothing."""
        while not self._is_over():
            yield not self._read() | self._wake() | self._compute()

    def end(self) -> None:
        """The last part: stop at the mark."""
        self._rank_of = ranks_of(self._mail.hosted)
        if self._computing is not None:  # the gradient is used after the mark
            self._took, self._computing = self._computing.result(), None
        self._before = self._now()
        self._record.mark()

    def recover(self) -> None:
        """Go on with the ranks that are left, where something else has failed at a mark; they all do.

        Their programs hear of it when it goes on.
        """
        self._mail.recover()
        self._rank_of = ranks_of(self._mail.hosted)

    @property
    def seconds(self) -> float:
        """How long it has run, without pauses at marks."""
        return self._before / SECOND

    @property
    def gradients(self) -> int:
        """Those of all nodes of all processes, at the last mark."""
        return self._mail.state.gradients

    @property
    def there(self) -> int:
        """How many nodes have not been lost, of all processes, at the last mark."""
        return sum(map(len, self._mail.hosted))

    @property
    def hosted(self) -> Sequence[Sequence[int]]:
        """The nodes of each rank that is left, at the last mark."""
        return self._mail.hosted

    @property
    def more(self) -> bool:
        """Whether anything is left to happen to any node of any process, at the last mark."""
        return self._mail.state.more

    @property
    def ahead(self) -> list[int]:
        """The nodes of this process whose next gradient has been computed already."""
        return self._pending.ahead

    def last(self, node: int) -> Sample | None:
        """The last gradient of a node of this process, if it has had one."""
        return self._nodes[node].last

    def recorded(self) -> Schedule:
        """As `schedule`."""
        return self.schedule()

    @property
    def traffic(self) -> Traffic:
        """What the nodes of this process have sent so far: rows and messages, without what says to whom they go."""
        sizes, counts = self._sent_bytes.values(), self._sent_messages.values()
        return Traffic(torch.tensor([*sizes]), torch.tensor([*counts]))

    def models(self) -> Tensor:
        """(k, d): what the nodes of this process output."""
        return torch.cat([program.model for program in self.programs])

    def schedule(self) -> Schedule:
        """What has happened to all nodes, in an order in which every letter is sent before it arrives; collective.

        Times are those of the processes' own clocks, none before that of the event before, and do not go on at marks.
        """
        return self._merged()[0]

    def saved(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Where the run stands at a mark; collective. See `gossip.drivers.asynchronous.Saves`."""
        numbers = self._merged()[1][self._mail.rank]
        asked = {node.node: numbers[cause] for node, cause in self._asked}
        nodes = []
        for number, node in self._nodes.items():
            own: dict[str, Any] = {"ask": asked.get(number), "clock": self._before, "timers": []}
            own |= {"bytes": self._sent_bytes[number], "messages": self._sent_messages[number]}
            nodes.append(node.saved() | self._pending.saved(number) | own)
        for moment, _, number, cause in sorted(self._timers):
            nodes[list(self._nodes).index(number)]["timers"].append((moment - self._before, numbers[cause]))
        return {}, nodes

    def restore(self, shared: dict[str, Any], nodes: Sequence[dict[str, Any]]) -> None:
        """Go on from a mark, on any number of ranks; see `gossip.drivers.asynchronous.Saves`."""
        mine = [(node, saved["events"]) for node, saved in zip(self._nodes, nodes, strict=True)]
        tables = dict(each for part in self._mail.gather(mine) for each in part)
        past = Schedule.of_nodes(self._n, [tables[node] for node in range(self._n)], shared["marks"])
        self._past, self._event = past, len(past) - 1
        self._before = max(saved["clock"] for saved in nodes)
        for (number, node), saved in zip(self._nodes.items(), nodes, strict=True):
            node.restore(saved)
            self._pending.restore(number, saved)
            self._done += int((saved["events"][:, 3] == GRADIENT).sum())
            self._sent_bytes[number], self._sent_messages[number] = saved["bytes"], saved["messages"]
            if saved["ask"] is not None:
                self._asked.append((node, saved["ask"]))
            for remaining, cause in saved["timers"]:
                self._set += 1
                heappush(self._timers, (self._before + remaining, self._set, number, cause))

    def _merged(self) -> tuple[Schedule, list[list[int]]]:
        parts = self._mail.gather((self._began, self._record.schedule()))
        return merged([part for _, part in parts], [began for began, _ in parts], self._rank_of, self._past)

    @property
    def now(self) -> int:
        """See `Host`."""
        return self._moment

    def compute(self, node: LocalNode, x: Tensor) -> None:
        """See `Host`."""
        step = node.gradients
        if step == self._steps:
            return
        node.gradients += 1
        self._pending.ask(node.node, x, step)
        self._asked.append((node, self._event))

    def carry(self, node: LocalNode, to: int, value: Tensor | Message, label: str) -> None:
        """See `Host`."""
        letter = Letter(node.node, to, value, label, self._event)
        self._sent_bytes[node.node] += letter.size
        self._sent_messages[node.node] += 1
        rank = self._rank_of[to]
        if rank == self._mail.rank:
            self._letters.append(letter)
        else:
            self._mail.send(rank, letter)

    def wake(self, node: LocalNode, seconds: float) -> None:
        """See `Host`."""
        self._set += 1
        heappush(self._timers, (self._now() + round(seconds * SECOND), self._set, node.node, self._event))

    def _now(self) -> int:
        """Nanoseconds since the beginning, without pauses at marks."""
        return self._before + time.perf_counter_ns() - self._tick

    def _add(self, kind: int, node: int, sender: int, cause: int) -> None:
        self._event += 1
        self._moment = self._now()
        self._record.add((self._moment, kind, node, sender, cause))

    def _is_over(self) -> bool:
        """Whether the mark is there, for all processes; and see to it that this one comes to it."""
        gradients, end = self._goal
        if not self._pausing:
            timed_out = end is not None and self._now() >= end
            self._pausing = timed_out or (gradients is not None and self._mail.enough(self._done, gradients))
        more = bool(self._asked or self._timers)
        return not self._letters and (self._pausing or not more) and self._mail.over(self._done, more)

    def _busy(self) -> bool:
        """Whether there is something to do, or nothing will be any more."""
        if self._letters or self._mail.waiting():
            return True
        if not self._pausing:
            due = bool(self._timers) and self._timers[0][0] <= self._now()
            ready = self._keeps_up() if self._computing is None else self._computing.done()
            if due or (self._asked and ready):
                return True
        return self._is_over()

    def _read(self) -> bool:
        """Hand over letters that have come, some of them if there are many; whether there were any."""
        for count in range(AT_ONCE):
            letter = self._letters.popleft() if self._letters else self._mail.arrived()
            if letter is None:
                return self._hear_of_losses() or count > 0
            if letter.sender in self.lost:  # it has come late
                continue
            self._add(MESSAGE, letter.to, letter.sender, letter.cause)
            self._nodes[letter.to].receive(letter.sender, letter.row, letter.label)
        return True

    def _hear_of_losses(self) -> bool:
        """Tell programs which neighbours are lost, when all that came from these has been read; whether there are any.

        Neighbours are those that a node may send to, and those that may send to it.
        """
        lost = self._mail.losses()
        self.lost += lost
        returned: list[Letter] = []
        for other in lost:
            returned += self._mail.returned()
            for number, node in self._nodes.items():
                if other in node.neighbors or number in self._listeners[other]:
                    back = [(each.row, each.label) for each in returned if (each.sender, each.to) == (number, other)]
                    self._add(LOSS, number, other, -1)
                    node.lose(other, back)
        if not self._essential.isdisjoint(lost):
            for node in self._nodes.values():
                node.stop()
        return bool(lost)

    def _keeps_up(self) -> bool:
        """Whether the others take what this process sends."""
        count, size = self._mail.outstanding
        return count <= FEW or size + count * OVERHEAD < self._outstanding

    def _wake(self) -> bool:
        """Let the first timer that is due go off; whether there was one."""
        if self._pausing or not self._timers or self._timers[0][0] > self._now():
            return False
        _, _, number, cause = heappop(self._timers)
        if not self._nodes[number].stopped:
            self._add(TIMER, number, number, cause)
            self._nodes[number].awake()
        return True

    def _compute(self) -> bool:
        """Compute the gradient that was asked for first, if others keep up; whether anything has come of it."""
        if self._pausing or not self._asked or (self._computing is None and not self._keeps_up()):
            return False
        node, cause = self._asked[0]
        if self._computing is not None:
            if not self._computing.done():
                return False
            self._took, self._computing = self._computing.result(), None
        elif not node.stopped:
            if self._took > self._long:
                self._computing = self._thread.submit(self._see_to, node.node)
                return True
            self._took = self._see_to(node.node)
        self._asked.popleft()
        if node.stopped:
            self._pending.forget(node.node)
            return True
        sample = self._pending.take(node.node)
        self._add(GRADIENT, node.node, node.node, cause)
        self._done += 1
        node.use(sample)
        return True

    def _see_to(self, node: int) -> float:
        """Compute what a node has asked for, if it has not been; how many seconds the last ones took."""
        began = time.perf_counter()
        return time.perf_counter() - began if self._pending.compute(node) else self._took


def ranks_of(hosted: Sequence[Sequence[int]]) -> dict[int, int]:
    """The rank of each node, of those that the ranks have."""
    return {node: rank for rank, nodes in enumerate(hosted) for node in nodes}
