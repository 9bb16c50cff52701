"""A pass through a model before it is trained: what is wrong with it is said at once, and what it does is found out."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, nll_loss
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy

from algorithms.numerics.threads import one_thread
from gossip.errors import UsageError, blaming
from gossip.workloads.neural.movable import Movable, described, evaluating

EVALUATED_AT_ONCE = 250  # examples, for several threads to have some
TRIED = 4  # examples
IGNORED = -100  # the target that `cross_entropy` passes over

Loss = Callable[[Any, Tensor], Tensor]
Examples = tuple[Tensor, Tensor]
"""Inputs and targets."""


@dataclass(frozen=True)
class Findings:
    """What passes through a model have shown."""

    changing: tuple[str, ...] = ()
    """Which of its buffers and frozen parameters a pass changes."""

    draws: bool = False
    """Whether a pass draws random numbers."""

    least: int = 1
    """How many examples there must be in a batch."""


@dataclass(frozen=True)
class Trial:
    """Passes through a model with few examples, after which it is as before.

    Raises:
        UsageError: Something is wrong with the model, the loss or the data, in one line.
    """

    movable: Movable
    """The model, and what moves it."""

    loss: Loss
    """(outputs, targets) -> the mean loss."""

    classification: bool
    """Whether outputs are scores of classes along dimension 1."""

    derived: Sequence[str] = ()
    """Names of those attributes that were computed from parameters."""

    @property
    def _name(self) -> str:
        return f"the model {type(self.movable.model).__name__}"

    @property
    def _loss_name(self) -> str:
        return f"the loss {getattr(self.loss, '__name__', type(self.loss).__name__)}"

    def findings(self, some: Examples, others: Examples, targets: Sequence[Tensor]) -> Findings:
        """What the passes show, with `few` training and held-out examples, as the model takes them, and all targets."""
        movable = self.movable
        before = {name: tensor.clone() for name, tensor in movable.rest.items()}
        point, attributes = movable.point.clone(), _attributes(movable.model)
        changing: set[str] = set()

        def put_back() -> None:
            changing.update(name for name, old in before.items() if not _same(movable.kept(name, old), old))
            movable.put({name: before[name] for name in changing})
            torch.set_rng_state(state)

        with torch.random.fork_rng(devices=[]), one_thread(), warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            state = torch.get_rng_state()
            first = self._training_pass(*some, all_targets=targets)
            draws = not torch.equal(torch.get_rng_state(), state)
            self._check_shapes(warned)
            self._check_names(before)
            self._check_point(point)
            put_back()
            evaluated = self._evaluating_pass(*others)
            put_back()
            self._check_same(first, self._training_pass(*some), attributes)
            put_back()
            self._check_same(evaluated, self._evaluating_pass(*others), attributes)
            least = self._least(some[0])
            put_back()
        return Findings(tuple(sorted(changing)), draws, least)

    def _training_pass(self, inputs: Tensor, targets: Tensor, all_targets: Sequence[Tensor] = ()) -> Tensor:
        """The loss and its gradient, in one vector."""
        outputs = self._outputs(inputs)
        for each in all_targets:
            self._check_classes(outputs, each)
        value = self._value(outputs, targets)
        with blaming(f"{self._name} with {self._loss_name} has no gradient"):
            pieces = torch.autograd.grad(value, self.movable.parameters, materialize_grads=True)
        return torch.cat([each.detach().reshape(-1) for each in (value, *pieces)])

    def _evaluating_pass(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """The loss, as it is evaluated."""
        with evaluating(self.movable.model):
            outputs = self._outputs(inputs)
            value = self._value(outputs, targets)
            if self.classification:
                self._check_scores(outputs, targets)
        return value.clone()

    def _outputs(self, inputs: Tensor) -> Any:
        integers = "" if inputs.is_floating_point() else "; inputs that are integers are given to it as such"
        with blaming(f"{self._name} fails on inputs of {described(inputs)}{integers}"):
            return self.movable.model(inputs)

    def _value(self, outputs: Any, targets: Tensor) -> Tensor:
        given = f"what {self._name} gives, {_described(outputs)}, and targets of {described(targets)}"
        if not targets.is_floating_point():
            given += f", from {int(targets.min())} to {int(targets.max())}"
        with blaming(f"{self._loss_name} fails on {given}"):
            value = self.loss(outputs, targets)
        if not isinstance(value, Tensor) or value.ndim or not value.is_floating_point():
            raise UsageError(
                f"{self._loss_name} gives {_described(value)}; it must give one number, the mean over the batch"
            )
        return value

    def _check_classes(self, outputs: Any, targets: Tensor) -> None:
        """Refuse targets that are no class of the model."""
        usual = self.loss in (cross_entropy, nll_loss) and isinstance(outputs, Tensor) and outputs.ndim > 1
        if not usual or targets.is_floating_point():
            return
        counted, classes = targets[targets != IGNORED], outputs.shape[1]
        if counted.numel() and not 0 <= int(counted.min()) <= int(counted.max()) < classes:
            raise UsageError(
                f"targets are {int(counted.min())}..{int(counted.max())}, {self._name} has {classes} outputs: "
                f"they must be 0..{classes - 1}"
            )

    def _check_scores(self, outputs: Any, targets: Tensor) -> None:
        """Refuse outputs from which no class can be taken."""
        if isinstance(outputs, Tensor) and outputs.ndim > 1 and outputs.select(1, 0).shape == targets.shape:
            return
        raise UsageError(
            f"{self._name} gives {_described(outputs)}, for targets of {described(targets)}; integer targets mean "
            f"classification, for which it must give one tensor of scores, with the classes along dimension 1"
        )

    def _check_shapes(self, warned: Sequence[warnings.WarningMessage]) -> None:
        """Refuse what torch only warns of: that every output is compared with every target."""
        for each in warned:
            text = " ".join(str(each.message).split())
            if "Using a target size" in text:
                raise UsageError(f"{self._loss_name}: outputs and targets must be of one shape. {text}")

    def _check_names(self, before: Collection[str]) -> None:
        """Refuse buffers that a pass makes."""
        for name in set(dict(self.movable.model.named_buffers())) - set(before):
            raise UsageError(f"{self._name}: a forward pass makes the buffer {name}; it must be there from the start")

    def _check_point(self, point: Tensor) -> None:
        """Refuse parameters that a pass changes, and tensors computed from them that it does not compute anew."""
        layout = {id(p): name for name, p in self.movable.model.named_parameters()}
        old = torch.split(point, [p.numel() for p in self.movable.parameters])
        for parameter, before in zip(self.movable.parameters, old, strict=True):
            if not _same(parameter.detach().reshape(-1), before):
                raise UsageError(
                    f"{self._name}: a forward pass changes the parameter {layout[id(parameter)]} (max_norm?), which "
                    f"only training may change"
                )
        for name in self.derived:
            owner, _, leaf = name.rpartition(".")
            value = getattr(self.movable.model.get_submodule(owner), leaf)
            if isinstance(value, Tensor) and not value.requires_grad:
                raise UsageError(
                    f"{self._name}: {name} was computed from parameters when it was made, and is not computed anew "
                    f"in a forward pass, so it would not follow them"
                )

    def _check_same(self, first: Tensor, second: Tensor, attributes: dict[str, Any]) -> None:
        """Refuse a model that remembers its passes otherwise than in buffers."""
        if _same(first, second):
            return
        changed = [
            name for name, value in _attributes(self.movable.model).items() if not _same(attributes.get(name), value)
        ]
        what = (
            f"what it keeps in {', '.join(changed)} is no buffer (see register_buffer)"
            if changed
            else ("it may keep what is no buffer, or draw random numbers from elsewhere than torch's global generator")
        )
        raise UsageError(
            f"{self._name} gives another loss when it is given the same inputs again: {what}, so the run would depend "
            f"on which nodes share a process"
        )

    def _least(self, inputs: Tensor) -> int:
        """2 if it normalises over a batch, and cannot do so with one example."""
        if not any(isinstance(module, _BatchNorm) for module in self.movable.model.modules()):
            return 1
        try:
            with torch.no_grad():
                self.movable.model(inputs[:1])
        except ValueError:
            return 2
        return 1


def give_shapes(model: nn.Module, inputs: Tensor) -> None:
    """Let the lazy parameters of a model, if it has any, get their shapes from some of these inputs."""
    if any(is_lazy(each) for each in (*model.parameters(), *model.buffers())):
        some = inputs[:2].float() if inputs.is_floating_point() else inputs[:2]
        name = f"the model {type(model).__name__}"
        model.eval()  # so that running statistics stay as they are
        with blaming(f"{name} fails on inputs of {described(some)}"), torch.no_grad():
            model(some)


def cut(held_out: Tensor, equal: bool) -> Sequence[Tensor]:
    """What is evaluated at once: equal parts where a part decides on the outputs; and never one example alone."""
    count = len(held_out)
    if equal or count % EVALUATED_AT_ONCE == 1:
        return held_out.tensor_split(-(-count // EVALUATED_AT_ONCE))
    return held_out.split(EVALUATED_AT_ONCE)


def few(targets: Tensor) -> list[int]:
    """Few examples, those with the least and the greatest target (m, ...) among them."""
    flat = targets.reshape(len(targets), -1)
    extreme = [int(flat.amin(1).argmin()), int(flat.amax(1).argmax())] if flat.shape[1] else []
    return list(dict.fromkeys([*extreme, *range(min(TRIED, len(targets)))]))[:TRIED]


def _attributes(model: nn.Module) -> dict[str, Any]:
    """Copies of what its modules keep in plain attributes, by name."""
    usual, kept = vars(nn.Module()), {}
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if name not in usual and isinstance(value, Tensor | int | float | str | list | tuple | dict | None):
                kept[f"{path}.{name}".lstrip(".")] = _copy(value)
    return kept


def _copy(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    try:
        return copy.deepcopy(value)
    except Exception:  # whatever its items raise that cannot be copied
        return None


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and torch.equal(one.detach().nan_to_num(), other.detach().nan_to_num())
    try:
        return bool(one == other)
    except Exception:  # whatever a comparison of its items raises
        return False


def _described(value: Any) -> str:
    return described(value) if isinstance(value, Tensor) else f"a {type(value).__name__}"
