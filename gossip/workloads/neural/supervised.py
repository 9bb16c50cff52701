"""Any torch model on tensors in memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import replace_all_batch_norm_modules_
from torch.nn.modules.dropout import _DropoutNd

from algorithms import Layout, Sample
from algorithms.numerics.threads import side_by_side
from algorithms.randomness import generator
from gossip.workloads.neural.perceptron import Perceptron
from gossip.workloads.workload import check_examples

EVALUATED_AT_ONCE = 250  # examples, for several threads to have some
COMPUTED_AT_ONCE = 1 << 21  # parameters of perceptrons, for what is computed to stay in the cache

Batch = tuple[NDArray[np.int64], Tensor]
"""Rows (c,) of a stack, and which of the examples that are ready each of them uses, (c, batch)."""


class Supervised:
    """A torch model, its loss and its data in memory, sharded over the nodes, in float32.

    The model is copied, and all its parameters are trained, also those that do not require a gradient. Batch
    normalisation uses the statistics of the batch everywhere, in the evaluation too, and keeps no running
    ones: a node's model is its parameters and nothing else. A model that draws random numbers (dropout) takes
    them from torch's global generator, so its runs are not reproducible on another number of ranks.

    The results of a node have the same bits whichever nodes are computed with it and however many threads there
    are: each node is computed by itself, by one thread, and the threads share out the nodes.

    Args:
        model: Maps a batch of inputs to outputs.
        loss: (outputs, targets) -> the mean loss over the batch, a scalar.
        inputs: The training inputs along the first dimension.
        targets: The training targets, likewise. Floating-point numbers become float32.
        test_inputs: The held-out inputs.
        test_targets: The held-out targets.
        shards: The indices of the training examples of each node.
        classification: Whether outputs are scores of classes along dimension 1; gives "test_accuracy".
        prepare: Makes what the model takes of inputs; by default floating-point numbers become float32.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        inputs: Tensor,
        targets: Tensor,
        *,
        test_inputs: Tensor,
        test_targets: Tensor,
        shards: Sequence[NDArray[np.int64]],
        classification: bool,
        prepare: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        model = replace_all_batch_norm_modules_(copy.deepcopy(model)).float().requires_grad_(True).train()
        self._model, self._idle = model, [_Movable(model)]
        self._loss = loss
        self._classification = classification
        self._prepare = prepare or _float32
        self._test_inputs, self._test_targets = self._prepare(test_inputs), _float32(test_targets)
        self._inputs, self._targets = inputs, _float32(targets)
        self._shards = shards
        self._sizes = np.array([len(shard) for shard in shards])
        self._ready_nodes = self._latest = self._starts = np.empty(0, np.int64)
        self._draws = any(isinstance(module, _DropoutNd) for module in model.modules())
        self._perceptron = Perceptron.of(model, loss, self._prepare(inputs[:1]), self._targets)
        self.layout = Layout.of(model)

    def initial(self) -> Tensor:
        """(d,): the parameters that the model came with."""
        return torch.cat([parameter.detach().reshape(-1) for parameter in self._model.parameters()])

    def examples(self, node: int) -> int:
        """Number of training examples of a node."""
        return len(self._shards[node])

    def gradient(self, x: Tensor, nodes: Sequence[int], examples: Tensor | None = None) -> Sample:
        """See `ShardedWorkload`. Computed in float32, given in the type of x."""
        return self._sample(x, nodes, examples)

    def gradient_and_norms(self, x: Tensor, nodes: Sequence[int], examples: Tensor) -> Sample | None:
        """See `HasNorms`; None unless the model is a perceptron."""
        if self._perceptron is None:
            return None
        return self._sample(x, nodes, examples, torch.empty(len(x), len(self.layout.shapes), dtype=torch.float64))

    def _sample(self, x: Tensor, nodes: Sequence[int], examples: Tensor | None, norms: Tensor | None = None) -> Sample:
        here = np.asarray(nodes, np.int64)
        if examples is not None:
            check_examples(examples, self._sizes[here])
        x = x.detach()
        gradient = torch.empty(len(here), self.layout.d, dtype=x.dtype)
        loss = torch.empty(len(here), dtype=x.dtype)

        def compute(some: slice | NDArray[np.int64], places: Tensor) -> None:
            lengths = None if norms is None else norms[some]
            loss[some], gradient[some] = self._losses_and_gradients(x[some], places, lengths)
            if norms is not None and lengths is not None:  # which may be a copy of them
                norms[some] = lengths

        self._in_parts(here, examples, compute)
        return Sample(gradient, loss, norms)

    def losses(self, x: Tensor, nodes: Sequence[int], examples: Tensor) -> Tensor:
        """See `HasLosses`. Computed in float32, given in the type of x."""
        here = np.asarray(nodes, np.int64)
        check_examples(examples, self._sizes[here])
        x = x.detach()
        losses = torch.empty(examples.shape, dtype=x.dtype)

        def compute(some: slice | NDArray[np.int64], places: Tensor) -> None:
            losses[some] = self._losses_alone(x[some], places)

        self._in_parts(here, examples, compute)
        return losses

    def evaluate(self, x: Tensor) -> Mapping[str, float]:
        """ "test_loss", the mean over the held-out examples, and "test_accuracy" in 0..1 of a classifier."""
        inputs, targets = (each.split(EVALUATED_AT_ONCE) for each in (self._test_inputs, self._test_targets))
        totals, correct = np.zeros(len(inputs)), np.zeros(len(inputs), int)

        def compute(first: int, last: int) -> None:
            with self._model_at(x) as model, torch.inference_mode():
                model.eval()
                for i in range(first, last):
                    outputs = model(inputs[i])
                    totals[i] = float(self._loss(outputs, targets[i])) * len(inputs[i])
                    if self._classification:
                        correct[i] = (outputs.argmax(dim=1) == targets[i]).sum()
                model.train()

        side_by_side(compute, len(inputs))
        metrics = {"test_loss": float(totals.sum()) / len(self._test_inputs)}
        return metrics | ({"test_accuracy": correct.sum() / self._test_targets.numel()} if self._classification else {})

    def _in_parts(
        self,
        nodes: NDArray[np.int64],
        examples: Tensor | None,
        compute: Callable[[slice | NDArray[np.int64], Tensor], None],
    ) -> None:
        """Call compute(rows, places) for all rows, some at a time, and side by side on all threads."""
        threads = 1 if self._draws else torch.get_num_threads()
        batches = list(self._batches(nodes, examples, threads))
        threads = min(threads, len(batches))

        def work(first: int, last: int) -> None:
            for part in range(first, last):
                for rows, places in batches[part::threads]:
                    # Without copies of x where the rows follow each other.
                    compute(slice(rows[0], rows[-1] + 1) if len(rows) == rows[-1] - rows[0] + 1 else rows, places)

        side_by_side(work, threads)

    def _at(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """The inputs and the targets at these places (c, batch): copies, as they lie alike for all nodes."""
        inputs, targets = (each.index_select(0, places.flatten()).unflatten(0, places.shape) for each in self._ready)
        return inputs, targets

    def _losses_alone(self, x: Tensor, places: Tensor) -> Tensor:
        """(c, batch): the loss of each of these examples alone, at the rows of x (c, d)."""
        inputs, targets = self._at(places)
        if self._perceptron is not None:
            return self._perceptron.losses(x, inputs, targets)
        with self._model_at(x[0]) as model, torch.no_grad():
            values = [self._loss(model(a), b) for a, b in zip(inputs[0].split(1), targets[0].split(1), strict=True)]
        return torch.stack(values)[None]

    def _losses_and_gradients(self, x: Tensor, places: Tensor, norms: Tensor | None) -> tuple[Tensor, Tensor]:
        """Losses (c,) and gradients (c, d) at the rows of x (c, d), on the examples at these places (c, batch).

        `norms` (c, tensors), if given, is filled, see `Perceptron`.
        """
        inputs, targets = self._at(places)
        if self._perceptron is not None:
            return self._perceptron.losses_and_gradients(x, inputs, targets, norms)
        with self._model_at(x[0]) as model, torch.enable_grad():
            value = self._loss(model(inputs[0]), targets[0])
            pieces = torch.autograd.grad(value, list(model.parameters()), materialize_grads=True)
        return value.detach()[None], torch.cat([piece.reshape(1, -1) for piece in pieces], dim=1)

    def _batches(self, nodes: NDArray[np.int64], examples: Tensor | None, threads: int) -> Iterator[Batch]:
        """What to compute at once."""
        starts, sizes = self._make_ready(nodes), self._sizes[nodes]
        most = 1
        if self._perceptron is not None:
            most = min(max(1, COMPUTED_AT_ONCE // self.layout.d), -(-len(nodes) // threads))
        groups = [np.arange(len(nodes))]
        if examples is None:
            groups = [np.flatnonzero(sizes == size) for size in np.unique(sizes)]
        for group in groups:
            for rows in np.array_split(group, -(-len(group) // most)):
                used = np.arange(sizes[rows[0]]) if examples is None else examples.numpy()[rows]
                yield rows, torch.from_numpy(starts[rows, None] + used)

    def _make_ready(self, nodes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Have the examples of these nodes among those that are ready for the model; where they begin, (k,)."""
        if np.array_equal(nodes, self._latest):  # as in every step of a run
            return self._starts
        if not np.isin(nodes, self._ready_nodes).all():  # seldom: a rank asks for the nodes that it hosts
            self._ready_nodes = np.union1d(self._ready_nodes, nodes)
            shards = torch.from_numpy(np.concatenate([self._shards[node] for node in self._ready_nodes.tolist()]))
            self._ready = self._prepare(self._inputs[shards]).contiguous(), self._targets[shards]
        sizes = self._sizes[self._ready_nodes]
        self._latest = nodes.copy()
        self._starts = (np.cumsum(sizes) - sizes)[np.searchsorted(self._ready_nodes, nodes)]
        return self._starts

    @contextmanager
    def _model_at(self, x: Tensor) -> Iterator[nn.Module]:
        """The model with the parameters x (d,), for this thread alone."""
        try:
            movable = self._idle.pop()
        except IndexError:  # as many are made as threads ever worked side by side
            movable = _Movable(self._model)
        try:
            movable.point.copy_(x.detach())
            yield movable.model
        finally:
            self._idle.append(movable)


class _Movable:
    """A copy of a model whose parameters are views of one vector `point`: filling it is all it takes to move it."""

    def __init__(self, model: nn.Module) -> None:
        self.model = copy.deepcopy(model)
        self.point = torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])
        views = Layout.of(model).unflatten(self.point)
        for name, parameter in self.model.named_parameters():
            parameter.data = views[name]


@contextmanager
def seeded(seed: int, purpose: str) -> Iterator[None]:
    """Torch's global generator set to this seed and purpose within the block, and as before after it."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(generator(seed, purpose).integers(2**63)))
        yield


def _float32(values: Tensor) -> Tensor:
    return values.float() if values.is_floating_point() else values
