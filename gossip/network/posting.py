"""What was posted and is not complete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch import Tensor

from algorithms.network import Posted
from gossip.network.plans.halo import HaloPlan
from gossip.network.transport import Exchange

Begun = TypeVar("Begun")


@dataclass(frozen=True)
class PostedExchange:
    """An exchange that was posted."""

    plan: HaloPlan
    """Of the round that posted it."""

    exchange: Exchange | None
    """None if it waits for its turn: it is begun when it is completed, as the transport has no room for more."""


class PostedQueue(Generic[Begun]):
    """What belongs to the handles that were given, in the order of posting."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Posted[Any], Begun]] = []

    def add(self, handle: Posted[Any], begun: Begun) -> None:
        """This was posted last."""
        self._waiting.append((handle, begun))

    def taken(self, handle: Posted[Any], *, in_order: bool) -> Begun | None:
        """What belongs to a handle, which is forgotten; None if the handle is not known, or no longer.

        Raises:
            ValueError: something that was posted before should have been completed first.
        """
        for i, (posted, begun) in enumerate(self._waiting):
            if posted is handle:
                if i and in_order:
                    raise ValueError("what was posted must be completed in the order of posting, and this is not next")
                del self._waiting[i]
                return begun
        return None

    def clear(self) -> list[Begun]:
        """All that is not complete, in order; it is forgotten."""
        waiting, self._waiting = self._waiting, []
        return [begun for _, begun in waiting]

    def has(self, stack: Tensor) -> bool:
        """Whether this very stack is waiting."""
        return any(posted.value is stack for posted, _ in self._waiting)

    @property
    def handles(self) -> list[Posted[Any]]:
        """Of all that is waiting."""
        return [posted for posted, _ in self._waiting]

    @property
    def begun(self) -> list[Begun]:
        """What belongs to them."""
        return [begun for _, begun in self._waiting]
