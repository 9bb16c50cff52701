"""An observer that measures a run at some steps, records that, and shows how the run stands at all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from algorithms import Method
from gossip.drivers.moment import Moment
from gossip.errors import DivergedError
from gossip.execution.measure import Measure
from gossip.execution.pacing import evaluation_interval
from gossip.execution.privacy import privacy_loss
from gossip.execution.training import Training
from gossip.records.recorder import Recorder


@dataclass(frozen=True)
class Recording:
    """What is measured at a moment is about the models after so many steps. Collective."""

    training: Training
    """Says when to measure."""

    algorithm: Method
    """Whose states they are."""

    measure: Measure
    """Measures."""

    recorder: Recorder
    """Records and shows."""

    def at(self, moment: Moment) -> None:
        """Measure, if it is time.

        Raises:
            DataError: It cannot be recorded.
            DivergedError: A loss is not finite; it has been recorded.
        """
        due = moment.step % evaluation_interval(self.training) == 0 and not moment.between
        if due or moment.final:
            self._record(moment)
        self.recorder.at(moment.step)

    def _record(self, moment: Moment) -> None:
        processes, network = self.measure.processes, self.measure.network
        look = moment.look()
        metrics = self.measure(self.algorithm.model(moment.state), look, self.algorithm.report(moment.state))
        metrics |= privacy_loss(
            self.training,
            self.algorithm,
            self.measure.workload,
            network,
            state=moment.state,
            look=look,
            processes=processes,
        )
        times = {"seconds": processes.broadcast(look.seconds)}
        if self.training.simulated is not None:
            known = look.simulated_seconds
            times["simulated_seconds"] = network.seconds if known is None else known
        processes.together(partial(self._keep, {"step": moment.step, **metrics, **look.pace, **times}))
        _check_finite(moment.step, metrics)

    def _keep(self, record: dict[str, Any]) -> None:
        """Record it; in the place of the last one if no step has been done since, as where time ends an idle run."""
        before = self.recorder.history
        if before and before[-1]["step"] == record["step"]:
            self.recorder.resume(before[:-1])
        self.recorder.add(record)


def diverged(step: int, reason: str) -> str:
    """What is said of a run that has diverged at this step."""
    return f"the run diverged: {reason} at step {step}; a smaller learning rate (or gamma) may help"


def _check_finite(step: int, metrics: Mapping[str, float]) -> None:
    for name in ("train_loss", "test_loss"):
        if not math.isfinite(metrics[name]):
            raise DivergedError(diverged(step, f"the {name.replace('_', ' ')} is {metrics[name]}"))
