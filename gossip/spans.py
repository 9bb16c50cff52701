"""What a run tells of how long its parts take, to whoever wants a timeline of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import wraps
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

DOING = 0  # lane of what a rank does; for rank r it waits in lane r + 1


class Spans(Protocol):
    """Somebody who is told what begins and ends when."""

    def span(self, name: str, category: str, lane: int = DOING) -> AbstractContextManager[object]:
        """Something that takes as long as the context lasts.

        Args:
            name: What it is, in a few words.
            category: "compute", "compress", "copy" or "wait".
            lane: Where it belongs: `DOING`, or r + 1 for a wait for rank r.
        """


class _Nothing:
    """The context of what nobody wants to know of."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass


class NoSpans:
    """Nobody, who is told nothing."""

    _nothing = _Nothing()

    def span(self, name: str, category: str, lane: int = DOING) -> AbstractContextManager[object]:
        """See `Spans`."""
        return self._nothing


NO_SPANS = NoSpans()


def timed(spans: Spans, function: Callable[P, R], name: str, category: str) -> Callable[P, R]:
    """A function that tells of each call; where nobody listens the function itself, which costs nothing."""
    if spans is NO_SPANS:
        return function

    @wraps(function)
    def telling(*arguments: P.args, **options: P.kwargs) -> R:
        with spans.span(name, category):
            return function(*arguments, **options)

    return telling


def telling_for_whom(
    spans: Spans, done: Callable[[], bool], awaited: Callable[[], Sequence[int]] | None
) -> Callable[[], bool]:
    """A condition that somebody polls, which tells how long each rank is waited for, in the rank's own lane.

    Args:
        spans: Who is told.
        done: Whether the wait is over.
        awaited: Says which ranks are still waited for, where that can be told.
    """
    waits: dict[int | None, ExitStack] = {}

    def begin(rank: int | None) -> None:
        waits[rank] = ExitStack()
        name, lane = ("wait for all", DOING) if rank is None else (f"wait for rank {rank}", rank + 1)
        waits[rank].enter_context(spans.span(name, "wait", lane))

    for rank in [None] if awaited is None else awaited():
        begin(rank)

    def look() -> bool:
        finished = done()
        still: Sequence[int | None] = () if finished else [None] if awaited is None else awaited()
        for rank in waits.keys() - set(still):
            waits.pop(rank).close()
        for rank in still:
            if rank not in waits:
                begin(rank)
        return finished

    return look
