"""How ranks come to do something between the same two steps that only some of them know the reason for.

A rank that has been sent a signal, or whose clock says that it is time, cannot know how far the others are. So each
rank posts what it knows to a reduction over all of them, goes on training, and looks at the outcome some steps later,
where the next reduction begins. All ranks see the same outcomes at the same steps. How many steps lie between two of
them is agreed in the same way, from the time that steps take: so much that reductions cost next to nothing, and no
more than it takes to act in time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from gossip.network import Communicator

INTERVAL = 0.25  # seconds from one look to the next
GROWTH = 4  # by which factor the number of steps in between may grow at once


class Agreement:
    """Numbers whose maximum over all ranks becomes known to all of them between the same two steps. Collective.

    Args:
        processes: The ranks.
        step: The first step.
        ask: What this rank knows: numbers, the same count every time.
    """

    def __init__(self, processes: Communicator, step: int, ask: Callable[[], Sequence[float]]) -> None:
        self._processes = processes
        self._ask = ask
        self._seen = time.monotonic()
        self._last = step
        self._next = step + 1
        self._outcome = self._post(1, 0.0)

    def at(self, step: int) -> list[float] | None:
        """The maxima as they were some steps ago, if they have become known before this step; to be called before each.

        What is asked meanwhile counts for the next ones.
        """
        if step < self._next:
            return None
        *known, seconds, steps = self._outcome()
        now = time.monotonic()
        self._outcome = self._post(step - self._last, now - self._seen)
        wanted = round(steps * INTERVAL / seconds) if seconds > 0 else 1
        self._next = step + max(1, min(wanted, GROWTH * (step - self._last)))
        self._last, self._seen = step, now
        return known

    def close(self) -> None:
        """Complete what is under way."""
        self._outcome()

    def _post(self, steps: int, seconds: float) -> Callable[[], list[float]]:
        return self._processes.post_maximum([*self._ask(), seconds, float(steps)])
