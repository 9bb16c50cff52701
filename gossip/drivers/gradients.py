"""What an oracle says of the gradients of the local nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms import Oracle, OracleState, Sample, ShardedWorkload


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

    def start(self, x: Tensor) -> OracleState:
        """The oracle's state for models (k, d) of the local nodes."""
        if not self.nodes:
            return OracleState.start(0)
        return self.oracle.start(self.workload, x[: len(self.nodes)], self.nodes, self.seed)

    def sample(self, state: OracleState, x: Tensor, step: int, idle: Sequence[int] = ()) -> Sample:
        """At models (k, d), but for the idle rows, unless the oracle has to see these, too."""
        rows, ignored = range(len(self.nodes)), {*idle}
        busy = list(rows) if state.remembers else [row for row in rows if row not in ignored]
        if not busy:
            return Sample(torch.zeros_like(x), torch.zeros_like(x[:, 0]))
        if len(busy) == len(rows):
            sample = self.oracle.sample(state, self.workload, x[: len(busy)], self.nodes, step, self.seed)
        else:
            own = state.rows(busy)
            sample = self.oracle.sample(own, self.workload, x[busy], [self.nodes[row] for row in busy], step, self.seed)
            state.put(busy, own.counts())
        norms = None if sample.norms is None else _placed(sample.norms, busy, len(x))
        return Sample(_placed(sample.gradient, busy, len(x)), _placed(sample.loss, busy, len(x)), norms)

    def look(self, state: OracleState, x: Tensor, step: int, idle: Sequence[int]) -> tuple[Sample, dict[str, Tensor]]:
        """The same of all rows, the idle ones for nothing, and what was counted before: (k,) each, by name."""
        before = {name: count.clone() for name, count in state.counts().items()}
        sample = self.sample(state, x, step)
        if not state.remembers:
            state.put(idle, {name: count[list(idle)] for name, count in before.items()})
        return sample, {name: _placed(count, range(len(count)), len(x)) for name, count in before.items()}


def _placed(rows: Tensor, places: Sequence[int], k: int) -> Tensor:
    """(k, ...): these rows (len(places), ...) at their places and zeros elsewhere; a copy only if there are others."""
    if len(rows) == k:
        return rows
    all_ = rows.new_zeros(k, *rows.shape[1:])
    all_[list(places)] = rows
    return all_
