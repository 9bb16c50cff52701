"""What an oracle says of the gradients of the local nodes."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy, deepcopy
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from algorithms import Block, HasBuffers, Oracle, OracleState, Sample, ShardedWorkload, asked_losses
from algorithms.numerics.rows import placed
from algorithms.sample import SampleOfSome
from algorithms.state import as_rows, rows_of
from gossip.errors import UsageError

T = TypeVar("T")


@dataclass(frozen=True)
class Gradients:
    """The gradients of the local nodes, of which the first have data; what is said of the others is 0."""

    oracle: Oracle
    """What estimates them."""

    workload: ShardedWorkload
    """Data, model and loss."""

    nodes: Sequence[int]
    """The numbers in the workload of the local nodes with data, in row order."""

    seed: int
    """Decides the draws."""

    with_losses: bool = False
    """Whether samples have `losses`, for algorithms that ask for some at points of their own."""

    def start(self, x: Tensor) -> OracleState:
        """The oracle's state for models (k, d) of the local nodes, with what the workload has of each."""
        buffers = self.workload.buffers(self.nodes) if isinstance(self.workload, HasBuffers) else None
        if self.nodes:
            state = self.oracle.start(self._with(buffers), x[: len(self.nodes)], self.nodes, self.seed)
        else:
            state = OracleState.start(0)
        state.buffers = buffers or None
        return state

    def sample(self, state: OracleState, x: Tensor, step: int, idle: Sequence[int] = ()) -> Sample:
        """At models (k, d), but for the idle rows, unless the oracle has to see these, too."""
        losses = None
        if self.with_losses:
            losses = asked_losses(self.workload, self.nodes, state, step, self.seed)
        rows, ignored = range(len(self.nodes)), {*idle}
        busy = list(rows) if state.remembers else [row for row in rows if row not in ignored]
        if not busy:
            return Sample(torch.zeros_like(x), torch.zeros_like(x[:, 0]), losses=losses)
        workload = self._with(state.buffers)
        if len(busy) == len(rows):
            sample = self.oracle.sample(state, workload, x[: len(busy)], self.nodes, step, self.seed)
        else:
            own = state.rows(busy)
            sample = self.oracle.sample(own, workload, x[busy], [self.nodes[row] for row in busy], step, self.seed)
            state.put(busy, own.counts())
        check_kind(self.oracle, "sample", sample, Sample)
        if len(busy) == len(x):
            return Sample(sample.gradient, sample.loss, sample.norms, losses)
        return SampleOfSome(sample, as_rows(busy), len(x), losses)

    def look(
        self, state: OracleState, x: Tensor, step: int, idle: Sequence[int]
    ) -> tuple[Sample, dict[str, Tensor], dict[str, Tensor]]:
        """The same of all rows, the idle ones for nothing, and as it was before: what was counted, (k,) each, by name;
        and what the workload had of the nodes with data, (nodes, ...) each, by name."""
        counts = {name: count.clone() for name, count in state.counts().items()}
        buffers = {name: stack.clone() for name, stack in (state.buffers or {}).items()}
        sample = self.sample(state, x, step)
        if not state.remembers:
            rows = list(idle)
            state.put(rows, {name: count[rows] for name, count in counts.items()})
            for name, stack in (state.buffers or {}).items():
                stack[rows] = buffers[name][rows]
        used = {name: placed(count, slice(0, len(count)), len(x)) for name, count in counts.items()}
        return sample, used, buffers

    def sample_each(self, state: OracleState, x: Tensor, rows: Sequence[int], steps: Sequence[int]) -> Sample:
        """Of some of the rows, at points x (len(rows), d), each in an iteration of its own: as many as there are rows.

        For an oracle that remembers no more than counts.
        """
        where = torch.tensor(rows, dtype=torch.int64)
        own = state.rows(where)
        nodes = [self.nodes[row] for row in rows]
        sample = self.oracle.sample_each(own, self._with(state.buffers), x, nodes, steps, self.seed)
        check_kind(self.oracle, "sample_each", sample, Sample)
        state.put(where, own.counts())
        return sample

    def _with(self, buffers: dict[str, Tensor] | None) -> ShardedWorkload:
        """The workload with what the local nodes have."""
        if not buffers:
            return self.workload
        assert isinstance(self.workload, HasBuffers)
        return self.workload.on(buffers, self.nodes)


class NodeGradients:
    """Gradients of some nodes of an asynchronous run by an oracle, each of which counts its own.

    Args:
        oracle: Estimates them.
        workload: From this, sharded over all nodes.
        x: (k, d), where these nodes start.
        seed: Of the oracle's draws.
        nodes: Their numbers in the workload; all of them by default.

    Attributes:
        costs: What the last gradient of each node has cost, (k,) by name of the count.
        states: The oracle's, in the order of the nodes: one of all if it remembers no more than counts, else of each.
    """

    def __init__(
        self,
        oracle: Oracle,
        workload: ShardedWorkload,
        x: Tensor,
        seed: int = 0,
        nodes: Sequence[int] | None = None,
    ) -> None:
        numbers = range(len(x)) if nodes is None else nodes
        self._places = {node: place for place, node in enumerate(numbers)}
        together = Gradients(oracle, workload, list(numbers), seed)
        self.states = [together.start(x)]
        self._gradients = [together]
        if self.states[0].remembers:
            self._gradients = [Gradients(oracle, workload, [node], seed) for node in numbers]
            self.states = [each.start(row) for each, row in zip(self._gradients, x.split(1), strict=True)]
        self.costs = {name: torch.zeros(len(x), dtype=count.dtype) for name, count in self.states[0].counts().items()}

    def __call__(self, nodes: Sequence[int], x: Tensor, steps: Sequence[int]) -> Sample:
        """The gradient of this number, from 0, of each of these nodes at its own point x (len(nodes), d)."""
        places = [self._places[node] for node in nodes]
        before = self._counted(places)
        if not self.states[0].remembers:
            sample = self._gradients[0].sample_each(self.states[0], x, places, steps)
        else:
            parts = zip(places, x.split(1), steps, strict=True)
            sample = joined(
                [self._gradients[place].sample(self.states[place], row, step) for place, row, step in parts]
            )
        for name, count in self._counted(places).items():
            self.costs[name][torch.tensor(places, dtype=torch.int64)] = count - before[name]
        return sample

    def counts(self, ahead: Sequence[int] = ()) -> dict[str, Tensor]:
        """What the oracle has counted so far, (k,) each, by name, without the last gradients of some of the nodes."""
        places = [self._places[node] for node in ahead]
        counts = self._counted(range(len(self._places)))
        for name, count in counts.items():
            count[places] -= self.costs[name][places]
        return counts

    def _counted(self, places: Sequence[int]) -> dict[str, Tensor]:
        """(len(places),) each, by name: what the oracle has counted so far of the nodes in these places; copies."""
        if not self.states[0].remembers:
            where = torch.tensor(places, dtype=torch.int64)
            return {name: count[where] for name, count in self.states[0].counts().items()}
        counts = [self.states[place].counts() for place in places]
        return {name: torch.cat([count[name] for count in counts]) for name in counts[0]}

    def cost(self, node: int) -> dict[str, int]:
        """What the last gradient of a node has cost, by name of the count."""
        return {name: int(costs[self._places[node]]) for name, costs in self.costs.items()}

    def saved(self) -> OracleState:
        """The oracle's state of all these nodes."""
        return joined_parts(self.states)

    def restore(self, state: OracleState, costs: Sequence[dict[str, int]]) -> None:
        """Go on from such a state, where the last gradients have cost this."""
        for name, known in self.costs.items():
            known[:] = torch.tensor([cost[name] for cost in costs])
        k = len(self.states)
        self.states = [state] if k == 1 else [rows_of(state, slice(row, row + 1)) for row in range(k)]

    def look(self, x: Tensor) -> Sample:
        """The first gradients of all nodes at these points (k, d), as if nobody had looked."""
        nodes, before = list(self._places), (self.states, self.costs)
        self.states, self.costs = deepcopy(before)
        try:
            return self(nodes, x, [0] * len(nodes))
        finally:
            self.states, self.costs = before


def joined(samples: Sequence[Sample]) -> Sample:
    """The rows of several samples, which all tell norms or all do not."""
    norms = [sample.norms for sample in samples if sample.norms is not None]
    gradient, loss = (torch.cat([getattr(sample, name) for sample in samples]) for name in ("gradient", "loss"))
    return Sample(gradient, loss, torch.cat(norms) if norms else None)


def joined_parts(parts: Sequence[T]) -> T:
    """Parts of states of one node each as that of all: what belongs to nodes one after the other; see `rows_of`."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, Tensor):
        return cast(T, torch.cat(cast(list[Tensor], parts)))
    if isinstance(first, list):
        return cast(T, [item for part in parts for item in cast(list[Any], part)])
    if isinstance(first, tuple):
        return cast(T, tuple(map(joined_parts, zip(*cast(Any, parts), strict=True))))
    if isinstance(first, dict):
        return cast(T, {key: joined_parts([cast(Any, part)[key] for part in parts]) for key in first})
    if isinstance(first, Block):
        made = copy(first)
        vars(made).update({name: joined_parts([vars(part)[name] for part in parts]) for name in vars(first)})
        return made
    return first


def check_kind(owner: object, method: str, value: object, kind: type) -> None:
    """Refuse what a method gives, maybe of a user's own class, if it is of another kind than it must be."""
    if not isinstance(value, kind):
        raise UsageError(
            f"{type(owner).__name__}: {method} gives a {type(value).__name__}, it must give a {kind.__name__}"
        )
