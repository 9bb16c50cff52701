"""Asynchronous node programs in real time, in one process or several: nobody waits but for what it needs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from heapq import heapify, heappop, heappush

import torch
from torch import Tensor

from algorithms import Message
from algorithms.program import NodeProgram
from gossip.drivers.nodes import Gradient, LocalNode, PendingGradients, listeners_of
from gossip.drivers.schedule import GRADIENT, MESSAGE, SECOND, START, TIMER, Record, Schedule
from gossip.errors import UsageError
from gossip.network.mail import Letter, LiveMail
from topologies import Topology

AT_ONCE = 64  # letters that are read before the next gradient
OUTSTANDING = 64  # letters under way from which on a process computes no gradient


class MailDriver:
    """Runs the programs of this process's nodes as fast as they are, together with other processes that do the same.

    Between gradients, letters that have come are handed over. A gradient takes as long as it takes; those that several
    nodes of the process have asked for are computed together. No call is collective from the start to the end. A
    process that has too many letters under way, which others have not taken yet, computes no gradient until they have
    (`outstanding`), so that nobody is flooded: it goes on to take letters itself. The run is over when no process has
    anything to do and no letter is under way, which a token that goes around finds out.

    In which order things happen is up to the machines. It is recorded, and `ReplayDriver` gives the same models again.

    Args:
        programs: Of the nodes of this process, in their order.
        topology: Node j may send to node i where w_ij is not 0.
        gradient: Gives the samples of these nodes.
        mail: Carries letters between the processes, and says who has which nodes.
        seed: Of what programs draw.
        steps: How many gradients each node computes at most.
        seconds: After which no gradients and timers come; letters still do, until all are read. Without both of the
            last two the programs must stop by themselves.
        outstanding: Letters of this process that others have not taken, from which on it computes no gradient.

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
        seconds: float | None = None,
        outstanding: int = OUTSTANDING,
    ) -> None:
        here = mail.hosted[mail.rank]
        if len(programs) != len(here):
            raise UsageError(f"{len(programs)} programs for {len(here)} nodes: every node needs one")
        self.programs = list(programs)
        self._n, self._mail, self._steps, self._outstanding = topology.n, mail, steps, outstanding
        self._pending = PendingGradients(gradient)
        listeners = listeners_of(topology)
        self._nodes = {
            node: LocalNode(node, listeners[node], program, self, seed)
            for node, program in zip(here, programs, strict=True)
        }
        self._rank_of = {node: rank for rank, nodes in enumerate(mail.hosted) for node in nodes}
        self._record = Record(topology.n)
        self._letters: deque[Letter] = deque()  # from and to nodes of this process
        self._asked: deque[tuple[LocalNode, int]] = deque()  # who waits for a gradient, and in which event it asked
        self._timers: list[tuple[int, int, int, int]] = []  # (time, number, node, event)
        self._set = 0
        self._end = None if seconds is None else round(seconds * SECOND)
        self._event, self._ended = -1, False

    def run(self) -> None:
        """Let all of it happen; every process does."""
        self._began, self._tick = time.time_ns(), time.perf_counter_ns()
        for number, node in self._nodes.items():
            self._add(START, number, number, -1)
            node.start()
        while not self._look_for_the_end():
            if not self._read() | self._wake() | self._compute():
                self._mail.wait(self._busy)

    def models(self) -> Tensor:
        """(k, d): what the nodes of this process output."""
        return torch.cat([program.model for program in self.programs])

    def schedule(self) -> Schedule:
        """What has happened to all nodes, in an order in which every letter is sent before it arrives; collective.

        Times are those of the processes' own clocks, none before that of the event before.
        """
        parts = self._mail.gather((self._began, self._record.schedule()))
        return merged([part for _, part in parts], [began for began, _ in parts], self._rank_of)

    def compute(self, node: LocalNode, x: Tensor) -> None:
        """See `Host`."""
        step = node.gradients
        if self._ended or step == self._steps:
            return
        node.gradients += 1
        self._pending.ask(node.node, x, step)
        self._asked.append((node, self._event))

    def carry(self, node: LocalNode, to: int, value: Tensor | Message, label: str) -> None:
        """See `Host`."""
        letter = Letter(node.node, to, value, label, self._event)
        rank = self._rank_of[to]
        if rank == self._mail.rank:
            self._letters.append(letter)
        else:
            self._mail.send(rank, letter)

    def wake(self, node: LocalNode, seconds: float) -> None:
        """See `Host`."""
        if not self._ended:
            self._set += 1
            heappush(self._timers, (self._now() + round(seconds * SECOND), self._set, node.node, self._event))

    def _now(self) -> int:
        """Nanoseconds since the start of this process."""
        return time.perf_counter_ns() - self._tick

    def _add(self, kind: int, node: int, sender: int, cause: int) -> None:
        self._event += 1
        self._record.add((self._now(), kind, node, sender, cause))

    def _look_for_the_end(self) -> bool:
        """Whether the run is over, for all processes; and see to it that this one ends in time."""
        if not self._ended and self._end is not None and self._now() >= self._end:
            self._ended = True
            for node, _ in self._asked:
                self._pending.forget(node.node)
            self._asked.clear()
            self._timers.clear()
        return not (self._letters or self._asked or self._timers) and self._mail.over()

    def _busy(self) -> bool:
        """Whether there is something to do, or nothing will be any more."""
        now = self._now()
        timed_out = not self._ended and self._end is not None and now >= self._end
        due = bool(self._timers) and self._timers[0][0] <= now
        free = bool(self._asked) and self._mail.outstanding < self._outstanding
        if timed_out or due or free or self._mail.waiting():
            return True
        return not (self._letters or self._asked or self._timers) and self._mail.over()

    def _read(self) -> bool:
        """Hand over letters that have come, some of them if there are many; whether there were any."""
        for count in range(AT_ONCE):
            letter = self._letters.popleft() if self._letters else self._mail.arrived()
            if letter is None:
                return count > 0
            self._add(MESSAGE, letter.to, letter.sender, letter.cause)
            self._nodes[letter.to].receive(letter.sender, letter.row, letter.label)
        return True

    def _wake(self) -> bool:
        """Let the first timer that is due go off; whether there was one."""
        if not self._timers or self._timers[0][0] > self._now():
            return False
        _, _, number, cause = heappop(self._timers)
        if not self._nodes[number].stopped:
            self._add(TIMER, number, number, cause)
            self._nodes[number].awake()
        return True

    def _compute(self) -> bool:
        """Compute the gradient that was asked for first, if others keep up; whether there was one."""
        if not self._asked or self._mail.outstanding >= self._outstanding:
            return False
        node, cause = self._asked.popleft()
        if node.stopped:
            self._pending.forget(node.node)
            return True
        sample = self._pending.take(node.node)
        self._add(GRADIENT, node.node, node.node, cause)
        node.use(sample)
        return True


def merged(parts: Sequence[Schedule], began: Sequence[int], rank_of: dict[int, int]) -> Schedule:
    """One schedule of those that processes have recorded, by time, but every message after the event that sent it.

    Args:
        parts: Of each process, what happened to its nodes; causes of messages are numbers of the sender's process.
        began: When the times of each begin, in nanoseconds.
        rank_of: The process of each node.
    """
    first = min(began)
    columns: list[list[tuple[int, ...]]] = []
    for part, start in zip(parts, began, strict=True):
        arrays = part.times + start - first, part.kinds, part.nodes, part.senders, part.causes
        columns.append(list(zip(*(array.tolist() for array in arrays), strict=True)))
    numbers: list[list[int]] = [[] for _ in parts]  # in the merged schedule
    parked: list[list[int]] = [[] for _ in parts]  # processes whose next event waits for one of this process
    queue = [(events[0][0], rank) for rank, events in enumerate(columns) if events]
    heapify(queue)
    record, now = Record(parts[0].n), 0
    while queue:
        _, rank = heappop(queue)
        moment, kind, node, sender, cause = columns[rank][len(numbers[rank])]
        source = rank_of[sender]
        if cause >= len(numbers[source]):
            parked[source].append(rank)
            continue
        now = max(now, moment)
        numbers[rank].append(len(record))
        record.add((now, kind, node, sender, -1 if cause < 0 else numbers[source][cause]))
        going_on, parked[rank] = [rank, *parked[rank]], []
        for other in going_on:
            if len(numbers[other]) < len(columns[other]):
                heappush(queue, (columns[other][len(numbers[other])][0], other))
    return record.schedule()
