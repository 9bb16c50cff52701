"""Where in code that is neither this project's nor a library's an exception came up."""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

PROJECT = ("gossip", "algorithms", "topologies")
LIBRARIES = frozenset(
    "torch functorch numpy scipy networkx numba llvmlite mpi4py jsonargparse yaml rich sklearn mlxtend safetensors "
    "xxhash constriction matplotlib pytest _pytest pluggy".split()
)


def own_line(error: BaseException) -> str | None:
    """ "file:line in function" of the innermost line of a user's own code that an exception, or what it was made of,
    passed; None if of none."""
    at: BaseException | None = error
    while at is not None:
        for frame, line in reversed(list(traceback.walk_tb(at.__traceback__))):
            if _is_own(frame):
                return f"{_place(frame.f_code.co_filename, line)} in {frame.f_code.co_qualname}"
        at = at.__cause__ or at.__context__
    return None


def of_own_class(error: BaseException) -> bool:
    """Whether a user's own code that this project called has raised it; not one of the kinds that the project has."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    called = bool(frames) and _top(frames[0]) in PROJECT and any(map(_is_own, frames))
    return called and type(error).__module__.split(".")[0] not in PROJECT


def is_of_project(error: BaseException) -> bool:
    """Whether this project's own code raised it, or what it was made of, whose messages stand for themselves."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(frames) and _top(frames[-1]) in PROJECT


def reason(error: BaseException, called: Callable[..., Any] | None = None) -> str:
    """What an exception says, in one line, with its kind and the user's own line.

    Args:
        error: The exception.
        called: What was called, to be named where the exception came up in none of the user's lines.
    """
    text = " ".join(str(error).split())
    place = own_line(error) or (called and _definition(called))
    return f"{type(error).__name__}{f': {text}' if text else ''}{f' ({place})' if place else ''}"


def _is_own(frame: FrameType) -> bool:
    top = _top(frame)
    return top not in PROJECT and top not in LIBRARIES and top not in sys.stdlib_module_names


def _top(frame: FrameType) -> str:
    """The package of a frame. A command that Python runs with -m is named by its package alone."""
    name = str(frame.f_globals.get("__name__", ""))
    return (str(frame.f_globals.get("__package__") or name) if name == "__main__" else name).split(".")[0]


def _definition(called: Callable[..., Any]) -> str | None:
    """Where it is defined, if that is in the user's own code."""
    function = called.__init__ if inspect.isclass(called) else called
    code = getattr(inspect.unwrap(function), "__code__", None)
    top = (getattr(called, "__module__", None) or "").split(".")[0]
    if code is None or top in PROJECT or top in LIBRARIES or top in sys.stdlib_module_names:
        return None
    return _place(code.co_filename, code.co_firstlineno)


def _place(file: str, line: int) -> str:
    here = os.path.relpath(file) if os.path.isabs(file) else file
    return f"{file if here.startswith('..') else here}:{line}"
