"""Regularizers r(x) with their proximal operators: the part of a composite objective that has no gradient.

    minimise (1/n) sum_i f_i(x) + r(x)        prox_{c r}(z) = argmin_y r(y) + |y - z|^2 / (2 c)

Parikh & Boyd, "Proximal Algorithms", Foundations and Trends in Optimization 1(3), 2014. A constraint is a regularizer
that is infinite outside a set; its prox is the projection, whatever c.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import prod
from typing import Literal, Self

import torch
from torch import Tensor

from algorithms.checks import check, positive
from algorithms.layout import Layout
from algorithms.numerics.threads import side_by_side

Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Proximal:
    """A convex regularizer r. Its fields are its parameters."""

    def for_layout(self, layout: Layout) -> Self:
        """This regularizer for a model of these tensors, which it may treat one by one.

        Raises:
            ValueError: if it cannot be one of such a model.
        """
        return self

    def value(self, x: Tensor) -> Tensor:
        """r at each row of x (k, d), as (k,); infinity outside its domain.

        A point that misses the domain by no more than its entries' rounding counts as inside.
        """
        raise NotImplementedError

    def prox(self, z: Tensor, step: float) -> Tensor:
        """prox_{step r} of each row of z (k, d), in new memory; no row's bits depend on the others.

        Args:
            z: (k, d).
            step: c >= 0, the learning rate of the gradient step before.
        """
        raise NotImplementedError


def check_prox(owner: object, prox: Proximal | None) -> None:
    """Refuse what is neither a regularizer nor None."""
    check(prox is None or isinstance(prox, Proximal), owner, "prox", "None, or a regularizer such as L1(weight=0.001)")


def proximal_step(prox: Proximal | None, z: Tensor, step: float) -> Tensor:
    """prox_{step r}(z), (k, d); z itself without a regularizer."""
    return z if prox is None else prox.prox(z, step)


@dataclass(frozen=True)
class L1(Proximal):
    """weight |x|_1; its prox moves each entry towards 0 by step * weight (soft threshold).

    Args:
        weight: >= 0.
    """

    weight: float = 1e-3

    def __post_init__(self) -> None:
        _check_weight(self, "weight")

    def value(self, x: Tensor) -> Tensor:
        return self.weight * _each_row(lambda row: row.abs().sum(), x)

    def prox(self, z: Tensor, step: float) -> Tensor:
        return _shrunk(z, step * self.weight)


@dataclass(frozen=True)
class ElasticNet(Proximal):
    """l1 |x|_1 + l2/2 |x|^2; its prox is a soft threshold, then a division by 1 + step * l2.

    Zou & Hastie, "Regularization and variable selection via the elastic net", JRSS B 67(2), 2005.

    Args:
        l1: Weight of |x|_1, >= 0.
        l2: Weight of half the squared norm, >= 0.
    """

    l1: float = 1e-3
    l2: float = 1e-3

    def __post_init__(self) -> None:
        _check_weight(self, "l1")
        _check_weight(self, "l2")

    def value(self, x: Tensor) -> Tensor:
        return _each_row(lambda row: self.l1 * row.abs().sum() + self.l2 / 2 * (row * row).sum(), x)

    def prox(self, z: Tensor, step: float) -> Tensor:
        return _shrunk(z, step * self.l1) / (1 + step * self.l2)


@dataclass(frozen=True)
class GroupLasso(Proximal):
    """weight sum_g sqrt(p_g) |x_g|_2 over groups g of p_g entries: whole groups become zero.

    Yuan & Lin, "Model selection and estimation in regression with grouped variables", JRSS B 68(1), 2006, with their
    factor sqrt(p_g), which makes groups of different sizes alike. The prox multiplies each group by
    max(0, 1 - step weight sqrt(p_g) / |x_g|_2).

    Args:
        weight: >= 0.
        groups: What a group is: each of the model's "tensors"; each of the "rows" of the tensors, a tensor (o, ...)
            having o of them, and one of a single dimension, such as a bias, one; or so many consecutive entries of
            the vector, >= 1, of which the length of the vector is a multiple.
        shapes: Of the tensors of the model, in order; filled in by `for_layout`, unless groups have a fixed number of
            entries.
    """

    weight: float = 1e-3
    groups: int | Literal["tensors", "rows"] = "tensors"
    shapes: Shapes | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _check_weight(self, "weight")
        named = self.groups in ("tensors", "rows")
        counted = isinstance(self.groups, int) and self.groups >= 1
        check(named or counted, self, "groups", "tensors, rows, or a number of entries >= 1")

    def for_layout(self, layout: Layout) -> Self:
        if isinstance(self.groups, int):
            self._sections(layout.d)
            return self
        return replace(self, shapes=_shapes(layout))

    def value(self, x: Tensor) -> Tensor:
        sections = self._sections(x.shape[1])

        def value(row: Tensor) -> Tensor:
            norms = [math.sqrt(group.shape[1]) * _norms(group).sum() for group in _cut(row, sections)]
            return self.weight * torch.stack(norms).sum()

        return _each_row(value, x)

    def prox(self, z: Tensor, step: float) -> Tensor:
        sections = self._sections(z.shape[1])

        def prox(row: Tensor) -> Tensor:
            return torch.cat([self._prox(group, step).flatten() for group in _cut(row, sections)])

        return _each_row(prox, z)

    def _prox(self, groups: Tensor, step: float) -> Tensor:
        """Of groups (g, p) of the same size."""
        threshold = step * self.weight * math.sqrt(groups.shape[1])
        norms = _norms(groups)
        # A group within the threshold is zero, also where both are.
        return groups * torch.where(norms > threshold, 1 - threshold / norms, 0)[:, None]

    def _sections(self, d: int) -> list[tuple[int, int]]:
        """Consecutive parts of a vector (d,), each as (number of groups, entries of each)."""
        if isinstance(self.groups, int):
            check(d % self.groups == 0, self, "groups", f"a divisor of d = {d}, the number of parameters")
            return [(d // self.groups, self.groups)]
        sections = []
        for shape in _checked(self, self.shapes, d):
            rows = shape[0] if self.groups == "rows" and len(shape) > 1 else 1
            sections.append((rows, prod(shape) // rows if rows else 0))
        return sections


@dataclass(frozen=True)
class Box(Proximal):
    """low <= x_j <= high for all entries.

    Args:
        low: The least value, possibly -inf.
        high: The greatest value, >= low, possibly inf.
    """

    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        check(self.low < math.inf, self, "low", "a number below infinity")
        check(self.low <= self.high and self.high > -math.inf, self, "high", f"a number >= low = {self.low}")

    def value(self, x: Tensor) -> Tensor:
        return _each_row(lambda row: _indicator(row.clamp(self.low, self.high).equal(row), row), x)

    def prox(self, z: Tensor, step: float) -> Tensor:
        return z.clamp(self.low, self.high)


@dataclass(frozen=True)
class NonNegative(Proximal):
    """x_j >= 0 for all entries."""

    def value(self, x: Tensor) -> Tensor:
        return _each_row(lambda row: _indicator(bool((row >= 0).all()), row), x)

    def prox(self, z: Tensor, step: float) -> Tensor:
        return z.clamp(min=0)


@dataclass(frozen=True)
class L2Ball(Proximal):
    """|x|_2 <= radius.

    Args:
        radius: > 0.
    """

    radius: float = 1.0

    def __post_init__(self) -> None:
        check(positive(self.radius), self, "radius", "> 0")

    def value(self, x: Tensor) -> Tensor:
        return _each_row(lambda row: _indicator(self._norm(row) <= self.radius * (1 + _rounding(row)), row), x)

    def prox(self, z: Tensor, step: float) -> Tensor:
        def project(row: Tensor) -> Tensor:
            norm = self._norm(row)
            return row.clone() if norm <= self.radius else (row.double() * (self.radius / norm)).to(row.dtype)

        return _each_row(project, z)

    def _norm(self, row: Tensor) -> float:
        return float(_norms(row[None].double()))


@dataclass(frozen=True)
class Simplex(Proximal):
    """x_j >= 0 with sum total: max(z - theta, 0) for the theta that gives this sum, found by sorting.

    Held, Wolfe & Crowder, "Validation of subgradient optimization", Mathematical Programming 6, 1974.

    Args:
        total: > 0.
    """

    total: float = 1.0

    def __post_init__(self) -> None:
        check(positive(self.total), self, "total", "> 0")

    def value(self, x: Tensor) -> Tensor:
        def value(row: Tensor) -> Tensor:
            excess = abs(float(row.double().sum()) - self.total)
            return _indicator(bool((row >= 0).all()) and excess <= self.total * _rounding(row), row)

        return _each_row(value, x)

    def prox(self, z: Tensor, step: float) -> Tensor:
        def project(row: Tensor) -> Tensor:
            below = row.double() - row.double().max()  # what stays positive is close to 0, so that nothing cancels
            sorted_down = below.sort(descending=True).values
            counts = torch.arange(1, len(row) + 1, device=row.device)
            thetas = (sorted_down.cumsum(0) - self.total) / counts
            support = int((sorted_down > thetas).sum())  # at least 1, for 0 > -total
            return (below - thetas[support - 1]).clamp(min=0).to(row.dtype)

        return _each_row(project, z)


@dataclass(frozen=True)
class NuclearNorm(Proximal):
    """weight times the sum of the singular values of all matrices of the model, its tensors of two dimensions.

    The prox moves each singular value towards 0 by step * weight, so that matrices become of low rank: Cai, Candès &
    Shen, "A singular value thresholding algorithm for matrix completion", SIAM J. Optim. 20(4), 2010, arXiv 0810.3286.
    Other tensors stay as they are.

    Args:
        weight: >= 0.
        shapes: Of the tensors of the model, in order; filled in by `for_layout`.
    """

    weight: float = 1e-3
    shapes: Shapes | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _check_weight(self, "weight")

    def for_layout(self, layout: Layout) -> Self:
        if all(len(shape) != 2 for shape in layout.shapes.values()):
            raise ValueError("NuclearNorm: the model has no matrix, that is, no tensor of two dimensions")
        return replace(self, shapes=_shapes(layout))

    def value(self, x: Tensor) -> Tensor:
        shapes = _checked(self, self.shapes, x.shape[1])

        def value(row: Tensor) -> Tensor:
            sums = [torch.linalg.svdvals(part).sum() for part in _tensors(row, shapes) if part.ndim == 2]
            return self.weight * torch.stack(sums).sum().to(row.dtype)

        return _each_row(value, x)

    def prox(self, z: Tensor, step: float) -> Tensor:
        shapes = _checked(self, self.shapes, z.shape[1])

        def shrink(part: Tensor) -> Tensor:
            if part.ndim != 2:
                return part
            left, singular, right = torch.linalg.svd(part, full_matrices=False)
            return (left * (singular - step * self.weight).clamp(min=0)) @ right

        return _each_row(
            lambda row: torch.cat([shrink(part).flatten() for part in _tensors(row, shapes)]).to(row.dtype), z
        )


def _each_row(rule: Callable[[Tensor], Tensor], stack: Tensor) -> Tensor:
    """The stack of rule(row), (k, ...), for the rows (d,) of a stack, each by itself and on one thread."""
    rows = stack.contiguous()
    results: list[Tensor] = [rows] * len(rows)

    def work(first: int, last: int) -> None:
        for i in range(first, last):
            results[i] = rule(rows[i])

    side_by_side(work, len(rows))
    return torch.stack(results)


def _shrunk(z: Tensor, threshold: float) -> Tensor:
    """Each entry moved towards 0 by the threshold, not beyond."""
    return z.sign() * (z.abs() - threshold).clamp(min=0)


def _norms(groups: Tensor) -> Tensor:
    """(g,): the Euclidean norm of each row of (g, p)."""
    return (groups * groups).sum(dim=1).sqrt()


def _indicator(inside: bool, row: Tensor) -> Tensor:
    """0 or infinity."""
    return row.new_tensor(0.0 if inside else math.inf)


def _rounding(row: Tensor) -> float:
    """How much a sum of squares or of positive numbers may be off, relatively, by the rounding of all entries."""
    return 4 * torch.finfo(row.dtype).eps + len(row) * torch.finfo(torch.float64).eps


def _check_weight(owner: object, name: str) -> None:
    check(0 <= getattr(owner, name) < math.inf, owner, name, ">= 0 and finite")


def _shapes(layout: Layout) -> Shapes:
    return tuple(tuple(shape) for shape in layout.shapes.values())


def _checked(owner: Proximal, shapes: Shapes | None, d: int) -> Shapes:
    """The shapes, if the vector (d,) consists of such tensors."""
    if shapes is None:
        raise ValueError(f"{type(owner).__name__} needs the model's tensors: give it their layout by on(layout)")
    held = sum(map(prod, shapes))
    if held != d:
        raise ValueError(f"{type(owner).__name__}: shapes hold {held} parameters, the vector {d}")
    return shapes


def _cut(row: Tensor, sections: list[tuple[int, int]]) -> list[Tensor]:
    """The parts of a vector as matrices of so many rows and columns."""
    parts = row.split([rows * columns for rows, columns in sections])
    return [part.view(section) for part, section in zip(parts, sections, strict=True)]


def _tensors(row: Tensor, shapes: Shapes) -> list[Tensor]:
    """The tensors in a vector, in double precision and in memory of their own, whose alignment is always the same."""
    parts = row.split([prod(shape) for shape in shapes])
    copies = [part.to(torch.float64, copy=True) for part in parts]
    return [part.view(shape) for part, shape in zip(copies, shapes, strict=True)]
