"""Any optimizer of torch.optim, or of another package in its form, by import path."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from torch import Tensor

from algorithms.checks import check
from algorithms.imports import imported
from algorithms.layout import Layout
from algorithms.numerics.threads import side_by_side
from algorithms.optimizers.optimizer import LocalOptimizer
from algorithms.state import Block


@dataclass
class TorchMemory(Block):
    """What the optimizers remember.

    Attributes:
        kept: Number of the tensor -> name in its optimizer's state -> (k) values, one for each local node; empty before
            the first update.
    """

    kept: dict[str, dict[str, list[Any]]]


@dataclass(frozen=True)
class TorchOptimizer(LocalOptimizer[TorchMemory]):
    """Any optimizer of torch.optim, or of another package in its form, by import path.

    Its learning rate is the algorithm's. What the optimizer would change is the move of the parameters. Each node has
    one of its own, with parameters of the model's shapes, which no other node's bits depend on; they take their steps
    one after another, so that rules of this package are faster where a process hosts many nodes.

    Args:
        name: Import path of the class, such as "torch.optim.RMSprop".
        args: Further keyword arguments for it.
        shapes: Of the tensors, in order. A run fills in those of its model; without, a vector is one tensor.
    """

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)
    shapes: tuple[tuple[int, ...], ...] | None = None

    def __post_init__(self) -> None:
        kind = imported(self, "name")
        known = isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer)
        check(known, self, "name", "the import path of a class derived from torch.optim.Optimizer")
        closure = inspect.signature(kind.step).parameters.get("closure")
        check(closure is None or closure.default is None, self, "name", "a class whose step needs no closure")
        check("lr" not in self.args, self, "args", "without lr, which is the algorithm's")
        self._made([torch.zeros(1, 1)], lr=1.0)

    @property
    def by_rows(self) -> bool:
        return False  # what an optimizer keeps, by name, is known by its first update

    def for_layout(self, layout: Layout) -> Self:
        return replace(self, shapes=tuple(tuple(shape) for shape in layout.shapes.values()))

    def start(self, x: Tensor) -> TorchMemory:
        self._made(self._tensors(x[0]), lr=1.0)  # with these shapes too?
        return TorchMemory({})

    def update(self, x: Tensor, memory: TorchMemory, gradient: Tensor, lr: float) -> tuple[float, Tensor]:
        new, slope = x.clone(), gradient.clone()
        kept: list[list[dict[str, Any]]] = [[] for _ in new]

        def step(first: int, last: int) -> None:
            for row in range(first, last):
                kept[row] = self._step(memory, row, new[row], slope[row], lr)

        side_by_side(step, len(new))
        memory.kept = {
            str(i): {key: [of_row[i][key] for of_row in kept] for key in of_tensor}
            for i, of_tensor in enumerate(kept[0])
        }
        return 1.0, new.sub_(x)

    def _step(self, memory: TorchMemory, row: int, x: Tensor, gradient: Tensor, lr: float) -> list[dict[str, Any]]:
        """Move x (d,) by the optimizer of this row; what it keeps for each tensor."""
        parameters = self._tensors(x)
        for parameter, slope in zip(parameters, self._tensors(gradient), strict=True):
            parameter.grad = slope
        optimizer = self._made(parameters, lr)
        for i, parameter in enumerate(parameters if memory.kept else ()):
            optimizer.state[parameter] = {key: rows[row] for key, rows in memory.kept[str(i)].items()}
        optimizer.step()
        kept = [dict(optimizer.state[parameter]) for parameter in parameters]
        return [{key: value for key, value in each.items() if value is not None} for each in kept]

    def _tensors(self, x: Tensor) -> list[Tensor]:
        """The tensors in x (d,), which are views of it."""
        if self.shapes is None:
            return [x.detach()]
        return list(Layout({str(i): shape for i, shape in enumerate(self.shapes)}).unflatten(x.detach()).values())

    def _made(self, parameters: list[Tensor], lr: float) -> torch.optim.Optimizer:
        try:
            made: torch.optim.Optimizer = imported(self, "name")(parameters, lr=lr, **self.args)
        except (TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"TorchOptimizer: {self.name} cannot be made with these args: {reason}") from error
        return made
