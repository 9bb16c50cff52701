"""A recorded schedule of an asynchronous run once more, in one process or on several: to the same bits."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from algorithms import Message, Sample, Traffic
from algorithms.program import NodeProgram
from gossip.drivers.nodes import Gradient, LocalNode, PendingGradients, listeners_of
from gossip.drivers.schedule import GRADIENT, KINDS, LOSS, MESSAGE, SECOND, START, Schedule
from gossip.errors import UsageError
from gossip.network.mail import Letter, Mail, NoMail
from topologies import Topology


class ReplayDriver:
    """Lets happen to the nodes what a schedule says, in its order, and gives the models of the run that recorded it.

    Programs, data and seed must be those of that run, which is then the same to the bit: what a program does follows
    from what happens to it, and what a node sends to another arrives in the order of sending. Every process goes
    through the whole schedule, and does what happens to its own nodes. It waits for a message of another process when
    it comes to the event in which that arrives; as each message is sent in an event before, none waits for ever.

    Args:
        programs: Of the nodes of this process, in their order.
        topology: That of the run.
        gradient: Gives the samples of these nodes.
        schedule: What happened.
        seed: That of the run.
        mail: Carries what goes to nodes of other processes; by default this one has all nodes.

    Raises:
        UsageError: (a ValueError) The schedule is one of another number of nodes, or of a run that lost some, or there
            is no program for each.
    """

    def __init__(
        self,
        programs: Sequence[NodeProgram],
        topology: Topology,
        gradient: Gradient,
        schedule: Schedule,
        *,
        seed: int = 0,
        mail: Mail | None = None,
    ) -> None:
        if schedule.n != topology.n:
            raise UsageError(f"the schedule is one of {schedule.n} nodes, and the topology has {topology.n}")
        if (schedule.kinds == LOSS).any():
            raise UsageError(
                "the schedule is one of a run that has lost nodes: what they did is not known, so that it cannot be "
                "replayed"
            )
        self._mail = NoMail(topology.n) if mail is None else mail
        here = self._mail.hosted[self._mail.rank]
        if len(programs) != len(here):
            raise UsageError(f"{len(programs)} programs for {len(here)} nodes: every node needs one")
        self.programs = list(programs)
        self._schedule = schedule
        self._pending = PendingGradients(gradient)
        listeners = listeners_of(topology)
        self._nodes = {
            node: LocalNode(node, listeners[node], program, self, seed)
            for node, program in zip(here, programs, strict=True)
        }
        self._rank_of = {node: rank for rank, nodes in enumerate(self._mail.hosted) for node in nodes}
        self._steps = np.bincount(schedule.nodes[schedule.kinds == GRADIENT], minlength=topology.n).tolist()
        self._counts = np.concatenate([[0], np.cumsum(schedule.kinds == GRADIENT)])  # gradients before each event
        self._timers = dict.fromkeys(here, 0)
        self._letters: dict[tuple[int, int], deque[Letter]] = {}
        self._event, self._passed, self._marks_passed = -1, 0, 0
        self._sent_bytes, self._sent_messages = dict.fromkeys(here, 0), dict.fromkeys(here, 0)

    def run(self) -> None:
        """Let all of it happen; collective.

        Raises:
            UsageError: (a ValueError) Something happens in the schedule that these programs have not asked for.
        """
        self._go_on_to(len(self._schedule))

    def advance(self, gradients: int | None = None, seconds: float | None = None) -> None:
        """Let happen what did until the next mark of the schedule, or all of it if there is none; collective.

        Args:
            gradients: Until the next one where all nodes together had so many.
            seconds: Not looked at: the schedule says where the run has ended.

        Raises:
            UsageError: (a ValueError) See `run`.
        """
        marks, place = self._schedule.marks, self._marks_passed
        while gradients is not None and place < len(marks) and self._counts[marks[place]] < gradients:
            place += 1
        self._marks_passed = place + 1
        self._go_on_to(int(marks[place]) if place < len(marks) else len(self._schedule))

    def _go_on_to(self, end: int) -> None:
        """Let happen what did in the events before this number."""
        schedule, here = self._schedule, slice(self._passed, end)
        columns = schedule.kinds[here].tolist(), schedule.nodes[here].tolist(), schedule.senders[here].tolist()
        for event, (kind, number, sender) in enumerate(zip(*columns, strict=True), self._passed):
            node = self._nodes.get(number)
            if node is None:
                continue
            self._event = event
            try:
                self._happen(node, kind, sender)
            except LookupError:
                raise UsageError(
                    f"the schedule does not belong to these programs: event {event} is a {KINDS[kind]} of node "
                    f"{number} that nobody has caused; give the method, the data and the seed of the recorded run"
                ) from None
        self._passed = end
        if end == len(self._schedule):
            for letter in self._mail.finish():
                self._keep(letter)

    @property
    def gradients(self) -> int:
        """Those of all nodes so far."""
        return int(self._counts[self._passed])

    @property
    def seconds(self) -> float:
        """The time of the last event, on the clock of the recorded run."""
        return int(self._schedule.times[self._passed - 1]) / SECOND if self._passed else 0.0

    @property
    def there(self) -> int:
        """How many nodes there are: none is lost."""
        return self._schedule.n

    @property
    def more(self) -> bool:
        """Whether anything is left of the schedule, or a mark at which the run has paused once more."""
        return self._passed < len(self._schedule) or self._marks_passed < len(self._schedule.marks)

    @property
    def traffic(self) -> Traffic:
        """What the nodes of this process have sent so far."""
        return Traffic(torch.tensor([*self._sent_bytes.values()]), torch.tensor([*self._sent_messages.values()]))

    @property
    def ahead(self) -> list[int]:
        """The nodes of this process whose next gradient has been computed already."""
        return self._pending.ahead

    def last(self, node: int) -> Sample | None:
        """The last gradient of a node of this process, if it has had one."""
        return self._nodes[node].last

    def recorded(self) -> Schedule:
        """What has been repeated so far of the schedule."""
        return self._schedule.until(self._passed, self._marks_passed)

    def models(self) -> Tensor:
        """(k, d): what the nodes of this process output."""
        return torch.cat([program.model for program in self.programs])

    def under_way(self) -> list[Letter]:
        """The messages to nodes of this process that have been sent and have not arrived."""
        return [letter for letters in self._letters.values() for letter in letters]

    @property
    def now(self) -> int:
        """See `Host`."""
        return int(self._schedule.seen[self._event])

    def compute(self, node: LocalNode, x: Tensor) -> None:
        """See `Host`."""
        step = node.gradients
        if step < self._steps[node.node]:  # others never came
            node.gradients += 1
            self._pending.ask(node.node, x, step)

    def carry(self, node: LocalNode, to: int, value: Tensor | Message, label: str) -> None:
        """See `Host`."""
        letter = Letter(node.node, to, value, label, self._event)
        self._sent_bytes[node.node] += letter.size
        self._sent_messages[node.node] += 1
        rank = self._rank_of[to]
        if rank == self._mail.rank:
            self._keep(letter)
        else:
            self._mail.send(rank, letter)

    def wake(self, node: LocalNode, seconds: float) -> None:
        """See `Host`."""
        self._timers[node.node] += 1

    def _happen(self, node: LocalNode, kind: int, sender: int) -> None:
        """Let one event happen; LookupError if it cannot."""
        number = node.node
        if kind == MESSAGE:
            letter = self._arrived(sender, number)
            node.receive(sender, letter.row, letter.label)
        elif kind == GRADIENT:
            if not node.computing:
                raise LookupError
            node.use(self._pending.take(number))
        elif kind == START:
            node.start()
        else:
            self._timers[number] -= 1
            if self._timers[number] < 0:
                raise LookupError
            node.awake()

    def _arrived(self, sender: int, to: int) -> Letter:
        """The first letter of one node to another that has not been given."""
        letters = self._letters.setdefault((sender, to), deque())
        rank = self._rank_of[sender]
        while not letters and rank != self._mail.rank:
            self._keep(self._mail.next(rank))
        return letters.popleft()

    def _keep(self, letter: Letter) -> None:
        self._letters.setdefault((letter.sender, letter.to), deque()).append(letter)
