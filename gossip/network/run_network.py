"""What runs, checkpoints and optimizers need of a network beyond what algorithms may ask of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from torch import Tensor

from algorithms.network import Network, Posted, Traffic
from topologies import Schedule


class RunNetwork(Network, Protocol):
    """A network as those see it who drive algorithms. All calls are collective unless it says otherwise."""

    round: int
    """Rounds completed so far. Set it only between steps, with nothing under way."""

    @property
    def topology(self) -> Schedule:
        """The mixing matrix of each round. Not collective."""

    @property
    def posted(self) -> tuple[list[Posted[Any]], list[Posted[Tensor]]]:
        """What was posted and is not complete: to be mixed, and to be averaged, in the order of posting.

        Not collective. What a transport has no room for waits here too.
        """

    def exposed(self, stack: Tensor) -> bool:
        """Whether others may still be reading this stack, so that its next value needs memory of its own.

        Not collective.
        """

    def resume(
        self, round: int, traffic: Traffic, posted: Sequence[Posted[Any]], posted_means: Sequence[Posted[Tensor]]
    ) -> None:
        """Go on as a network that has come to this round, where this had been sent and this been posted.

        Args:
            round: The round.
            traffic: What has been sent, that of what was posted included.
            posted: What is to be mixed, in the order of posting; these very objects complete it.
            posted_means: What is to be averaged, likewise.
        """

    def all_rows(self, value: Tensor) -> Tensor:
        """A stack's rows of all nodes, (n, d), in node order, on every rank. For results, not for the loop."""

    def finish_gradients(self, step: int, idle: Sequence[int] | None = None) -> None:
        """The gradients of a step are there; to be called before the step, for clocks that do not see it themselves.

        Args:
            step: Whose.
            idle: The local rows that the step ignores, which cost nothing; None on all ranks if no node ever is idle.
        """

    def unrecorded(self) -> AbstractContextManager[None]:
        """What is done meanwhile is not part of the method: it counts neither as traffic nor as a round nor as time.

        Values that were posted can be mixed and averaged meanwhile; they are sent once more for that.
        """

    def clock_state(self) -> dict[str, Any]:
        """What `seconds` is and depends on, in numbers and lists of them, the same on every rank."""

    def load_clock_state(self, state: dict[str, Any]) -> None:
        """Go on from a saved state; to be called before `resume`."""

    def complete(self) -> None:
        """Complete what is under way, which nobody will mix any more."""

    def abandon(self) -> None:
        """Leave what is under way as it is, as other ranks are gone; nothing can be sent any more. Not collective."""

    def close(self) -> None:
        """Complete what is under way and free what this network holds. Stacks that it made stay valid.

        Nothing can be sent any more: what tries to raises RuntimeError. Closing again does nothing. Where an error
        has ended a run on all ranks alike, they can all close.
        """


def mix_beside(network: RunNetwork, ended: int, rows: Tensor) -> Tensor:
    """Mix further rows (k, w) of the local nodes as a part of the round that just ended, with its weights; collective.

    Args:
        network: Where nothing is under way.
        ended: The number of that round.
        rows: What nodes have beside the points of an algorithm.
    """
    network.round = ended
    mixed = network.mix(rows)
    network.finish_step()
    return mixed
