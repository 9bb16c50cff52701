"""Ranks that have no more batches go along with those that have: `gossip.Optimizer.join`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gossip.processes.calls import AVERAGE, STEP

if TYPE_CHECKING:
    from gossip.optimizer.optimizer import Optimizer
    from gossip.processes.announcements import Announcements

CALLS = (STEP, AVERAGE)  # that can be gone along with


class Joining:
    """The optimizers of a loop, and what this rank tells others of it.

    Args:
        optimizers: In the same order on every rank.
        announcements: Of what they do next; None in a single process.

    Attributes:
        follows: Whether this rank goes along by now.
    """

    def __init__(self, optimizers: Sequence[Optimizer], announcements: Announcements | None) -> None:
        self.follows = False
        self._optimizers = optimizers
        self._announcements = announcements

    def begins(self, optimizer: Optimizer, call: str) -> None:
        """This rank makes such a call, of its own if it does not follow.

        Raises:
            RuntimeError: Nobody can go along with it.
        """
        if call not in CALLS:
            raise RuntimeError(f"{call}() is for all ranks together: leave `with optimizer.join()` first")
        if self._announcements is not None and not self.follows:
            place = next(i for i, each in enumerate(self._optimizers) if each is optimizer)
            self._announcements.announce(len(CALLS) * place + CALLS.index(call))

    def follow(self) -> None:
        """Make the calls that others make, until all ranks follow."""
        if self._announcements is None:
            return
        self.follows = True
        for what in self._announcements.follow():
            optimizer, call = self._optimizers[what // len(CALLS)], CALLS[what % len(CALLS)]
            if call == STEP:
                optimizer.step()
            else:
                with optimizer.average():
                    pass


@contextmanager
def joined(optimizers: Sequence[Optimizer]) -> Iterator[None]:
    """Within it, all ranks make steps with these; at its end, go along with those that make more. Collective.

    Raises:
        RuntimeError: within another one.
    """
    calls = optimizers[0]._processes.calls
    if calls.joining or any(each._joining is not None for each in optimizers):
        raise RuntimeError("this is within another join(): give all optimizers of a loop to one, first.join(second)")
    joining = Joining(optimizers, _announcements(optimizers[0]))
    for each in optimizers:
        each._joining = joining
    calls.joining = True  # for good if this ends with an exception: others wait then
    try:
        yield
        calls.follows = True
        joining.follow()
        calls.joining = calls.follows = False
    finally:
        for each in optimizers:
            each._joining = None


def _announcements(optimizer: Optimizer) -> Announcements | None:
    """Between the ranks of this optimizer, made where they first join; None in a single process. Collective."""
    processes = optimizer._processes
    if processes.size > 1 and optimizer._announcements is None:
        from gossip.processes.announcements import Announcements
        from gossip.processes.mpi import MpiCommunicator

        assert isinstance(processes, MpiCommunicator)
        optimizer._announcements = Announcements(processes)
        optimizer._resources.callback(optimizer._announcements.close)
    return optimizer._announcements
