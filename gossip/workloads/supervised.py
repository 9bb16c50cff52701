"""Any torch model on tensors in memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, replace_all_batch_norm_modules_, vmap
from torch.nn.modules.conv import _ConvNd

from algorithms import Layout, Sample
from algorithms.randomness import generator

EVALUATED_AT_ONCE = 1000  # examples, to bound the memory that the activations take


class Supervised:
    """A torch model, its loss and its data in memory, sharded over the nodes, in float32.

    The model is copied, and all its parameters are trained, also those that do not require a gradient. Batch
    normalisation uses the statistics of the batch everywhere, in the evaluation too, and keeps no running
    ones: a node's model is its parameters and nothing else. A model that draws random numbers (dropout) takes
    them from torch's global generator, so its runs are not reproducible on another number of ranks.

    The gradients of several nodes are computed together by torch.func.vmap; or node by node where the model
    is beyond it or has convolutions, or the nodes use different numbers of examples.

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
        test_inputs: Tensor,
        test_targets: Tensor,
        shards: Sequence[NDArray[np.int64]],
        classification: bool,
        prepare: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self._model = replace_all_batch_norm_modules_(copy.deepcopy(model))
        self._model.float().requires_grad_(True).train()
        self._loss = loss
        self._classification = classification
        self._prepare = prepare or _float32
        self._test_inputs, self._test_targets = self._prepare(test_inputs), _float32(test_targets)
        self._inputs, self._targets = inputs, targets
        self._shards = shards
        self._ready: dict[int, tuple[Tensor, Tensor]] = {}
        # With a model per example convolutions become grouped ones, and these are up to three times slower
        # on CPUs than one node after another. For other models, until the model turns out to be beyond it.
        self._vmap = not any(isinstance(module, _ConvNd) for module in self._model.modules())

        self.layout = Layout.of(self._model)
        self._parameters = list(self._model.parameters())
        # The model's parameters are views of one vector: filling it is all that it takes to move the model.
        self._point = torch.cat([p.detach().reshape(-1) for p in self._parameters])
        self._initial = self._point.clone()
        views = self.layout.unflatten(self._point)
        for name, parameter in self._model.named_parameters():
            parameter.data = views[name]

    def initial(self) -> Tensor:
        """(d,): the parameters that the model came with."""
        return self._initial.clone()

    def examples(self, node: int) -> int:
        """Number of training examples of a node."""
        return len(self._shards[node])

    def gradient(self, x: Tensor, nodes: Sequence[int], examples: Tensor | None = None) -> Sample:
        """See `ShardedWorkload`. Computed in float32, given in the type of x."""
        with torch.enable_grad():
            sizes = {len(self._shards[node]) for node in nodes}
            if len(nodes) > 1 and self._vmap and (examples is not None or len(sizes) == 1):
                try:
                    return self._together(x, nodes, examples)
                except RuntimeError:
                    # What vmap raises where it has no rule. An error of the model's own comes again below.
                    self._vmap = False
            gradient = torch.empty(len(nodes), self.layout.d, dtype=x.dtype)
            loss = torch.empty(len(nodes), dtype=x.dtype)
            for row, node in enumerate(nodes):
                inputs, targets = self._batch(node, None if examples is None else examples[row])
                loss[row] = self._one(x[row], inputs, targets, gradient[row])
        return Sample(gradient, loss)

    def evaluate(self, x: Tensor) -> Mapping[str, float]:
        """ "test_loss", the mean over the held-out examples, and "test_accuracy" in 0..1 of a classifier."""
        self._point.copy_(x.detach())
        chunks = self._test_inputs.split(EVALUATED_AT_ONCE), self._test_targets.split(EVALUATED_AT_ONCE)
        total, correct, count = 0.0, 0, 0
        self._model.eval()
        try:
            with torch.inference_mode():
                for inputs, targets in zip(*chunks, strict=True):
                    outputs = self._model(inputs)
                    total += float(self._loss(outputs, targets)) * len(inputs)
                    if self._classification:
                        correct += int((outputs.argmax(dim=1) == targets).sum())
                        count += targets.numel()
        finally:
            self._model.train()
        metrics = {"test_loss": total / len(self._test_inputs)}
        return metrics | ({"test_accuracy": correct / count} if self._classification else {})

    def _batch(self, node: int, examples: Tensor | None) -> tuple[Tensor, Tensor]:
        if node not in self._ready:  # one of a few: a rank asks for the nodes that it hosts
            shard = torch.from_numpy(self._shards[node])
            self._ready[node] = self._prepare(self._inputs[shard]), _float32(self._targets[shard])
        inputs, targets = self._ready[node]
        if examples is None:
            return inputs, targets
        return inputs.index_select(0, examples), targets.index_select(0, examples)

    def _one(self, x: Tensor, inputs: Tensor, targets: Tensor, gradient: Tensor) -> Tensor:
        """The loss at x (d,), after writing its gradient (d,) in place."""
        self._point.copy_(x.detach())
        value = self._loss(self._model(inputs), targets)
        pieces = torch.autograd.grad(value, self._parameters, materialize_grads=True)
        torch.cat([piece.reshape(-1) for piece in pieces], out=gradient)
        return value.detach()

    def _together(self, x: Tensor, nodes: Sequence[int], examples: Tensor | None) -> Sample:
        chosen: Sequence[Tensor | None] = [None] * len(nodes) if examples is None else list(examples)
        batches = [self._batch(node, some) for node, some in zip(nodes, chosen, strict=True)]
        inputs, targets = (torch.stack(tensors) for tensors in zip(*batches, strict=True))
        parameters = self.layout.unflatten(x.detach().to(self._point.dtype))
        gradients, losses = vmap(grad_and_value(self._value))(parameters, inputs, targets)
        return Sample(self.layout.flatten(gradients).to(x.dtype), losses.to(x.dtype))

    def _value(self, parameters: dict[str, Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
        return self._loss(functional_call(self._model, parameters, (inputs,)), targets)


@contextmanager
def seeded(seed: int, purpose: str) -> Iterator[None]:
    """Torch's global generator set to this seed and purpose within the block, and as before after it."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(generator(seed, purpose).integers(2**63)))
        yield


def _float32(values: Tensor) -> Tensor:
    return values.float() if values.is_floating_point() else values
