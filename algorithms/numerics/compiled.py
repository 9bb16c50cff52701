"""When loops are compiled: where there is so much to work on that it pays to load them.

Compiled loops give the bits of the plain operations beside them, faster, but numba must be loaded for them once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor

COMPILED = 1 << 18
"""Bytes from which compiled loops are used."""

_whole: ContextVar[int] = ContextVar("bytes of the whole", default=0)


@contextmanager
def parts_of(nbytes: int) -> Iterator[None]:
    """Loops inside work on parts of so many bytes: they are compiled where the whole is large, however small a part is.

    Only speed depends on it. With `parts_of(COMPILED)` all loops inside are compiled.
    """
    token = _whole.set(max(nbytes, _whole.get()))
    try:
        yield
    finally:
        _whole.reset(token)


def use_compiled(nbytes: int) -> bool:
    """Whether a loop over so many bytes is to be compiled: if they are at least `COMPILED`, or parts of so many."""
    return max(nbytes, _whole.get()) >= COMPILED


def compiles(x: Tensor) -> bool:
    """Whether a loop over this tensor is to be compiled: not on an accelerator, else as `use_compiled` says."""
    return x.is_cpu and use_compiled(x.nbytes)
