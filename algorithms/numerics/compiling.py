"""Compiling loops with numba, and keeping what was compiled for later processes where that can be kept.

Imported by what compiles loops alone: numba is heavy.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache


class _Kept(FunctionCache):
    """What was compiled, in files. A file that cannot be read or written costs the time to compile, and no more."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # of a damaged file, anything: it holds pickled objects
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:  # the disk is full, as a rule
            _warn(f"numba cannot keep compiled code in {self.cache_path} ({error.strerror})")


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function when it is first called; other threads run meanwhile.

    Code and home of a user may both be read-only, as in a container. Then each process compiles for itself.
    """
    dispatcher = njit(nogil=True)(function)
    try:
        dispatcher._cache = _Kept(function)  # as njit(cache=True) does it
    except RuntimeError:  # there is no folder
        _warn("numba can keep compiled code nowhere")
    return dispatcher


def cache_folder() -> Path | None:
    """Where compiled code is kept; None if that is nowhere."""
    try:
        return Path(FunctionCache(_warn.__wrapped__).cache_path)
    except RuntimeError:
        return None


@cache
def _warn(what: str) -> None:
    warnings.warn(
        f"{what}: every process compiles anew, which takes seconds; set NUMBA_CACHE_DIR to a folder that can be "
        f"written",
        RuntimeWarning,
        stacklevel=3,
    )
