"""A model's parameters and their gradients, which lie in one vector each and have storages of their own."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from functools import cached_property, partial

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from gossip.optimizer.places import AS_INTEGERS, places_of, views

SAMPLES = 1 << 12  # numbers of a vector that are looked at where neighbours read it, to see whether it was changed


class FlatParameters:
    """Parameters that lie one after the other in a stack (1, d), whichever stack they are bound to.

    Each has a storage of its own over its part of that memory, so that whoever saves or copies one parameter does not
    save or copy all of them.

    A gradient is moved to its place in the vector of gradients as soon as it has been computed, while it is in the
    cache, and further backward passes add to it there.

    Args:
        parameters: Leaf tensors of one type, on one device, that require gradients.

    Attributes:
        parameters: These.
        places: Where each of them lies in the vector.
        gradient: (1, d), complete after `collect`.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = parameters
        self.places = places_of(parameters)
        flat = [place.flat(p.detach()) for place, p in zip(self.places, parameters, strict=True)]
        self._samples: Tensor | None = None
        self.bind(torch.cat(flat)[None])
        self.gradient = torch.zeros_like(self._stack)
        self._gradients: Sequence[Tensor] = views(self.gradient[0], self.places)
        self._hooks = [
            p.register_post_accumulate_grad_hook(partial(_move_gradient, view))
            for p, view in zip(parameters, self._gradients, strict=True)
        ]
        weakref.finalize(self, _remove, self._hooks)  # parameters outlive those that nobody closes

    def bind(self, stack: Tensor) -> None:
        """Let the parameters lie in this stack (1, d), whose values they take."""
        self._stack = stack
        for p, view in zip(self.parameters, views(stack[0], self.places), strict=True):
            p.data = view
        # As after any change of parameters, a graph from before it must not be differentiated any more.
        torch.autograd.graph.increment_version(self.parameters)
        self._addresses = [p.data_ptr() for p in self.parameters]
        self._versions = [p._version for p in self.parameters]

    @property
    def stack(self) -> Tensor:
        """(1, d): the stack that the parameters lie in."""
        return self._stack

    @cached_property
    def spare(self) -> Tensor:
        """(1, d): memory that parameters may be bound to for a while."""
        return torch.empty_like(self._stack)

    def watch(self, step: int) -> None:
        """See from now on what is written by way of `.data` too, which autograd does not know of.

        Of a vector of more than `SAMPLES` numbers that many are compared, others in each step: to look at all of them
        would take as long as a part of the step itself.
        """
        self._first = step % self._stride
        self._samples = self._sampled().clone()

    def stop_watching(self) -> None:
        """Nobody reads the stack any more."""
        self._samples = None

    @property
    def moved(self) -> bool:
        """Whether some parameter has been given other memory."""
        return [p.data_ptr() for p in self.parameters] != self._addresses

    @property
    def changed(self) -> bool:
        """Whether some parameter was changed since `bind`, as far as autograd knows or has been watched."""
        if self.moved or [p._version for p in self.parameters] != self._versions:
            return True
        return self._samples is not None and not torch.equal(self._samples, self._sampled())

    def bring_back(self) -> None:
        """Copy the values of parameters that were given other memory, and let them lie in the stack again.

        Raises:
            RuntimeError: if one has another shape, type or device now.
        """
        for p, view in zip(self.parameters, views(self._stack[0], self.places), strict=True):
            if (p.shape, p.dtype, p.device) != (view.shape, view.dtype, view.device):
                raise RuntimeError("a parameter has another shape, type or device than when its optimizer was made")
            if p.data_ptr() != view.data_ptr():
                view.copy_(p.detach())
        self.bind(self._stack)

    def collect(self) -> list[int]:
        """Complete the vector of gradients, with zeros where none came.

        Returns:
            The numbers of parameters that are to be left alone: those without a gradient, and those frozen by now.
        """
        idle = []
        for number, (p, view) in enumerate(zip(self.parameters, self._gradients, strict=True)):
            if p.grad is None or not p.requires_grad:
                view.zero_()
                idle.append(number)
            else:
                _move_gradient(view, p)
        return idle

    def diverged(self, step: int) -> bool:
        """Whether the gradient holds a NaN or an infinite number, as far as others of its numbers show in each step.

        A loss that is NaN leaves few that are not.
        """
        stride = self._stride
        return not self.gradient[0, step % stride :: stride].isfinite().all()

    def release(self) -> None:
        """Leave parameters and gradients to themselves."""
        _remove(self._hooks)

    @property
    def _stride(self) -> int:
        return -(-self._stack.shape[1] // SAMPLES) or 1

    def _sampled(self) -> Tensor:
        """Some of the numbers as bits, as NaN does not equal itself."""
        return self._stack[0].view(AS_INTEGERS[self._stack.itemsize])[self._first :: self._stride]


def _move_gradient(view: Tensor, parameter: Tensor) -> None:
    gradient = parameter.grad
    if gradient is not None and gradient is not view:
        gradient = gradient.detach()
        view.copy_(gradient.to_dense() if gradient.is_sparse else gradient)
        parameter.grad = view


def _remove(hooks: list[RemovableHandle]) -> None:
    while hooks:
        hooks.pop().remove()
