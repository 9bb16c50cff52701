"""Ranks that have no more batches go along with those that have: `gossip.Optimizer.join`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, cast

from gossip.processes.calls import AVERAGE, STEP, STOPPING
from gossip.processes.communicator import Communicator

if TYPE_CHECKING:
    from gossip.optimizer.optimizer import Optimizer
    from gossip.processes.announcements import Announcements

CALLS = (STEP, AVERAGE, STOPPING)  # that can be gone along with


class Joinable:
    """What a `gossip.Optimizer` has for ranks that make different numbers of steps."""

    _processes: Communicator
    _resources: ExitStack
    _joining: Joining | None = None
    _announcements: Announcements | None = None

    def join(self, *others: Optimizer) -> AbstractContextManager[None]:
        """Within it, ranks may make different numbers of steps, as with torch.distributed.algorithms.Join. Collective.

            with optimizer.join():
                for batch in batches:  # of this node, more or fewer than others have
                    ...

        A rank that has come to its end takes part in the steps of the others until the last one has come to its end,
        as if its loss were constant from then on: with a zero gradient, so that what it has of momentum runs out, and
        weight decay goes on; a local optimizer makes no step. It averages parameters and buffers as ever, and learning
        rates stay as they are in its groups. Then all have made the same number of steps. `average` and `stopping` can
        be used within it, if all ranks that have batches do.

        Args:
            others: Further optimizers whose steps are made in the same loop, in the same order on every rank.

        Raises:
            RuntimeError: within another one.
        """
        return joined([cast("Optimizer", self), *others])

    @property
    def _follows(self) -> bool:
        """Whether this rank has come to its end and goes along with others."""
        return self._joining is not None and self._joining.follows

    def _begin(self, call: str) -> None:
        """This rank begins a call that all make together."""
        if self._joining is not None:
            self._joining.begins(self, call)
        self._processes.begin(call)


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

    def begins(self, optimizer: Joinable, call: str) -> None:
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
            _go_along(optimizer, call)


def _go_along(optimizer: Optimizer, call: str) -> None:
    if call == STEP:
        optimizer.step()
    elif call == AVERAGE:
        with optimizer.average():
            pass
    else:
        _ = optimizer.stopping


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
