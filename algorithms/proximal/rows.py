"""What regularizers do with each row of a stack, and the checks of their weights."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from algorithms.checks import check
from algorithms.numerics.threads import side_by_side


def each_row(rule: Callable[[Tensor], Tensor], stack: Tensor) -> Tensor:
    """The stack of rule(row), (k, ...), for the rows (d,) of a stack, each by itself and on one thread."""
    rows = stack.contiguous()
    results: list[Tensor] = [rows] * len(rows)

    def work(first: int, last: int) -> None:
        for i in range(first, last):
            results[i] = rule(rows[i])

    side_by_side(work, len(rows))
    return torch.stack(results)


def soft_threshold(z: Tensor, threshold: float) -> Tensor:
    """Each entry moved towards 0 by the threshold, not beyond."""
    return z.sign() * (z.abs() - threshold).clamp(min=0)


def norms_of_rows(groups: Tensor) -> Tensor:
    """(g,): the Euclidean norm of each row of (g, p)."""
    return (groups * groups).sum(dim=1).sqrt()


def indicator(inside: bool, row: Tensor) -> Tensor:
    """(): 0 inside of a set and infinity outside, in the type of a row."""
    return row.new_tensor(0.0 if inside else math.inf)


def rounding(row: Tensor) -> float:
    """How much a sum of squares or of positive numbers may be off, relatively, by the rounding of all entries."""
    return 4 * torch.finfo(row.dtype).eps + len(row) * torch.finfo(torch.float64).eps


def check_weight(owner: object, name: str) -> None:
    """Refuse a weight of this name that is negative, infinite or NaN."""
    check(0 <= getattr(owner, name) < math.inf, owner, name, ">= 0 and finite")
