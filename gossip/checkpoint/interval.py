"""How often a run writes checkpoints."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """Every so many steps, or every so many seconds; at most one of the two is set.

    If none is, there is a checkpoint at the end only, and where the run is told to stop.
    """

    steps: int | None = None
    """Steps from one checkpoint to the next."""

    seconds: float | None = None
    """Seconds from one checkpoint to the next."""

    @classmethod
    def of(cls, text: int | str | None) -> Interval:
        """From a number of steps such as 500, or seconds such as "30s".

        Raises:
            ValueError: It is neither.
        """
        if text is None:
            return cls()
        number = re.fullmatch(r"(\d+)|(\d+(?:\.\d+)?)s", str(text))
        interval = (
            cls(int(number[1]) if number[1] else None, float(number[2]) if number[2] else None) if number else cls()
        )
        if not interval.steps and not interval.seconds:
            raise ValueError(
                f"checkpoint_every = {text} is not allowed; it must be a number of steps >= 1 such as 500, or seconds "
                f'> 0 such as "30s"'
            )
        return interval
