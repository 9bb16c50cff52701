"""Somebody who wants to know how long parts of an algorithm take, if a run says so: nobody otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Protocol


class Watcher(Protocol):
    """Who is told; `gossip.spans.Spans` are."""

    def span(self, name: str, category: str) -> AbstractContextManager[object]:
        """Something of this name and kind takes as long as the context lasts."""


_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """What is done meanwhile, in this thread, is told."""
    before = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(before)


def span(name: str, category: str) -> AbstractContextManager[object]:
    """The context of a part that may be of interest."""
    watcher = _watcher.get()
    return nullcontext() if watcher is None else watcher.span(name, category)
