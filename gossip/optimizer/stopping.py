"""Whether a signal has asked a loop of one's own to stop, as all ranks see it after the same step."""

from __future__ import annotations

import signal

from gossip.checkpoint.agreement import Agreement
from gossip.errors import say
from gossip.network import Communicator
from gossip.processes.signals import Signals


class Stopping:
    """Remembers signals from the first question on, until it is closed.

    Args:
        processes: The ranks.

    Attributes:
        number: The signal that has asked this job to stop; None if none has.
    """

    def __init__(self, processes: Communicator) -> None:
        self.number: signal.Signals | None = None
        self._processes = processes
        self._signals = Signals()
        self._agreement: Agreement | None = None

    def asked(self, step: int) -> bool:
        """Whether this job is to stop, as has become known before this step; the same on every rank. Collective."""
        if self._agreement is None:
            self._signals.__enter__()
            self._agreement = Agreement(self._processes, step, self._ask)
        known = None if self.number else self._agreement.at(step)
        if known and known[0]:
            self.number = signal.Signals(int(known[0]))
            self._signals.leave(self.number)
            if self._processes.rank == 0:
                say(f"gossip: {self.number.name} asks to stop; it is step {step}")
        return self.number is not None

    def close(self) -> None:
        """Complete what is under way; signals do what they did before, unless this process leaves. Collective."""
        if self._agreement is not None:
            self._agreement.close()
            self._signals.__exit__(None, None, None)
            self._agreement = None

    def _ask(self) -> tuple[float]:
        received = self._signals.received
        return (0.0 if received is None else float(received),)
