"""Vectors in double precision, far from the ends of its range."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.checks import NonFiniteError
from algorithms.compressors.compressor import Compressor

Array = NDArray[Any]


def lift(x: Array) -> tuple[Array, Array]:
    """(the rows (..., n) in double precision times powers of two, exponents (..., 1) that undo this).

    The largest magnitude of a row comes to lie in [1/2, 1), unless all is zero.
    """
    vectors = x.astype(np.float64)
    exponents = np.frexp(np.abs(vectors).max(axis=-1, keepdims=True))[1]
    return np.ldexp(vectors, -exponents), exponents


def drop(numbers: Array, exponents: Array, x: Tensor, owner: object) -> Tensor:
    """Numbers times 2^exponents in the precision of x.

    Raises:
        NonFiniteError: if they are beyond it.
    """
    with np.errstate(over="ignore"):
        return finite(torch.from_numpy(np.ldexp(numbers, exponents)).to(x.dtype), owner)


def decodable(payload: Tensor, x: Tensor, owner: Compressor) -> Tensor:
    """The payload of x, tried where x is so large that what is decoded might overflow though x does not.

    Raises:
        NonFiniteError: if it does.
    """
    growth = float(len(x)) ** 2 * (1 + (owner.omega(len(x)) if not owner.biased else 0))
    if float(x.abs().max()) > torch.finfo(x.dtype).max / growth:
        try_decoding(payload, x, owner)
    return payload


def try_decoding(payload: Tensor, x: Tensor, owner: Compressor) -> None:
    """Raise NonFiniteError if what is decoded of the payload of x is beyond its precision, and so refused."""
    try:
        owner.decode(payload.cpu(), torch.empty_like(x))
    except ValueError:
        raise NonFiniteError(f"{type(owner).__name__}: what the vector becomes is beyond its precision") from None


def finite(numbers: Tensor, owner: object) -> Tensor:
    """These numbers.

    Raises:
        NonFiniteError: unless they are finite.
    """
    if not numbers.isfinite().all():
        raise NonFiniteError(f"{type(owner).__name__}: what stands for the vector to compress is beyond its precision")
    return numbers
