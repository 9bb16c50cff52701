"""Any torch model on tensors in memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from algorithms import Layout, Sample, ShardedWorkload
from algorithms.numerics.threads import one_thread, side_by_side
from gossip.errors import UsageError
from gossip.workloads.neural.clipped import clipped_gradient
from gossip.workloads.neural.labels import Change, flipped, in_float32, shifted
from gossip.workloads.neural.movable import Movable, Movables, Own, derived, evaluating, ready_to_train, trained
from gossip.workloads.neural.on_nodes import SupervisedOnNodes
from gossip.workloads.neural.perceptron import Perceptron
from gossip.workloads.neural.seeding import seeded
from gossip.workloads.neural.stamp import Stamp
from gossip.workloads.neural.state_dict import StateDict, entries
from gossip.workloads.neural.trial import Findings, Trial, cut, few
from gossip.workloads.workload import check_examples

COMPUTED_AT_ONCE = 1 << 21  # parameters of perceptrons, for what is computed to stay in the cache

Batch = tuple[NDArray[np.int64], Tensor]
"""Rows (c,) of a stack, and which of the examples that are ready each of them uses, (c, batch)."""

DRAWS = "(draws)"  # among what nodes have of their own: how many passes have drawn random numbers


class Supervised:
    """A torch model, its loss and its data in memory, sharded over the nodes, in float32.

    The model is copied; one that cannot be copied is used itself, by one thread. Parameters that do not require a
    gradient are not trained, not sent and not counted: they stay as they are. Buffers and frozen parameters that a pass
    of the training changes (the vectors of spectral normalisation, running statistics, moving averages) belong to their
    node, see `buffers`. Batch normalisation is an exception: by default it uses the statistics of the batch
    everywhere, in the evaluation too, and keeps no running ones. Hence "test_accuracy" of such a model depends on which
    examples are evaluated together: they are cut into equal parts of at most 250, in their order.

    The results of a node have the same bits whichever nodes are computed with it and however many threads there
    are: each node is computed by itself, by one thread, and the threads share out the nodes. A model that draws random
    numbers (dropout) takes them from torch's global generator, which in a run is set by seed, node and pass.

    Args:
        model: Maps a batch of inputs to outputs.
        loss: (outputs, targets) -> the mean loss over the batch, a scalar.
        inputs: The training inputs along the first dimension.
        targets: The training targets, likewise. Floating-point numbers become float32.
        test_inputs: The held-out inputs.
        test_targets: The held-out targets.
        shards: The indices of the training examples of each node, at least one.
        classification: Whether outputs are scores of classes along dimension 1; gives "test_accuracy".
        prepare: Makes what the model takes of inputs; by default floating-point numbers become float32.
        seed: Of the random numbers that the model draws in a run.
        average_buffers: Whether neighbours average buffers that the training changes, as they do parameters.
        running_statistics: Whether batch normalisation keeps running statistics for the evaluation, as buffers.

    Attributes:
        layout: Of the parameters that are trained.
        averages_buffers: Whether neighbours average buffers.

    Raises:
        ValueError: A few examples do not pass through the model and the loss, and why; the model has nothing to train
            or remembers passes otherwise than in buffers; or a shard is empty.
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
        seed: int = 0,
        average_buffers: bool = False,
        running_statistics: bool = False,
    ) -> None:
        self._prepare = prepare or in_float32
        self._inputs, self._targets, self._shards = inputs, in_float32(targets), shards
        self._test_inputs, self._test_targets = self._prepare(test_inputs), in_float32(test_targets)
        self._sizes = np.array([len(shard) for shard in shards])
        if not self._sizes.all():
            raise UsageError(f"node {int(self._sizes.argmin())} has no training example; every node needs at least one")
        self._ready_nodes = self._latest = self._starts = np.empty(0, np.int64)
        self._loss, self._classification, self._seed = loss, classification, seed
        self._stamped: Supervised | None = None  # on held-out images with the pattern of a backdoor
        plain, computed = entries(model), [name for name, _ in derived(model)]
        model = ready_to_train(model, running_statistics)
        self.layout = trained(model)
        self._movables = Movables(model, self.layout)
        self._perceptron = self._as_perceptron(model)
        with self._movables.any() as movable:
            self._initial = movable.point.clone()
            trial = Trial(movable, loss, classification, computed)
            self._findings = Findings() if self._perceptron else self._tried(trial)
            self._own = {name: movable.rest[name].clone() for name in self._findings.changing}
        self.averages_buffers = average_buffers
        self._normalises = any(isinstance(each, _BatchNorm) and each.running_mean is None for each in model.modules())
        self._check_buffers(type(model).__name__)
        self._state_dict = StateDict.of(plain, self.layout, self._own)

    def _check_buffers(self, name: str) -> None:
        if self._normalises and len(self._test_targets) < self.least_batch:
            raise UsageError("BatchNorm needs batches of at least 2; 1 example is held out")
        if self.averages_buffers and not any(tensor.is_floating_point() for tensor in self._own.values()):
            raise UsageError(
                f"the model {name} has no buffers that the training changes, to be averaged (integers are not, and "
                f"BatchNorm keeps none unless it is told to): leave the option buffers out"
            )

    def _as_perceptron(self, model: nn.Module) -> Perceptron | None:
        if self.layout != Layout.of(model) or self._inputs.shape[1:] != self._test_inputs.shape[1:]:
            return None
        if self._targets.shape[1:] != self._test_targets.shape[1:] or self._targets.dtype != self._test_targets.dtype:
            return None
        targets = torch.cat([self._targets, self._test_targets])
        return Perceptron.of(model, self._loss, self._prepare(self._inputs[:1]), targets)

    def _tried(self, trial: Trial) -> Findings:
        some, others = few(self._targets), few(self._test_targets)
        train = self._prepare(self._inputs[some]), self._targets[some]
        test = self._test_inputs[others], self._test_targets[others]
        return trial.findings(train, test, (self._targets, self._test_targets))

    def initial(self) -> Tensor:
        """(d,): the parameters that the model came with."""
        return self._initial.clone()

    def examples(self, node: int) -> int:
        """Number of training examples of a node."""
        return len(self._shards[node])

    def targets_of(self, node: int) -> NDArray:
        """See `HasTargets`."""
        return self._targets[self._shards[node]].numpy()

    @property
    def sources(self) -> Mapping[str, tuple[str, str]]:
        """See `HasStateDict`."""
        return self._state_dict.sources

    @property
    def fixed(self) -> Mapping[str, Tensor]:
        """See `HasStateDict`."""
        return self._state_dict.fixed

    @property
    def least_batch(self) -> int:
        """How many examples a gradient must be taken on: 2 if the model normalises over batches of vectors."""
        return self._findings.least

    def with_flipped_labels(self, nodes: Sequence[int]) -> Supervised:
        """See `HasLabels`."""
        changed, data = copy.copy(self), (self._inputs, self._targets, self._shards)
        changed._inputs, changed._targets, changed._shards = flipped(*data, nodes, self._test_targets)
        return changed

    def with_changed_inputs(self, change: Change) -> Supervised:
        """See `HasInputs`."""
        changed = copy.copy(self)
        changed._inputs, changed._targets, changed._shards = shifted(self._inputs, self._targets, self._shards, change)
        return changed

    def with_backdoor(self, nodes: Sequence[int], stamp: Stamp) -> Supervised:
        """See `HasImages`."""
        stamp.check(self._inputs, self._targets, self._prepare, self._classification)
        changed, data = copy.copy(self), (self._inputs, self._targets, self._shards)
        changed._inputs, changed._targets, changed._shards = stamp.poisoned(*data, nodes)
        changed._stamped, tests = copy.copy(self), (self._test_inputs, self._test_targets)
        changed._stamped._test_inputs, changed._stamped._test_targets = stamp.tests(*tests, self._inputs, self._prepare)
        return changed

    def gradient(self, x: Tensor, nodes: Sequence[int], examples: Tensor | None = None) -> Sample:
        """See `ShardedWorkload`. Computed in float32, given in the type of x, with buffers as the model came with."""
        return self._sample(x, nodes, examples, None)

    def gradient_and_norms(self, x: Tensor, nodes: Sequence[int], examples: Tensor) -> Sample | None:
        """See `HasNorms`; None unless the model is a perceptron."""
        if self._perceptron is None:
            return None
        norms = torch.empty(len(x), len(self.layout.shapes), dtype=torch.float64)
        return self._sample(x, nodes, examples, None, norms=norms)

    def clipped_gradient(self, x: Tensor, nodes: Sequence[int], examples: Tensor, clip: float) -> Sample:
        """See `HasClippedGradients`."""
        if self._normalises:
            raise UsageError("BatchNorm mixes the examples of a batch, whose gradients cannot be clipped one by one")
        return self._sample(x, nodes, examples, None, clip=clip)

    def losses(self, x: Tensor, nodes: Sequence[int], examples: Tensor) -> Tensor:
        """See `HasLosses`. Computed in float32, given in the type of x, with buffers as the model came with."""
        return self._losses(x, nodes, examples, None)

    def buffers(self, nodes: Sequence[int]) -> dict[str, Tensor]:
        """See `HasBuffers`: buffers, frozen parameters that passes change, and the number of passes that drew."""
        found = {name: value.expand(len(nodes), *value.shape).clone() for name, value in self._own.items()}
        return found | ({DRAWS: torch.zeros(len(nodes), dtype=torch.int64)} if self._findings.draws else {})

    def on(self, buffers: Mapping[str, Tensor], nodes: Sequence[int]) -> ShardedWorkload:
        """See `HasBuffers`."""
        return SupervisedOnNodes(self, Own(buffers, {node: row for row, node in enumerate(nodes)}))

    def evaluate(self, x: Tensor, buffers: Mapping[str, Tensor] | None = None) -> Mapping[str, float]:
        """ "test_loss", the mean over the held-out examples, "test_accuracy" of a classifier; see `Backdoor` too.

        Args:
            x: (d,).
            buffers: Name -> (...), of one model as `buffers` has them of nodes; those that it came with by default.
        """
        own = self._own if buffers is None else {name: buffers[name] for name in self._own}
        inputs, targets = (cut(each, self._normalises) for each in (self._test_inputs, self._test_targets))
        totals, correct = np.zeros(len(inputs)), np.zeros(len(inputs), int)

        def compute(first: int, last: int) -> None:
            for i in range(first, last):
                with self._movables.at(x, own) as movable, evaluating(movable.model) as model:
                    outputs = model(inputs[i])
                    totals[i] = float(self._loss(outputs, targets[i])) * len(inputs[i])
                    if self._classification:
                        correct[i] = (outputs.argmax(dim=1) == targets[i]).sum()

        if self._alone:
            with one_thread(), seeded(self._seed, "evaluation"):
                compute(0, len(inputs))
        else:
            side_by_side(compute, len(inputs))
        metrics = {"test_loss": float(totals.sum()) / len(self._test_inputs)}
        if self._stamped:
            metrics["backdoor_accuracy"] = self._stamped.evaluate(x, buffers)["test_accuracy"]
        return metrics | ({"test_accuracy": correct.sum() / self._test_targets.numel()} if self._classification else {})

    @property
    def _alone(self) -> bool:
        """Whether one thread has to do everything."""
        return self._findings.draws or self._movables.single

    def _sample(
        self,
        x: Tensor,
        nodes: Sequence[int],
        examples: Tensor | None,
        own: Own | None,
        *,
        norms: Tensor | None = None,
        clip: float | None = None,
    ) -> Sample:
        here = np.asarray(nodes, np.int64)
        if examples is not None:
            check_examples(examples, self._sizes[here])
        x = x.detach()
        gradient = torch.empty(len(here), self.layout.d, dtype=x.dtype)
        loss = torch.empty(len(here), dtype=x.dtype)

        def compute(some: slice | NDArray[np.int64], places: Tensor) -> None:
            inputs, targets = self._at(places)
            if clip is not None:
                loss[some], gradient[some] = self._clipped(x[some], inputs, targets, clip)
                return
            if self._perceptron is None:
                loss[some], gradient[some] = self._loss_and_gradient(x[some][0], inputs[0], targets[0], here[some], own)
                return
            lengths = None if norms is None else norms[some]
            loss[some], gradient[some] = self._perceptron.losses_and_gradients(x[some], inputs, targets, lengths)
            if norms is not None and lengths is not None:  # which may be a copy of them
                norms[some] = lengths

        self._in_parts(here, examples, compute, own)
        return Sample(gradient, loss, norms)

    def _losses(self, x: Tensor, nodes: Sequence[int], examples: Tensor, own: Own | None) -> Tensor:
        here = np.asarray(nodes, np.int64)
        check_examples(examples, self._sizes[here])
        x = x.detach()
        losses = torch.empty(examples.shape, dtype=x.dtype)

        def compute(some: slice | NDArray[np.int64], places: Tensor) -> None:
            inputs, targets = self._at(places)
            if self._perceptron is not None:
                losses[some] = self._perceptron.losses(x[some], inputs, targets)
                return
            pairs = zip(inputs[0].split(1), targets[0].split(1), strict=True)
            with self._model_of(x[some][0], here[some], own) as movable, torch.no_grad():
                losses[some] = torch.stack([self._loss(movable.model(a), b) for a, b in pairs])

        self._in_parts(here, examples, compute, own)
        return losses

    def _loss_and_gradient(
        self, x: Tensor, inputs: Tensor, targets: Tensor, node: NDArray[np.int64], own: Own | None
    ) -> tuple[Tensor, Tensor]:
        """The loss () and the gradient (d,) of one node."""
        with self._model_of(x, node, own) as movable, torch.enable_grad():
            value = self._loss(movable.model(inputs), targets)
            pieces = torch.autograd.grad(value, movable.parameters, materialize_grads=True)
        return value.detach(), torch.cat([piece.reshape(-1) for piece in pieces])

    def _clipped(self, x: Tensor, inputs: Tensor, targets: Tensor, clip: float) -> tuple[Tensor, Tensor]:
        """The losses (c,) and clipped gradients (c, d) of some nodes: of one, if the model is no perceptron."""
        if self._perceptron is not None:
            return self._perceptron.losses_and_clipped_gradients(x, inputs, targets, clip)
        with self._movables.any() as movable:
            point = self.layout.unflatten(x[0].float())
            return clipped_gradient(movable.model, self._loss, point, inputs[0], targets[0], clip)

    @contextmanager
    def _model_of(self, x: Tensor, node: NDArray[np.int64], own: Own | None) -> Iterator[Movable]:
        """The model at x (d,) with what this node (1,) has of its own, where it stays what passes make of it."""
        if own is None:
            with self._movables.at(x, self._own) as movable:
                yield movable
            return
        number = int(node[0])
        rows = own.of(number)
        with ExitStack() as stack:
            if DRAWS in rows:
                stack.enter_context(seeded(self._seed, "model draws", number, int(rows[DRAWS])))
                rows.pop(DRAWS).add_(1)
            movable = stack.enter_context(self._movables.at(x, rows))
            yield movable
            for name, row in rows.items():
                row.copy_(movable.kept(name, row))

    def _in_parts(
        self,
        nodes: NDArray[np.int64],
        examples: Tensor | None,
        compute: Callable[[slice | NDArray[np.int64], Tensor], None],
        own: Own | None,
    ) -> None:
        """Call compute(rows, places) for all rows, some at a time, and side by side on all threads.

        Where nodes have something of their own, the rows of one node are computed one after the other.
        """
        threads = 1 if self._alone else torch.get_num_threads()
        batches = list(self._batches(nodes, examples, threads))
        if own is not None and len(set(nodes.tolist())) < len(nodes):
            threads = 1
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
