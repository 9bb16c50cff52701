"""A model's parameters as views of one vector, and their gradients as views of another."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch._utils import _unflatten_dense_tensors as unflatten  # one call for all views, as DDP uses it


class FlatParameters:
    """Parameters that lie one after the other in a stack (1, d), whichever stack they are bound to.

    A gradient is moved to its place in the vector of gradients as soon as it has been computed, while it is in the
    cache, and further backward passes add to it there.

    Args:
        parameters: Leaf tensors of one type, on one device, that require gradients.

    Attributes:
        gradient: (1, d), complete after `collect`.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._parameters = parameters
        self.bind(torch.cat([p.detach().reshape(-1) for p in parameters])[None])
        self.gradient = torch.zeros_like(self._stack)
        self._gradients: Sequence[Tensor] = unflatten(self.gradient[0], parameters)
        self._hooks = [
            p.register_post_accumulate_grad_hook(partial(_move_gradient, view))
            for p, view in zip(parameters, self._gradients, strict=True)
        ]

    def bind(self, stack: Tensor) -> None:
        """Make the parameters views of this stack (1, d), whose values they take."""
        self._stack = stack
        for p, view in zip(self._parameters, unflatten(stack[0], self._parameters), strict=True):
            p.data = view
        # As after any change of parameters, a graph from before it must not be differentiated any more.
        torch.autograd.graph.increment_version(self._parameters)
        self._addresses = [p.data_ptr() for p in self._parameters]
        self._versions = [p._version for p in self._parameters]

    @property
    def stack(self) -> Tensor:
        """(1, d): the stack that the parameters are views of."""
        return self._stack

    @property
    def moved(self) -> bool:
        """Whether some parameter has been given other memory."""
        return [p.data_ptr() for p in self._parameters] != self._addresses

    @property
    def changed(self) -> bool:
        """Whether some parameter was changed since `bind`, as far as autograd knows (not by way of `.data`)."""
        return self.moved or [p._version for p in self._parameters] != self._versions

    def bring_back(self) -> None:
        """Copy the values of parameters that were given other memory, and make them views of the stack again.

        Raises:
            RuntimeError: if one has another shape, type or device now.
        """
        views = unflatten(self._stack[0], self._parameters)
        for p, view in zip(self._parameters, views, strict=True):
            if (p.shape, p.dtype, p.device) != (view.shape, view.dtype, view.device):
                raise RuntimeError("a parameter has another shape, type or device than when its optimizer was made")
            if p.data_ptr() != view.data_ptr():
                view.copy_(p.detach())
        self.bind(self._stack)

    def collect(self) -> None:
        """Complete the vector of gradients, where none came or they did not come from a backward pass."""
        for p, view in zip(self._parameters, self._gradients, strict=True):
            if p.grad is None:
                view.zero_()
            else:
                _move_gradient(view, p)

    def release(self) -> None:
        """Leave parameters and gradients to themselves."""
        while self._hooks:
            self._hooks.pop().remove()


def _move_gradient(view: Tensor, parameter: Tensor) -> None:
    gradient = parameter.grad
    if gradient is not None and gradient is not view:
        gradient = gradient.detach()
        view.copy_(gradient.to_dense() if gradient.is_sparse else gradient)
        parameter.grad = view
