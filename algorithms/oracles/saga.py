"""SAGA: variance-reduced gradients from a table with the last gradient of every example."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.checks import check
from algorithms.oracles.batches import Sampling, check_sampling, draw_batch, example_probabilities
from algorithms.oracles.oracle import (
    HasSlopes,
    Oracle,
    OracleState,
    ShardedWorkload,
    check_gradients,
    drawn,
    redraws,
)

AT_ONCE = 64  # gradients of single examples that are evaluated in one call


@dataclass
class SagaState(OracleState):
    """The tables of the local nodes.

    Attributes:
        table: (m,) or (m, d) for each node, the entries of its m examples.
        mean: (k, d), the mean of the gradients that each table stands for.
        since: (m,) int64 for each node, the step whose random draws each entry has; None where nothing is drawn.
        probabilities: (m,) float64 for each node, those of its examples; None where all are alike.
    """

    table: list[Tensor]
    mean: Tensor
    since: list[Tensor] | None
    probabilities: list[Tensor] | None


@dataclass(frozen=True)
class Saga(Oracle[SagaState]):
    """SAGA: variance-reduced gradients from a table with the last gradient of every example.

    Defazio, Bach, Lacoste-Julien, "SAGA: A Fast Incremental Gradient Method With Support for Non-Strongly Convex
    Composite Objectives", NeurIPS 2014, arXiv 1407.0202. With entries t_j of the table, at the start grad f_j(x_0),

        G(x) = mean_l w_l (grad f_l(x) - t_l) + mean_j t_j        over a batch of examples l
        t_l <- grad f_l(x)                                        afterwards, for the same ones

    or, in the form that Reddi, Sra, Poczos, Smola, "Fast Incremental Method for Nonconvex Optimization", CDC 2016,
    arXiv 1603.06159, analyse for non-convex functions, afterwards for a second, independent batch. No full gradient is
    ever needed after the start; the usual learning rate is 1 / (3 L), in decentralized methods 1 / (6 L).

    Memory: for linear models one number per example, the derivative of its loss by the prediction. The gradient of
    their l2 term is the same for all examples and taken at x, exactly, outside the table: with l2 > 0 this is a little
    better than the method above. For any other workload, and with `table` = "gradients", one gradient per example, m d
    numbers for a node with m examples.

    The mean of the table is updated with each change, and computed from the table anew once per pass over the examples,
    so that rounding errors do not add up.

    With a zeroth-order estimate that draws random directions (GauSGE), the difference uses the direction of the table's
    entry, so that it vanishes with x - z_l; the new entry gets a new direction, which costs a second evaluation. Kept
    for ever, the m directions of the start would make of the method one that drives mean_l u_l u_l^T grad f_l(x) to
    zero instead of the gradient. Given the directions, the estimate is unbiased over the batches; its mean over the
    directions too is the gradient as far as x does not depend on them.

        >>> import numpy as np
        >>> import torch
        >>> from algorithms import Saga
        >>> from gossip.workloads import LeastSquares
        >>> workload = LeastSquares(np.tile(np.eye(2), (2, 1, 1)), np.array([[1.0, 2.0], [3.0, 4.0]])).shard(2, seed=0)
        >>> x = torch.zeros(2, 2, dtype=torch.float64)
        >>> oracle = Saga(batch=1)
        >>> state = oracle.start(workload, x, nodes=[0, 1], seed=0)
        >>> oracle.sample(state, workload, x, [0, 1], step=0, seed=0).gradient.tolist()  # the exact one at first
        [[-0.5, -1.0], [-1.5, -2.0]]
        >>> state.gradients.tolist()
        [3, 3]

    Args:
        batch: Examples per node and iteration, 1 <= batch <= m of every node.
        sampling: "uniform", a random subset of the examples; or "importance", independent draws with probabilities
            proportional to the smoothness constant of each example, for workloads that tell these.
        refresh: Whose entries are replaced: "batch", those of the examples just used; or "independent", those of a
            second batch drawn likewise, whose gradients are evaluated for it.
        table: What the table holds of linear models: "slopes", one number per example, with the l2 term outside; or
            "gradients", whole ones with their l2 term, as for all other workloads, which is the paper's method to the
            letter.
    """

    batch: int = 32
    sampling: Sampling = "uniform"
    refresh: Literal["batch", "independent"] = "batch"
    table: Literal["slopes", "gradients"] = "slopes"

    def __post_init__(self) -> None:
        check_sampling(self)
        check(self.refresh in ("batch", "independent"), self, "refresh", '"batch" or "independent"')
        check(self.table in ("slopes", "gradients"), self, "table", '"slopes" or "gradients"')

    def least_batch(self, size: int) -> int:
        return 1

    def start(self, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], seed: int) -> SagaState:
        check_gradients(self, workload)
        probabilities = example_probabilities(self, workload, nodes)
        sizes = [workload.examples(node) for node in nodes]
        since = [torch.zeros(size, dtype=torch.int64) for size in sizes] if redraws(workload) else None
        rule = self._entries(workload)
        if isinstance(rule, _Gradients):
            rule.check_memory(x, sizes)
        table = [rule.table(row, node, m) for row, node, m in zip(x, nodes, sizes, strict=True)]
        mean = torch.stack([rule.mean(each, node) for each, node in zip(table, nodes, strict=True)])
        state = SagaState.start(len(nodes), table=table, mean=mean, since=since, probabilities=probabilities)
        state.gradients += torch.tensor(sizes)
        return state

    def sample(
        self, state: SagaState, workload: ShardedWorkload, x: Tensor, nodes: Sequence[int], step: int, seed: int
    ) -> Sample:
        batch = draw_batch(self.batch, state.probabilities, workload, nodes, step=step, seed=seed)
        weights = torch.ones(()) if batch.weights is None else batch.weights
        since = None if state.since is None else _chosen(state.since, batch.examples)
        rule = self._entries(workload)
        losses, now = rule.entries(x, nodes, batch.examples, since)
        change = now - _chosen(state.table, batch.examples)
        difference = rule.combine(_times(weights, change), nodes, batch.examples)
        gradient = difference + state.mean
        gradient = gradient if rule.l2 == 0 else gradient + rule.l2 * x
        state.gradients += self.batch

        if self.refresh == "independent":
            batch = draw_batch(
                self.batch, state.probabilities, workload, nodes, step=step, seed=seed, purpose="refresh"
            )
        if self.refresh == "independent" or state.since is not None:
            since = torch.full_like(batch.examples, step + 1)
            _, now = rule.entries(x, nodes, batch.examples, since)
            change = now - _chosen(state.table, batch.examples)
            state.gradients += self.batch
            difference = rule.combine(change, nodes, batch.examples)
        if batch.weights is not None:  # an example may have been drawn several times, and its entry changes once
            difference = rule.combine(_times(_first_times(batch.examples), change), nodes, batch.examples)
        share = torch.tensor([self.batch / len(table) for table in state.table], dtype=x.dtype)
        state.mean += share[:, None] * difference
        for row, examples in enumerate(batch.examples):
            state.table[row][examples] = now[row]
            if state.since is not None:
                state.since[row][examples] = step + 1
            m = len(state.table[row])
            if (step + 1) * self.batch // m > step * self.batch // m:
                state.mean[row] = rule.mean(state.table[row], nodes[row])
        return Sample(gradient, _row_means(_times(weights, losses)))

    def _entries(self, workload: ShardedWorkload) -> _Slopes | _Gradients:
        """What the entries of the table are."""
        slopes = self.table == "slopes" and isinstance(workload, HasSlopes)
        return _Slopes(cast(HasSlopes, workload)) if slopes else _Gradients(workload)


@dataclass(frozen=True)
class _Slopes:
    """Entries of a linear model: the derivatives of the losses by the predictions, one number each."""

    workload: HasSlopes

    @property
    def l2(self) -> float:
        return self.workload.l2

    def table(self, x: Tensor, node: int, size: int) -> Tensor:
        """(size,): all entries of a node at x (d,)."""
        return self.workload.slopes(x[None], [node], torch.arange(size)[None])[1][0]

    def entries(self, x: Tensor, nodes: Sequence[int], examples: Tensor, since: Tensor | None) -> tuple[Tensor, Tensor]:
        """The losses of these examples (k, batch) at x (k, d), and their entries (k, batch)."""
        return self.workload.slopes(x, nodes, examples)

    def combine(self, entries: Tensor, nodes: Sequence[int], examples: Tensor) -> Tensor:
        """(k, d): the mean of the gradients that these entries (k, batch) stand for, without the l2 term."""
        return self.workload.combine(entries, nodes, examples)

    def mean(self, table: Tensor, node: int) -> Tensor:
        """(d,): the same of a whole table."""
        return self.workload.combine(table[None], [node], torch.arange(len(table))[None])[0]


@dataclass(frozen=True)
class _Gradients:
    """Entries of any other workload: the gradients themselves, (d,) each."""

    workload: ShardedWorkload
    l2 = 0.0  # part of every gradient

    def check_memory(self, x: Tensor, sizes: Sequence[int]) -> None:
        """Raise ValueError if the tables of nodes with so many examples do not fit into memory, at x (k, d)."""
        needed = sum(sizes) * x.shape[1] * x.element_size()
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if needed > there:
            raise ValueError(
                f"Saga: a table with the gradients of {sum(sizes)} examples takes {needed / 2**30:.1f} GiB and there "
                f"are {there / 2**30:.1f} GiB of memory; Svrg needs no table"
            )

    def table(self, x: Tensor, node: int, size: int) -> Tensor:
        """(size, d): see `_Slopes.table`."""
        table = torch.empty(size, len(x), dtype=x.dtype)
        for examples in torch.arange(size)[:, None].split(AT_ONCE):
            points = x.expand(len(examples), -1)
            same = drawn(self.workload, torch.zeros_like(examples))
            table[examples[:, 0]] = same.gradient(points, [node] * len(examples), examples).gradient
        return table

    def entries(self, x: Tensor, nodes: Sequence[int], examples: Tensor, since: Tensor | None) -> tuple[Tensor, Tensor]:
        """Losses (k, batch) and entries (k, batch, d): see `_Slopes.entries`.

        Args:
            since: (k, batch) int64, the step of whose draws random estimates are.
        """
        k, batch = examples.shape
        losses = torch.empty(k * batch, dtype=x.dtype)
        entries = torch.empty(k * batch, x.shape[1], dtype=x.dtype)
        chosen, steps = examples.reshape(-1, 1), None if since is None else since.reshape(-1, 1)
        for places in torch.arange(k * batch).split(AT_ONCE):  # of a row for each example
            rows = places // batch
            same = self.workload if steps is None else drawn(self.workload, steps[places])
            sample = same.gradient(x[rows], [nodes[row] for row in rows.tolist()], chosen[places])
            losses[places], entries[places] = sample.loss, sample.gradient
        return losses.reshape(k, batch), entries.reshape(k, batch, -1)

    def combine(self, entries: Tensor, nodes: Sequence[int], examples: Tensor) -> Tensor:
        """(k, d), of entries (k, batch, d): see `_Slopes.combine`."""
        total = entries[:, 0].clone()
        for place in range(1, entries.shape[1]):
            total += entries[:, place]
        return total / entries.shape[1]

    def mean(self, table: Tensor, node: int) -> Tensor:
        """(d,): see `_Slopes.mean`."""
        return torch.from_numpy(table.numpy().sum(axis=0)) / len(table)


def _chosen(lists: Sequence[Tensor], examples: Tensor) -> Tensor:
    """(k, batch, ...): what each list (m, ...) holds for the examples (k, batch) of its row."""
    return torch.stack([each[chosen] for each, chosen in zip(lists, examples, strict=True)])


def _times(weights: Tensor, entries: Tensor) -> Tensor:
    """Entries (k, batch, ...) times weights (k, batch), or (), in the type of the entries."""
    weights = weights.to(entries.dtype)
    return entries * (weights[..., None] if weights.ndim and entries.ndim == 3 else weights)


def _first_times(examples: Tensor) -> Tensor:
    """(k, batch): 1 where an example comes for the first time in its row, 0 where it comes again."""
    first = np.zeros(examples.shape)
    for row, chosen in enumerate(examples.numpy()):
        first[row, np.unique(chosen, return_index=True)[1]] = 1
    return torch.from_numpy(first)


def _row_means(values: Tensor) -> Tensor:
    """(k,): the mean of each row of values (k, batch), by itself."""
    return torch.from_numpy(np.array([row.mean() for row in values.numpy()], dtype=values.numpy().dtype))
