"""Every node at its own pace: the driver of every `algorithms.Asynchronous`, whatever lets things happen."""

from __future__ import annotations

import json
import math
import time
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from algorithms import Asynchronous, NodesState, OracleState, Sample, SavedNodes, State, Traffic
from algorithms.program import NodeProgram
from gossip.drivers.blobs import packed, unpacked
from gossip.drivers.gradients import NodeGradients
from gossip.drivers.moment import Look, Moment, Position
from gossip.drivers.schedule import Schedule
from gossip.errors import UsageError
from gossip.network import RunNetwork
from gossip.spans import NO_SPANS, Spans
from topologies import Topology


class Paced(Protocol):
    """What lets things happen to the nodes of this process: `EventDriver`, `MailDriver` or `ReplayDriver`."""

    @property
    def gradients(self) -> int:
        """Those of all nodes of all processes so far."""

    @property
    def seconds(self) -> float:
        """The time of the run so far, on its own clock."""

    @property
    def more(self) -> bool:
        """Whether anything is left to happen."""

    @property
    def there(self) -> int:
        """How many nodes have not been lost, of all processes."""

    @property
    def traffic(self) -> Traffic:
        """What the nodes of this process have sent so far."""

    def advance(self, gradients: int | None = None, seconds: float | None = None) -> None:
        """Let happen what is due until all nodes together have so many gradients, or so many seconds have passed."""

    @property
    def ahead(self) -> list[int]:
        """The nodes of this process whose next gradient has been computed already."""

    def last(self, node: int) -> Sample | None:
        """The last gradient of a node of this process, if it has had one."""

    def recorded(self) -> Schedule:
        """What has happened to all nodes so far; collective."""


@runtime_checkable
class Saves(Paced, Protocol):
    """One that can stop and go on in another process."""

    def saved(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Where the run stands: what belongs to no node, in numbers and lists of them, and what each local node has."""

    def restore(self, shared: dict[str, Any], nodes: Sequence[dict[str, Any]]) -> None:
        """Go on from where a run stood, with its programs; collective.

        Args:
            shared: See `saved`; with "marks", those of the schedule.
            nodes: Likewise; with "events", what has happened to each, see `Schedule.by_node`.
        """


MakePaced = Callable[[Sequence[NodeProgram], Topology, NodeGradients], Paced]
"""Makes one for the programs of the local nodes, whose links and gradients these are."""


class UnderWay(NamedTuple):
    """A run that this process is in the middle of."""

    pace: Paced
    """Has its programs."""

    gradients: NodeGradients
    """Has what the oracle remembers."""

    with_data: int
    """How many nodes had data at the beginning."""


class NodesLostError(Exception):
    """Some nodes are gone with their processes, and the others are to be linked anew; raised on all that are left.

    Args:
        recovered: Whether these processes can talk to each other again.
    """

    def __init__(self, recovered: bool) -> None:
        super().__init__("some ranks are lost")
        self.recovered = recovered


@dataclass(frozen=True)
class AsynchronousDriver:
    """An asynchronous method on a network, fed with gradients; a step is one per node with data, on average."""

    algorithm: Asynchronous
    """What is computed and sent, for the model and the nodes of this run."""

    gradients: Callable[[Tensor], NodeGradients]
    """Those of the local nodes with data, which start at these models (k, d)."""

    network: RunNetwork
    """Links the nodes where the run pauses, for those who look."""

    links: Topology
    """Who may send to whom."""

    pace: MakePaced
    """Says what lets things happen."""

    marks: Sequence[int]
    """The steps, ascending, at which the run pauses; the last one is its end."""

    seconds: float | None = None
    """When the run ends if it has not come to its last step."""

    pause: float = math.inf
    """Seconds, by the clock of the pace, after which the run pauses wherever it is."""

    simulated: bool = False
    """Whether the time of the pace is a simulated one."""

    every: int = 1
    """Steps from one evaluation to the next: those of which the mean staleness is told."""

    timed: bool = True
    """Whether the time of the pace means anything."""

    tell: Callable[[Schedule], None] = lambda schedule: None
    """Is given the schedule at the end, on all ranks."""

    spans: Spans = NO_SPANS
    """Is told how long it takes."""

    numbers: Sequence[int] | None = None
    """By which programs, gradients and schedule know the nodes of the network, if some have been lost."""

    under_way: UnderWay | None = None
    """The run that goes on after a loss."""

    agree: Callable[[bool], bool] = lambda mine: mine
    """Whether all processes came through a moment, as this one did: asked before they go on."""

    def start(self, x: Tensor) -> Position:
        """Where a run begins from these models (k, d) of the local nodes, servers included; collective."""
        began = time.perf_counter()
        with self.network.unrecorded():
            first = self.network.rows(x, [0])
        x = torch.cat([x[: self._with_data], first.expand(len(x) - self._with_data, -1)])
        self.gradients(x[: self._with_data])  # what the oracle cannot work on is refused here, where all ranks hear it
        state = NodesState(x, self.algorithm.programs(self.links, self.network.nodes, x))
        self._show(state)
        return Position(0, state, OracleState.start(0), time.perf_counter() - began)

    def moments(self, position: Position, steps: int) -> Iterator[Moment]:
        """The moments of a run from its start: one before anything happens, and one at each mark; collective.

        Args:
            position: The start.
            steps: The number of the last step.

        Raises:
            NonFiniteError: A gradient or a message holds what is not finite.
        """
        seconds, began = position.seconds, time.perf_counter()
        state, gradients, pace = self._ready(position)
        seconds += time.perf_counter() - began
        end = math.inf if self.seconds is None else self.seconds
        marks = iter(self.marks[bisect(self.marks, position.step) :])
        mark, final, there = next(marks, steps), position.step == steps, pace.there
        if final and self.under_way is not None:
            self.tell(pace.recorded())
        yield self._moment(position.step, state, gradients, pace, seconds, final=final)
        while not final:
            self._all_came_through()
            began, limit = time.perf_counter(), min(end, pace.seconds + self.pause)
            with self.spans.span("nodes", "compute"):
                pace.advance(mark * self._per_step, None if limit == math.inf else limit)
            seconds += time.perf_counter() - began
            reached = pace.gradients >= mark * self._per_step
            over = not pace.more or (not reached and limit == end)
            done, more = divmod(pace.gradients, self._per_step)
            # A run that ends within a step has begun it, so that no two records are of the same step.
            state.step = mark if reached else done + bool(over and more)
            if pace.there < there:
                raise NodesLostError(recovered=True)
            self._show(state)
            final = over or state.step == steps
            if final:
                self.tell(pace.recorded())
            moment = self._moment(state.step, state, gradients, pace, seconds, final=final)
            yield moment if reached or final else replace(moment, between=True)
            mark = next(marks, steps) if reached else mark
        self._all_came_through()

    def _all_came_through(self) -> None:
        if not self.agree(True):
            raise NodesLostError(recovered=False)

    def _ready(self, position: Position) -> tuple[NodesState, NodeGradients, Paced]:
        """The nodes, at the start or as a checkpoint has them."""
        state = position.state
        if self.under_way is not None:
            assert isinstance(state, NodesState)
            self._show(state)
            return state, self.under_way.gradients, self.under_way.pace
        gradients = self.gradients(state.x[: self._with_data])
        if isinstance(state, NodesState):
            return state, gradients, self.pace(state.programs, self.links, gradients)
        assert isinstance(state, SavedNodes)
        trees = [unpacked(blob, self.algorithm) for blob in state.nodes]
        gradients.restore(position.oracle, [tree["cost"] for tree in trees[: self._with_data]])
        programs = [tree["program"] for tree in trees]
        pace, shared = self.pace(programs, self.links, gradients), json.loads(state.shared)
        assert isinstance(pace, Saves)
        if shared["by"] != type(pace).__name__:
            real = "one in real time, on several ranks" if shared["by"] == "MailDriver" else "a simulated one"
            raise UsageError(f"the run of this checkpoint was {real}; go on in the same way")
        pace.restore(shared, trees)
        return NodesState(state.x, programs, step=state.step), gradients, pace

    @property
    def _with_data(self) -> int:
        """How many of the local nodes, the first ones, have data."""
        return sum(node < self._all_with_data for node in self.network.nodes)

    @property
    def _all_with_data(self) -> int:
        return self.network.n - self.algorithm.servers

    @property
    def _per_step(self) -> int:
        """How many gradients all nodes together have in a step: also those that were there at the beginning."""
        return self._all_with_data if self.under_way is None else self.under_way.with_data

    def _numbered(self, nodes: Sequence[int]) -> list[int]:
        """By which number programs, gradients and schedule know these nodes of the network."""
        return [*nodes] if self.numbers is None else [self.numbers[node] for node in nodes]

    def _show(self, state: NodesState) -> None:
        """Let x be what the method outputs: with hubs, the last node's model for all."""
        state.x = torch.cat([program.model for program in state.programs])
        if self.algorithm.outputs_hub:
            with self.network.unrecorded():
                state.x = self.network.rows(state.x, [self.network.n - 1]).repeat(len(state.x), 1)

    def _moment(
        self, step: int, state: NodesState, gradients: NodeGradients, pace: Paced, seconds: float, *, final: bool
    ) -> Moment:
        looks: list[Look] = []
        own_seconds = seconds if self.simulated else pace.seconds

        def look() -> Look:
            if not looks:
                self.network.resume(self.network.round, pace.traffic, [], [])
                used = {name: self._padded(count) for name, count in gradients.counts(pace.ahead).items()}
                sample = self._first(state.x, gradients) if step == 0 else self._last(state.x, pace)
                told = self._told(step, pace.recorded())
                looks.append(Look(sample, used, own_seconds, simulated_seconds=pace.seconds, pace=told))
            return looks[0]

        def saved() -> tuple[State, OracleState]:
            assert isinstance(pace, Saves)
            shared, nodes = pace.saved()
            schedule = pace.recorded()
            events = schedule.by_node(self.network.nodes)
            costs = [gradients.cost(node) for node in self.network.nodes[: self._with_data]]
            costs += [{}] * (len(nodes) - len(costs))
            parts = zip(nodes, events, costs, strict=True)
            trees = [tree | {"events": mine, "cost": cost} for tree, mine, cost in parts]
            blobs = [packed(tree, self.algorithm) for tree in trees]
            text = json.dumps(shared | {"marks": schedule.marks.tolist(), "by": type(pace).__name__})
            return SavedNodes(state.x, blobs, text, step=step), gradients.saved()

        here = UnderWay(pace, gradients, self._per_step)
        return Moment(step, state, OracleState.start(0), own_seconds, look, final, saved=saved, under_way=here)

    def _told(self, step: int, schedule: Schedule) -> dict[str, float]:
        """How stale gradients were since the last evaluation, and since the start how idle nodes, and how many."""
        before = max(0, step - 1) // self.every * self.every * self._per_step
        stale = schedule.staleness()[before:]
        idle = schedule.idle_seconds()[self._numbered(range(self._all_with_data))]
        told = {
            "staleness": float(stale.mean()) if len(stale) else 0.0,
            "idle_share": float(idle.mean() / schedule.seconds) if schedule.seconds else 0.0,
        }
        return told | ({"updates_per_second": schedule.updates_per_second} if self.timed else {})

    def _first(self, x: Tensor, gradients: NodeGradients) -> Sample:
        """The first gradients of the local nodes, servers included, whose are 0."""
        if not self._with_data:
            return Sample(torch.zeros_like(x), torch.zeros_like(x[:, 0]))
        sample = gradients.look(x[: self._with_data])
        return Sample(self._padded(sample.gradient), self._padded(sample.loss))

    def _last(self, x: Tensor, pace: Paced) -> Sample:
        """The last gradients of the local nodes, such that means over all are those over the nodes that have any."""
        samples = [pace.last(node) for node in self._numbered(self.network.nodes[: self._with_data])]
        there = torch.tensor([[float(sample is not None)] for sample in samples] + [[0.0]] * (len(x) - len(samples)))
        with self.network.unrecorded():
            share = self._all_with_data / max(1.0, float(self.network.sum(there.double())))
        gradient, loss = torch.zeros_like(x), torch.zeros_like(x[:, 0])
        for row, sample in enumerate(samples):
            if sample is not None:
                gradient[row], loss[row] = share * sample.gradient[0], share * sample.loss[0]
        return Sample(gradient, loss)

    def _padded(self, rows: Tensor) -> Tensor:
        """(k, ...): with zeros for servers."""
        return torch.cat([rows, rows.new_zeros(len(self.network.nodes) - len(rows), *rows.shape[1:])])
