"""What a few lines of torch make of compression operators: the decoded vector or its kept entries, nothing packed.

They are yardsticks of time. Their random numbers are torch's, and what they compute is the operator's in law.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from algorithms import Compressor

Form = Callable[[Tensor], object]


def torch_form(compressor: Compressor) -> Form | None:
    """A vector (d,) -> what it is compressed to; None where it takes more than a few lines."""
    make = FORMS.get(type(compressor).__name__)
    return None if make is None else make(compressor)


def _identity(operator: Any) -> Form:
    return torch.clone


def _top_k(operator: Any) -> Form:
    def form(x: Tensor) -> object:
        kept = x.abs().topk(operator.kept(len(x)), sorted=False).indices
        return kept, x[kept]

    return form


def _random_k(operator: Any) -> Form:
    def form(x: Tensor) -> object:
        kept = torch.randperm(len(x))[: operator.kept(len(x))]
        return kept, x[kept]

    return form


def _scaled_sign(operator: Any) -> Form:
    return lambda x: _by_bucket(lambda rows: rows.sign() * rows.abs().mean(1, keepdim=True), x, operator.bucket)


def _qsgd(operator: Any) -> Form:
    def levels(rows: Tensor) -> Tensor:
        norms = rows.abs().amax(1, keepdim=True) if operator.norm == "max" else rows.norm(dim=1, keepdim=True)
        return _rounded(rows, norms, operator.levels)

    return lambda x: _by_bucket(levels, x, operator.bucket)


def _contraction(operator: Any) -> Form | None:
    inner = torch_form(operator.compressor)
    return inner  # the scale is applied by the receiver


def _rounded(rows: Tensor, norms: Tensor, s: int) -> Tensor:
    """Multiples of norm / s next to the entries, at random."""
    levels = (rows.abs() / norms * s + torch.rand_like(rows)).floor()
    return rows.sign() * levels * (norms / s)


def _by_bucket(form: Callable[[Tensor], Tensor], x: Tensor, bucket: int | None) -> object:
    """A form of rows, applied to the buckets of a vector; the last one may be shorter."""
    size = min(bucket or len(x), len(x))
    whole = len(x) - len(x) % size
    rest = [form(x[None, whole:])] if whole < len(x) else []
    return [form(x[:whole].unflatten(0, (-1, size))), *rest]


FORMS: dict[str, Callable[[Any], Form | None]] = {
    "Contraction": _contraction,
    "Identity": _identity,
    "QSGD": _qsgd,
    "RandomK": _random_k,
    "ScaledSign": _scaled_sign,
    "TopK": _top_k,
}
