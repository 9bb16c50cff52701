"""Errors that a user can do something about. Each says so in one line and has its own exit code."""

from __future__ import annotations

import sys
from contextlib import suppress


class GossipError(Exception):
    """Raised alike on every rank, so that each can leave in an orderly way and rank 0 can speak for all."""

    exit_code = 1


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


def explained(error: Exception) -> GossipError:
    """What went wrong as an error for the user: ValueError is wrong usage, OSError and ImportError are data."""
    if isinstance(error, GossipError):
        return error
    kind = UsageError if isinstance(error, ValueError) else DataError
    return kind(" ".join(str(error).split()))


def say(text: str) -> None:
    """Print to standard error in one piece: lines of several ranks must not run into each other."""
    with suppress(OSError, ValueError, AttributeError):  # a stream that is full, broken, or closed from the beginning
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
