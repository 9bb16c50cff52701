"""What a few lines of torch make of compression operators: the decoded vector or its kept entries, nothing packed.

They are yardsticks of time. Their random numbers are torch's, and what they compute is the operator's in law.
"""

from __future__ import annotations

import math
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


def _infinity_norm(operator: Any) -> Form:
    def levels(rows: Tensor) -> Tensor:
        return _rounded(rows, rows.abs().amax(1, keepdim=True), 2 ** (operator.bits - 1))

    return lambda x: _by_bucket(levels, x, operator.bucket)


def _tern_grad(operator: Any) -> Form | None:
    def signs(rows: Tensor) -> Tensor:
        return _rounded(rows, rows.abs().amax(1, keepdim=True), 1)

    return None if operator.clip is not None else lambda x: _by_bucket(signs, x, operator.bucket)


def _natural_compression(operator: Any) -> Form:
    def form(x: Tensor) -> object:
        mantissa, exponent = x.frexp()  # x = mantissa 2^exponent, 1/2 <= |mantissa| < 1
        up = torch.rand_like(x) < 2 * mantissa.abs() - 1
        return torch.ldexp(x.sign(), exponent - 1 + up)

    return form


def _exponential_dithering(operator: Any) -> Form | None:
    """Levels 0, b^(1 - s), ..., 1/b, 1."""
    base, s = getattr(operator, "base", 2.0), operator.levels
    least = base ** (1 - s)

    def levels(rows: Tensor) -> Tensor:
        norms = rows.abs().amax(1, keepdim=True) if operator.norm == "max" else rows.norm(dim=1, keepdim=True)
        sizes = rows.abs() / norms
        below = torch.pow(base, (sizes.log() / math.log(base)).floor())
        below = torch.where(sizes < least, 0, below)
        step = torch.where(sizes < least, least, (base - 1) * below)
        up = torch.rand_like(sizes) * step < sizes - below
        return rows.sign() * (below + up * step) * norms

    if operator.norm not in ("l2", "max"):
        return None
    return lambda x: _by_bucket(levels, x, operator.bucket)


def _float(operator: Any) -> Form:
    return lambda x: x.to(getattr(torch, operator.format))


def _one_bit(operator: Any) -> Form:
    def means(rows: Tensor) -> Tensor:
        above = rows >= 0
        high = (rows * above).sum(1, keepdim=True) / above.sum(1, keepdim=True)
        low = (rows * ~above).sum(1, keepdim=True) / (~above).sum(1, keepdim=True)
        return torch.where(above, high, low)

    return lambda x: _by_bucket(means, x, operator.bucket)


def _threshold(operator: Any) -> Form:
    def form(x: Tensor) -> object:
        kept = (x.abs() >= operator.threshold).nonzero()[:, 0]
        return kept, x[kept]

    return form


def _sign_top_k(operator: Any) -> Form:
    def form(x: Tensor) -> object:
        kept = x.abs().topk(operator.kept(len(x)), sorted=False).indices
        values = x[kept]
        return kept, values.sign() * values.abs().mean()

    return form


def _contraction(operator: Any) -> Form | None:
    return torch_form(operator.compressor)  # the scale is applied by the receiver


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
    "ExponentialDithering": _exponential_dithering,
    "Float": _float,
    "Identity": _identity,
    "InfinityNorm": _infinity_norm,
    "NaturalCompression": _natural_compression,
    "NaturalDithering": _exponential_dithering,
    "OneBit": _one_bit,
    "QSGD": _qsgd,
    "RandomK": _random_k,
    "ScaledSign": _scaled_sign,
    "SignTopK": _sign_top_k,
    "TernGrad": _tern_grad,
    "Threshold": _threshold,
    "TopK": _top_k,
}
