"""Element-wise operations on large stacks in one pass over memory, with the bits of the plain torch operations."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from algorithms.numerics.compiled import COMPILED
from algorithms.numerics.threads import over_rows

THREADED = 1 << 22  # bytes of a stack from which several threads pay


def add_scaled(x: Tensor, c: float, y: Tensor, out: Tensor | None = None) -> Tensor:
    """x + c y, the product and the sum each rounded by itself; all tensors of the same shape and type.

    Args:
        out: Where the result goes; may be x or y. New memory by default.
    """
    if _compiles(x) and y.is_contiguous() and (out is None or out.is_contiguous()):
        from algorithms.numerics.loops import add_scaled_into

        out = torch.empty_like(x) if out is None else out
        target, first, second = (each.numpy().reshape(-1) for each in (out, x, y))
        vectors = target, first, target.dtype.type(c), second
        threads = torch.get_num_threads() if x.nbytes >= THREADED else 1
        over_rows(lambda start, stop: add_scaled_into(*vectors, start, stop), len(target), threads)
        return out
    return torch.add(x, c * y, out=out)


def squared_norms(rows: Tensor) -> Tensor:
    """|row|^2 of each row (k, d), (k,) in float64 on the CPU; one by one, so that none's bits depend on the others."""
    squares = np.empty(len(rows))
    for r, row in enumerate(rows.detach().cpu().numpy()):
        values = row.astype(np.float64, copy=False)
        squares[r] = np.einsum("d,d->", values, values)
    return torch.from_numpy(squares)


def _compiles(x: Tensor) -> bool:
    """Whether the compiled loop can do it, and pays."""
    return x.is_cpu and x.dtype in (torch.float32, torch.float64) and x.is_contiguous() and x.nbytes >= COMPILED
