"""Errors that a user can do something about. Each says so in one line and has its own exit code."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar


class GossipError(Exception):
    """Raised alike on every rank, so that each can leave in an orderly way and rank 0 can speak for all.

    Attributes:
        trace: Where it came up, as Python prints it, if that was in a user's own code; for those who ask for it.
    """

    exit_code = 1
    trace = ""


class UsageError(GossipError, ValueError):
    """Options or arguments that cannot be run."""

    exit_code = 2


class DataError(GossipError):
    """Input that cannot be read or output that cannot be written."""

    exit_code = 3


class DivergedError(GossipError, ArithmeticError):
    """The run produced a loss that is NaN or infinite."""

    exit_code = 4


class PreemptedError(GossipError):
    """The run has been told to stop, has written a checkpoint, and can go on from there.

    Its exit code is 75, EX_TEMPFAIL of sysexits.h: try again later; or 130 if a person has interrupted it.
    """

    exit_code = 75


Error = TypeVar("Error", bound=GossipError)


class OwnCodeError(Exception):
    """What a user's own code has raised on this rank, and maybe on others, in one line; it ends the job.

    Args:
        error: The same as an error that is raised alike on all ranks.
        trace: Where it came up, as Python prints it; "" not to show that.
    """

    exit_code = UsageError.exit_code

    def __init__(self, error: UsageError, trace: str) -> None:
        super().__init__(str(error))
        self.trace = trace


def explained(error: Exception) -> GossipError:
    """What went wrong as an error for the user: ValueError is wrong usage, OSError and ImportError are data.

    One that was raised in a user's own code says where.
    """
    from algorithms.own_code import is_of_project, own_line

    if isinstance(error, GossipError):
        return error
    kind = UsageError if isinstance(error, ValueError) else DataError
    place = None if is_of_project(error) else own_line(error)
    return traced(kind(" ".join(str(error).split()) + (f" ({place})" if place else "")), error if place else None)


def of_own_code(error: Exception) -> UsageError | None:
    """What a class of the user's own, called by this project, has raised, as an error for the user; else None."""
    from algorithms.own_code import of_own_class, reason

    return traced(UsageError(reason(error)), error) if of_own_class(error) else None


@contextmanager
def blaming(what: str, called: Callable[..., Any] | None = None) -> Iterator[None]:
    """Whatever a user's own code raises within becomes an error for the user, in one line.

    Args:
        what: What was done, and with what; the line begins with this.
        called: What is called, if it is one class or function.

    Raises:
        DataError: A file could not be read.
        UsageError: Anything else was raised.
    """
    from algorithms.own_code import is_of_project, reason

    try:
        yield
    except GossipError:
        raise
    except Exception as error:
        if isinstance(error, ValueError) and is_of_project(error):
            raise
        kind = DataError if isinstance(error, OSError) else UsageError
        raise traced(kind(f"{what}: {reason(error, called)}"), error) from error


def traced(error: Error, cause: Exception | None) -> Error:
    """The error, with where its cause in a user's own code came up, if it has one."""
    error.trace = "" if cause is None else "".join(traceback.format_exception(cause)).rstrip()
    error.__cause__ = cause
    return error


def say(text: str) -> None:
    """Print to standard error in one piece: lines of several ranks must not run into each other."""
    with suppress(OSError, ValueError, AttributeError):  # a stream that is full, broken, or closed from the beginning
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
