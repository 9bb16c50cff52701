"""Where a run stands, and who looks at it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from algorithms import OracleState, Sample, State


@dataclass(frozen=True)
class Position:
    """A place between two steps from which a run can go on: all that the next steps depend on, but the network."""

    step: int
    """The steps done."""

    state: State
    """That of the algorithm, of the local nodes."""

    oracle: OracleState
    """That of the oracle, of the local nodes with data."""

    seconds: float
    """Spent training so far by this rank, without the time of those who looked at it."""


@dataclass(frozen=True)
class Look:
    """The gradients of all local nodes at a moment, those too that the next step ignores."""

    sample: Sample
    """The estimates; the next step takes these very ones."""

    used: Mapping[str, Tensor]
    """(k,) each, by name: what the oracle had counted before it took them."""

    seconds: float
    """As `Position.seconds`, with the time that taking them took."""

    buffers: Mapping[str, Tensor] = field(default_factory=dict)
    """What the workload had of each local node with data before, (nodes, ...) each, by name; see `HasBuffers`."""

    simulated_seconds: float | None = None
    """What a simulated clock says, if not the network."""

    pace: Mapping[str, float] = field(default_factory=dict)
    """What is to be recorded of how nodes went on, each at its own pace, by name; the same on every rank."""


@dataclass(frozen=True)
class Moment(Position):
    """A position while a run stands there. It lasts until the driver is asked for the next one."""

    look: Callable[[], Look]
    """Takes the gradients that the next step will use, once; to measure them. Every rank does, or none.

    Of an asynchronous run, they are the last ones of the nodes, which have used them."""

    final: bool = False
    """Whether it is the last one."""

    between: bool = False
    """Whether the run only pauses, between two steps, for whoever wants to stop or save it."""

    saved: Callable[[], tuple[State, OracleState]] | None = None
    """Gives what stands for the states in a checkpoint, where these cannot be saved as they are; every rank does."""

    under_way: object = None
    """With what an asynchronous run goes on when ranks have been lost; see `gossip.drivers.asynchronous.UnderWay`."""


class Observer(Protocol):
    """Somebody who looks at every moment of a run: records it, saves it, shows it, or stops it by an error."""

    def at(self, moment: Moment) -> None:
        """The run stands here. What belongs to the moment is left as it is; what is to be kept is copied."""
