"""Copies of a model that can be moved: to the parameters of a node, and to what else it has of its own."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import replace_all_batch_norm_modules_
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy

from algorithms import Layout
from gossip.errors import UsageError


class Movable:
    """A model whose trained parameters are views of one vector `point`: filling it is all it takes to move it.

    Args:
        model: The model, which is changed.
        layout: Of the parameters that are trained.

    Attributes:
        model: The model.
        point: (d,), its trained parameters.
        parameters: The same, one by one.
    """

    def __init__(self, model: nn.Module, layout: Layout) -> None:
        named = dict(model.named_parameters())
        self.model = model
        self.parameters = [named[name] for name in layout.shapes]
        self.point = torch.cat([parameter.detach().reshape(-1) for parameter in self.parameters])
        views = layout.unflatten(self.point)
        for name in layout.shapes:
            named[name].data = views[name]
        self._frozen = {name: parameter for name, parameter in named.items() if name not in layout.shapes}
        self._names = _names_of_buffers(model)

    @property
    def rest(self) -> dict[str, Tensor]:
        """What it has beside trained parameters, by name: its buffers, and the parameters that are frozen."""
        buffers = {name: self.model.get_buffer(name) for name in self._names}
        return {name: tensor.detach() for name, tensor in {**self._frozen, **buffers}.items()}

    def put(self, rest: Mapping[str, Tensor]) -> None:
        """Set some of that to copies of these values."""
        for name, value in rest.items():
            mine = value.clone()
            if name in self._frozen:
                self._frozen[name].data = mine
            for each in self._names.get(name, ()):  # a buffer may have been replaced by one that autograd remembers
                owner, _, leaf = each.rpartition(".")
                setattr(self.model.get_submodule(owner), leaf, mine)

    def kept(self, name: str, like: Tensor) -> Tensor:
        """What one of these has become.

        Raises:
            UsageError: A tensor of another shape or type.
        """
        value = (self._frozen[name] if name in self._frozen else self.model.get_buffer(name)).detach()
        if value.shape != like.shape or value.dtype != like.dtype:
            raise UsageError(
                f"the model {type(self.model).__name__}: a forward pass makes of its buffer {name}, "
                f"{described(like)}, one of {described(value)}; shape and type must stay as they are"
            )
        return value


class Movables:
    """As many copies of a model as threads ever worked side by side, each for one of them at a time.

    Args:
        model: The model. One that cannot be copied is used itself, by one thread.
        layout: Of the parameters that are trained.

    Attributes:
        single: Whether there can be only one.
    """

    def __init__(self, model: nn.Module, layout: Layout) -> None:
        self._model, self._layout, self.single = model, layout, False
        try:
            self._idle = [Movable(copied(model), layout)]
        except Exception:  # whatever those of its parts raise that cannot be copied
            self._idle, self.single = [Movable(model, layout)], True

    @contextmanager
    def any(self) -> Iterator[Movable]:
        """One of them, for this thread alone."""
        try:
            movable = self._idle.pop()
        except IndexError:
            movable = Movable(copied(self._model), self._layout)
        try:
            yield movable
        finally:
            self._idle.append(movable)

    @contextmanager
    def at(self, x: Tensor, rest: Mapping[str, Tensor]) -> Iterator[Movable]:
        """One with the parameters x (d,), and this beside them, for this thread alone."""
        with self.any() as movable:
            movable.point.copy_(x.detach())
            movable.put(rest)
            yield movable


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """The model in evaluation mode, and back in training mode afterwards."""
    model.eval()
    try:
        with torch.inference_mode():
            yield model
    finally:
        model.train()


@dataclass(frozen=True)
class Own:
    """What nodes have of their own: stacks (k, ...) by name, and the row of each node."""

    stacks: Mapping[str, Tensor]
    rows: Mapping[int, int]

    def of(self, node: int) -> dict[str, Tensor]:
        """What this node has: views."""
        return {name: stack[self.rows[node]] for name, stack in self.stacks.items()}


def ready_to_train(model: nn.Module, running_statistics: bool) -> nn.Module:
    """A copy of the model, or itself if it cannot be copied, in float32.

    Args:
        model: The model.
        running_statistics: Whether batch normalisation keeps them, or uses the statistics of the batch everywhere.

    Raises:
        UsageError: Nothing of it can be trained, or parameters have no shape yet.
    """
    name = f"the model {type(model).__name__}"
    if any(is_lazy(each) for each in (*model.parameters(), *model.buffers())):
        raise UsageError(f"{name} has lazy parameters without a shape; give it some inputs before it is trained")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UsageError(f"{name} has no parameter that requires a gradient: nothing of it can be trained")
    with suppress(Exception):  # whatever those of its parts raise that cannot be copied
        model = copied(model)
    if not running_statistics:
        replace_all_batch_norm_modules_(model)
    elif not any(isinstance(module, _BatchNorm) and module.track_running_stats for module in model.modules()):
        raise UsageError(f"{name} has no BatchNorm that keeps running statistics: leave the option batch_norm out")
    return model.float().train()


def copied(model: nn.Module) -> nn.Module:
    """A deep copy. Tensors computed from parameters, as `torch.nn.utils.weight_norm` keeps them, are copied as values.

    Raises:
        Exception: It cannot be copied.
    """
    return copy.deepcopy(model, {id(tensor): tensor.detach().clone() for _, tensor in derived(model)})


def derived(model: nn.Module) -> list[tuple[str, Tensor]]:
    """The attributes of its modules, by name, that are tensors computed from others that require a gradient."""
    return [
        (f"{path}.{name}".lstrip("."), value)
        for path, module in model.named_modules()
        for name, value in {**vars(module), **module._buffers}.items()
        if isinstance(value, Tensor) and not value.is_leaf
    ]


def trained(model: nn.Module) -> Layout:
    """The layout of those parameters that require a gradient."""
    return Layout({name: tuple(p.shape) for name, p in model.named_parameters() if p.requires_grad})


def described(tensor: Tensor) -> str:
    """Shape and type in words."""
    return f"shape {tuple(tensor.shape)}, {str(tensor.dtype).removeprefix('torch.')}"


def _names_of_buffers(model: nn.Module) -> dict[str, list[str]]:
    """First name of each buffer -> all its names."""
    names: dict[int, list[str]] = {}
    for name, buffer in model.named_buffers(remove_duplicate=False):
        names.setdefault(id(buffer), []).append(name)
    return {each[0]: each for each in names.values()}
