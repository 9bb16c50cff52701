"""What a terminal, or a log, shows of a run while it trains."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gossip.console.streams import Lenient, console, on_terminal

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

LINE_EVERY = 5.0  # seconds between progress lines where there is no terminal


class Progress:
    """A bar on a terminal, elsewhere a line every few seconds.

    Args:
        steps: Number of steps of the run.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._bar: Bar | None = None
        self._last_line = time.monotonic()
        if on_terminal():
            self._bar = _bar()
            self._bar.start()
            self._bar.add_task("training", total=steps)

    def settled(self, chosen: Mapping[str, Any]) -> None:
        """Show what has been chosen for this run: hyper-parameters, a placement."""
        for name, value in chosen.items():
            self._print(f"{name.replace('_', ' ')}: {value:.6g}" if isinstance(value, float) else f"{name}: {value}")

    def at(self, step: int, status: Callable[[], str]) -> None:
        """So many steps are done; `status` says how the run stands. Cheap enough to be called at every step."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=step, description=status())
        elif step == self._steps or time.monotonic() - self._last_line > LINE_EVERY:
            self._last_line = time.monotonic()
            self._print(f"step {step}/{self._steps}  {status()}")

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()

    def _print(self, text: str) -> None:
        print(text, file=Lenient(sys.stdout), flush=True)  # a run does not end for want of somebody who hears of it


def _bar() -> Bar:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}")
    return Progress(*columns, console=console())
