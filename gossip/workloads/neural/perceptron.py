"""Gradients of multilayer perceptrons without autograd, which takes longer than a small model's matrix products."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from algorithms import Layout
from algorithms.privacy.clipping import clip_factors

ALIGNED = 64  # numbers: a multiple of every vector register and cache line
ACTIVATIONS: dict[type[nn.Module], str] = {nn.ReLU: "relu", nn.Tanh: "tanh"}


@dataclass(frozen=True)
class Perceptron:
    """Linear layers with an activation after each but the last, and a loss, for the models of several nodes at once.

    The results of a node have the same bits whichever nodes are computed with it. BLAS rounds otherwise when it
    multiplies another number of matrices in one call, or matrices that lie otherwise with respect to cache lines. Hence
    one call per node and product, on copies that all lie alike.

    Attributes:
        layout: How the weights and biases lie in a model's vector.
        layers: The weight of each layer and its bias or "", by name, and what precedes it: "relu", "tanh" or "".
        loss: `cross_entropy` or `mse_loss`.
    """

    layout: Layout
    layers: tuple[tuple[str, str, str], ...]
    loss: Callable[..., Tensor]

    @classmethod
    def of(cls, model: nn.Module, loss: Callable[..., Tensor], inputs: Tensor, targets: Tensor) -> Perceptron | None:
        """What computes the same as this model with this loss; None if they are of another kind.

        Args:
            model: The torch model.
            loss: (outputs, targets) -> mean loss.
            inputs: Some inputs, (m, ...).
            targets: All targets, (m, ...).
        """
        hooked = any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
        if type(model) is not nn.Sequential or hooked or loss not in (cross_entropy, mse_loss):
            return None
        modules = list(model._modules.items())  # `named_children` leaves out an activation that is used again
        if modules and type(modules[0][1]) is nn.Flatten:
            inputs = model[0](inputs)
            del modules[0]
        layers: list[tuple[str, str, str]] = []
        width, numbers, before = inputs.shape[-1], 0, ""
        for name, module in modules:
            if type(module) is nn.Linear and module.in_features == width:
                layers.append((f"{name}.weight", "" if module.bias is None else f"{name}.bias", before))
                width, numbers, before = module.out_features, numbers + sum(p.numel() for p in module.parameters()), ""
            elif type(module) in ACTIVATIONS and layers and not before:
                before = ACTIVATIONS[type(module)]
            else:
                return None
        if loss is cross_entropy:
            classes = targets.ndim == 1 and targets.dtype == torch.int64
            known = classes and bool((targets >= 0).all() and (targets < width).all())
        else:
            known = targets.dtype == torch.float32 and targets.shape[1:] == (width,)
        layout = Layout.of(model)
        usual = inputs.ndim == 2 and inputs.dtype == torch.float32 and layers and not before
        # Without further parameters, and none used twice.
        return cls(layout, tuple(layers), loss) if known and usual and layout.d == numbers else None

    def losses_and_gradients(
        self, x: Tensor, inputs: Tensor, targets: Tensor, norms: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The losses (c,) and gradients (c, d) of c nodes, in float32.

        Args:
            x: (c, d), the model of each.
            inputs: (c, batch, ...), contiguous.
            targets: (c, batch) or (c, batch, outputs).
            norms: (c, tensors) float64, where to write the mean over the examples of the norms of the tensors of their
                gradients. That of a weight is the norm of an outer product, slope times input: no gradient of a
                single example is computed.
        """
        gradient = _alike(x.shape)
        points, slopes = self.layout.unflatten(_alike(x.shape).copy_(x)), self.layout.unflatten(gradient)
        values = self._values(points, inputs)
        losses, last = self._loss(values.pop(), targets)
        names = list(self.layout.shapes)
        for weight, bias, value, slope in self._backwards(points, values, last):
            if norms is not None:
                for row in range(len(x)):
                    steepness = _lengths(slope[row])  # over the batch: the loss is the mean over its examples
                    norms[row, names.index(weight)] = float(np.einsum("b,b->", _lengths(value[row]), steepness))
                    if bias:
                        norms[row, names.index(bias)] = float(np.einsum("b->", steepness))
            _products(slope.mT, value, out=slopes[weight])
            if bias:
                slopes[bias].copy_(slope.sum(dim=1))
        return losses, gradient

    def losses_and_clipped_gradients(
        self, x: Tensor, inputs: Tensor, targets: Tensor, clip: float
    ) -> tuple[Tensor, Tensor]:
        """As `losses_and_gradients`, of the gradients of single examples, each scaled down to a norm of at most `clip`.

        None of them is computed: their norms follow as above, and to scale one is to scale its slopes.
        """
        gradient = _alike(x.shape)
        points, slopes = self.layout.unflatten(_alike(x.shape).copy_(x)), self.layout.unflatten(gradient)
        values = self._values(points, inputs)
        losses, last = self._loss(values.pop(), targets)
        layers, batch = list(self._backwards(points, values, last)), inputs.shape[1]
        squares = np.zeros((len(x), batch))
        for _, bias, value, slope in layers:
            for row in range(len(x)):
                squares[row] += _lengths(slope[row]) ** 2 * (_lengths(value[row]) ** 2 + bool(bias))
        factors = clip_factors(torch.from_numpy(batch * np.sqrt(squares)), clip).float()[..., None]
        for weight, bias, value, slope in layers:
            slope *= factors
            _products(slope.mT, value, out=slopes[weight])
            if bias:
                slopes[bias].copy_(slope.sum(dim=1))
        return losses, gradient

    def _backwards(
        self, points: dict[str, Tensor], values: list[Tensor], slope: Tensor
    ) -> Iterator[tuple[str, str, Tensor, Tensor]]:
        """Of each layer, the last one first: its weight and bias by name, what goes into it, and the slope of the loss
        by what comes out, (c, batch, width) both.

        Args:
            points: The parameters.
            values: What goes into each layer; used up.
            slope: That of the last layer.
        """
        for weight, bias, before in reversed(self.layers):
            value = values.pop()
            yield weight, bias, value, slope
            if values:
                slope = _products(slope, points[weight])
            if before:
                slope *= value > 0 if before == "relu" else 1 - value * value

    def losses(self, x: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        """(c, batch): the loss of each example alone; the arguments are those of `losses_and_gradients`."""
        outputs = self._values(self.layout.unflatten(_alike(x.shape).copy_(x)), inputs)[-1]
        if self.loss is mse_loss:
            errors = outputs - targets
            return (errors * errors).flatten(2).mean(dim=2)
        return -outputs.log_softmax(dim=2).gather(2, targets[..., None])[..., 0]

    def _values(self, points: dict[str, Tensor], inputs: Tensor) -> list[Tensor]:
        """What goes into each layer, (c, batch, width), and the outputs of the last one."""
        inputs = inputs.flatten(2)
        values = [inputs if prod(inputs.shape[1:]) % ALIGNED == 0 else _alike(inputs.shape).copy_(inputs)]
        for weight, bias, before in self.layers:
            if before:
                values[-1].relu_() if before == "relu" else values[-1].tanh_()
            values.append(_products(values[-1], points[weight].mT))
            if bias:
                values[-1] += points[bias][:, None]
        return values

    def _loss(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of each node (c,), and its derivatives by the outputs (c, batch, outputs)."""
        slope = _alike(outputs.shape)
        if self.loss is mse_loss:
            torch.sub(outputs, targets, out=slope)
            losses = (slope * slope).flatten(1).mean(dim=1)
            slope *= 2 / prod(outputs.shape[1:])
            return losses, slope
        scores = outputs.log_softmax(dim=2)
        chosen = targets[..., None]
        slope.copy_(scores.exp())
        slope.scatter_add_(2, chosen, torch.full(chosen.shape, -1.0, dtype=slope.dtype))
        slope /= outputs.shape[1]
        return -scores.gather(2, chosen).flatten(1).mean(dim=1), slope


def _alike(shape: Sequence[int]) -> Tensor:
    """(c, ...), uninitialised, every row of which begins on a cache line."""
    strides = [1]
    for size in reversed(shape[1:]):
        strides.insert(0, size * strides[0])
    strides[0] += -strides[0] % ALIGNED
    return torch.empty_strided(tuple(shape), strides, dtype=torch.float32)


def _lengths(rows: Tensor) -> NDArray[np.float64]:
    """(batch,) float64: the l2 norm of each row (batch, width)."""
    values = rows.numpy()
    return np.sqrt(np.einsum("bi,bi->b", values, values), dtype=np.float64)


def _products(left: Tensor, right: Tensor, out: Tensor | None = None) -> Tensor:
    """(c, rows, columns): the matrix product of each node."""
    if out is None:
        out = _alike((len(left), left.shape[1], right.shape[2]))
    for each in zip(left, right, out, strict=True):
        torch.mm(each[0], each[1], out=each[2])
    return out
