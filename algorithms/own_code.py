"""Where in code that is neither this project's nor a library's an exception came up."""

from __future__ import annotations

import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable
from operator import attrgetter
from types import FrameType
from typing import Any

PROJECT = ("gossip", "algorithms", "topologies")
LIBRARIES = frozenset(
    "torch functorch numpy scipy networkx numba llvmlite mpi4py jsonargparse yaml rich sklearn mlxtend safetensors "
    "xxhash constriction matplotlib pytest _pytest pluggy".split()
)


def own_line(error: BaseException, called: Callable[..., Any] | None = None) -> str | None:
    """ "file:line in function" of the innermost line of a user's own code that an exception, or what it was made of,
    passed; or "file:line" of the class or function of theirs that could not be called so, of each where several have
    its name. None if of none.

    Args:
        error: The exception.
        called: What was called, if that is known.
    """
    at: BaseException | None = error
    while at is not None:
        for frame, line in reversed(list(traceback.walk_tb(at.__traceback__))):
            if _is_own(frame):
                return f"{_place(frame.f_code.co_filename, line)} in {frame.f_code.co_qualname}"
        unfit = _unfit(at, called)
        if unfit:
            return " or ".join(sorted(unfit))
        at = at.__cause__ or at.__context__
    return None


def of_own_class(error: BaseException) -> bool:
    """Whether a user's own code that this project called has raised it; not one of the kinds that the project has."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    called = bool(frames) and _top(frames[0]) in PROJECT
    own = any(map(_is_own, frames)) or bool(_unfit(error))
    return called and own and type(error).__module__.split(".")[0] not in PROJECT


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
    text = " ".join(str(error).split()) or _lacking(error)
    place = own_line(error, called) or (called and _definition(called))
    return f"{type(error).__name__}{f': {text}' if text else ''}{f' ({place})' if place else ''}"


def _is_own(frame: FrameType) -> bool:
    return _is_own_module(_top(frame))


def _is_own_module(name: str) -> bool:
    top = name.split(".")[0]
    return top not in PROJECT and top not in LIBRARIES and top not in sys.stdlib_module_names


def _unfit(error: BaseException, called: Callable[..., Any] | None = None) -> set[str]:
    """Where the class or function of a user's own is that lacks what it was asked for, or takes other arguments.

    Python names what takes other arguments without its module, so that there may be several of that name.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    signature = re.match(r"([\w.]+)\(\) (got|takes|missing)", str(error)) if isinstance(error, TypeError) else None
    unfit: list[Any] = []
    if isinstance(error, AttributeError) and error.obj is not None:
        unfit = [type(error.obj)]
    elif isinstance(error, NotImplementedError) and frames and "self" in frames[-1].f_locals:
        unfit = [type(frames[-1].f_locals["self"])]
    elif signature is not None and signature[1].removesuffix(".__init__") == getattr(called, "__qualname__", None):
        unfit = [called]
    elif signature is not None:
        own = [module for name, module in list(sys.modules.items()) if _is_own_module(name)]
        unfit = [each for each in (_attribute(module, signature[1]) for module in own) if callable(each)]
    return {place for each in unfit if (place := _definition(each)) is not None}


def _lacking(error: BaseException) -> str:
    """What a class of a user's own does not have of its own, in words; "" if nothing is known of that."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if isinstance(error, NotImplementedError) and frames and "self" in frames[-1].f_locals:
        return f"{type(frames[-1].f_locals['self']).__name__} has no {frames[-1].f_code.co_name} of its own"
    return ""


def _attribute(owner: Any, path: str) -> Any:
    try:
        return attrgetter(path)(owner)
    except AttributeError:
        return None


def _top(frame: FrameType) -> str:
    """The package of a frame. A command that Python runs with -m is named by its package alone."""
    name = str(frame.f_globals.get("__name__", ""))
    return (str(frame.f_globals.get("__package__") or name) if name == "__main__" else name).split(".")[0]


def _definition(called: Callable[..., Any]) -> str | None:
    """Where a class or function is defined, if that is in the user's own code."""
    if not _is_own_module(getattr(called, "__module__", None) or "builtins"):
        return None
    try:
        file, (_, line) = inspect.getsourcefile(inspect.unwrap(called)), inspect.getsourcelines(called)
    except (OSError, TypeError):
        return None
    return None if file is None else _place(file, max(line, 1))


def _place(file: str, line: int) -> str:
    here = os.path.relpath(file) if os.path.isabs(file) else file
    return f"{file if here.startswith('..') else here}:{line}"
