"""Copies of a run between two steps, to which survivors go back; see `gossip.execution.survival`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from algorithms import Traffic
from gossip.drivers.moment import Moment, Observer, Position
from gossip.errors import say
from gossip.execution.attempt import Finished, attempt, new_recorder
from gossip.execution.setting import Setting
from gossip.network import RunNetwork
from gossip.processes.ending import closed_together
from gossip.processes.mpi import MpiCommunicator
from gossip.processes.signals import Signals
from gossip.records.logs import log
from gossip.records.recorder import Recorder

INTERVAL = 10  # steps from one copy to the next


@dataclass(frozen=True)
class Copy:
    """What a rank needs to go on from between two steps."""

    position: Position
    """With states of its own."""

    round: int
    """Of the network."""

    traffic: Traffic
    """What had been sent."""

    history: list[dict[str, Any]]
    """What had been recorded."""


@dataclass(frozen=True)
class Recovery:
    """How a run goes on after a loss."""

    setting: Setting
    """What it stands on now."""

    copies: list[Copy]
    """What can be gone back to at the next loss."""

    step: int
    """The steps that are done."""

    note: str
    """How it goes on, in words."""

    mass: float | None = None
    """Of the nodes that are left, as far as it is conserved."""


class Copies:
    """Keeps copies of a run between two steps, and tells how it goes on after a loss: its companion.

    Args:
        processes: The ranks; the same object becomes that of the survivors.
        keep: Whether copies are needed.
        mass: Of all nodes at first.

    Attributes:
        losses: What was lost when, in words.
        kept: The last two copies.
        untold: What has been lost since the last step, in words.
        mass: Of all nodes that are left, as far as it is conserved.
    """

    def __init__(self, processes: MpiCommunicator, keep: bool, mass: float) -> None:
        self.losses: list[str] = []
        self.kept: list[Copy] = []
        self.untold: list[str] = []
        self.mass = mass
        self._processes, self._keep = processes, keep
        self._network: RunNetwork | None = None
        self._recorder: Recorder | None = None
        self._all_have_it: Callable[[], None] | None = None  # waits for that
        self._noticed = 0.0  # when the last loss was
        self._recovery: Recovery | None = None  # from it

    def attempt(
        self, setting: Setting, signals: Signals, all_models: bool, observers: Sequence[Observer] = ()
    ) -> Finished:
        """Train from where the setting says, in this company; collective. See `gossip.execution.attempt`."""
        processes = self._processes
        with closed_together(processes, setting.network.close):
            recorder = new_recorder(setting, processes)
            if setting.folder is None or not setting.whole:  # else as the checkpoint has it, once the directory is held
                processes.together(lambda: recorder.resume(list(setting.history)))
            self._network, self._recorder = setting.network, recorder
            return attempt(
                setting,
                recorder,
                processes=processes,
                signals=signals,
                all_models=all_models,
                companion=self,
                observers=observers,
            )

    @property
    def history(self) -> list[dict[str, Any]]:
        """What has been recorded in the last attempt."""
        return [] if self._recorder is None else self._recorder.history

    def mass_left(self, mass: float) -> str:
        """What of the mass is lost, if this is left, in words."""
        return f"; push-sum weight {mass:.6g} of {self.mass:.6g} is left, {self.mass - mass:.6g} is lost"

    def at(self, moment: Moment) -> None:
        """Copy what the next steps depend on, if it is time; at the same steps on all ranks."""
        if self._recovery is not None and moment.step > self._recovery.step:
            self._tell(self._recovery)
        if not self._keep or moment.step % INTERVAL:
            return
        if self.kept and self.kept[-1].position.step == moment.step:
            return  # it is from there that the run goes on
        if self._all_have_it is not None:
            self._all_have_it()
        self._all_have_it = self._processes.post_barrier()
        assert self._network is not None and self._recorder is not None
        state, oracle, traffic = deepcopy((moment.state, moment.oracle, self._network.traffic))
        position = Position(moment.step, state, oracle, moment.seconds)
        self.kept = [*self.kept[-1:], Copy(position, self._network.round, traffic, list(self._recorder.history))]

    def close(self) -> None:
        """Complete what is under way, and say what has not been said; collective."""
        if self._recovery is not None:  # there was no further step
            self._tell(self._recovery)
        if self._all_have_it is not None:
            self._all_have_it()
            self._all_have_it = None

    def noticed(self) -> None:
        """Some ranks are lost, and this is known now."""
        if not self.untold:
            self._noticed = time.time()

    def recovered(self, recovery: Recovery) -> None:
        """The run is about to go on."""
        self._recovery, self.kept, self._all_have_it = recovery, recovery.copies, None

    def _tell(self, recovery: Recovery) -> None:
        """The first step after a loss is done."""
        now = datetime.now()
        seconds = now.timestamp() - self._noticed
        self.losses.append(
            f"{' and '.join(self.untold)} lost: the run {recovery.note}; "
            f"next step done at {now.isoformat(timespec='milliseconds')}, {seconds:.2f} s after it was noticed"
        )
        if recovery.mass is not None:
            self.mass = recovery.mass
        self._recovery, self.untold = None, []
        log.warning("%s", self.losses[-1])
        if self._processes.rank == 0:
            say(f"gossip: {self.losses[-1]}")
