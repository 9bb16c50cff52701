"""All nodes step together: the driver of every `algorithms.Algorithm`."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms import Algorithm, OracleState, Sample, State
from gossip.drivers.gradients import Gradients, check_kind
from gossip.drivers.moment import Look, Moment, Position
from gossip.network import RunNetwork, mix_beside
from gossip.spans import NO_SPANS, Spans


@dataclass(frozen=True)
class Lockstep:
    """An algorithm on a network, fed with gradients."""

    algorithm: Algorithm
    """What is computed and sent, for the model and the nodes of this run."""

    gradients: Gradients
    """Of the local nodes."""

    network: RunNetwork
    """What links the nodes."""

    spans: Spans = NO_SPANS
    """Is told how long steps and gradients take."""

    average_buffers: bool = False
    """Whether, in each round, neighbours average what the workload has of them beside parameters; see `HasBuffers`."""

    def start(self, x: Tensor) -> Position:
        """Where a run begins from these models (k, d) of the local nodes; collective."""
        began = time.perf_counter()
        with self.spans.span("start", "compute"):
            state = self.algorithm.start(x, self.network)
        check_kind(self.algorithm, "start", state, State)
        self.network.finish_step()
        self.spread(state)
        return Position(0, state, self.gradients.start(state.x), time.perf_counter() - began)

    def spread(self, state: State) -> None:
        """Bring models and points to all nodes, for those who look; it is not a part of the method. Collective."""
        with self.network.unrecorded():
            self.algorithm.spread(state, self.network)

    def moments(self, position: Position, steps: int) -> Iterator[Moment]:
        """The moments of a run from this position on, one before each step and one after the last; collective.

        Args:
            position: Where it goes on; its states become those of the run.
            steps: The number of the last step. What is taken at a moment is about the models after so many steps.

        Raises:
            NonFiniteError: A gradient or a message holds what is not finite.
        """
        began, seconds = time.perf_counter(), position.seconds
        for step in range(position.step, steps + 1):
            idle = self.algorithm.idle(position.state, self.network)
            seconds += time.perf_counter() - began
            taken = _Taken(self, position, step, idle, seconds)
            yield Moment(step, position.state, position.oracle, seconds, taken.look, step == steps)
            began, seconds = time.perf_counter(), taken.seconds
            if step == steps:
                return
            # After those who look, so that what they measure does not include a round ahead.
            self.algorithm.post(position.state, self.network)
            sample = taken.sample()
            never_idle = type(self.algorithm).idle is Algorithm.idle
            self.network.finish_gradients(step, None if never_idle else idle)
            with self.spans.span("step", "compute"):
                ended = self.network.round
                self.algorithm.advance(position.state, sample, self.network)
            if self.average_buffers and self.network.round > ended:
                self._average_buffers(position.oracle, ended)

    def _average_buffers(self, oracle: OracleState, ended: int) -> None:
        """Average them with the neighbours', as a part of the round that just ended."""
        stacks = [stack for stack in (oracle.buffers or {}).values() if stack.is_floating_point()]
        # In single precision, as parameters are.
        rows = torch.cat([stack.reshape(len(stack), -1).float() for stack in stacks], dim=1)
        mixed = mix_beside(self.network, ended, rows)
        widths = [math.prod(stack.shape[1:]) for stack in stacks]
        for stack, part in zip(stacks, mixed.split(widths, dim=1), strict=True):
            stack.copy_(part.reshape(stack.shape))


class _Taken:
    """The gradients at one moment, taken once: by those who look, or else by the step.

    Args:
        driver: Where they come from.
        position: Has the states.
        step: The steps done.
        idle: The rows that the step ignores.
        seconds: Spent training until then.

    Attributes:
        seconds: Spent training, with the time of a look.
    """

    def __init__(self, driver: Lockstep, position: Position, step: int, idle: Sequence[int], seconds: float) -> None:
        self.seconds = seconds
        self._driver, self._position, self._step, self._idle = driver, position, step, idle
        self._look: Look | None = None

    def look(self) -> Look:
        """All rows, the idle ones for nothing."""
        if self._look is None:
            began = time.perf_counter()
            position = self._position
            self._driver.spread(position.state)
            with self._driver.spans.span("gradients", "compute"):
                gradients, oracle = self._driver.gradients, position.oracle
                sample, used, buffers = gradients.look(oracle, position.state.x, self._step, self._idle)
            self.seconds += time.perf_counter() - began
            self._look = Look(sample, used, self.seconds, buffers)
        return self._look

    def sample(self) -> Sample:
        """What the step takes."""
        if self._look is not None:
            return self._look.sample
        position = self._position
        if position.oracle.remembers:  # it sees idle nodes, too
            self._driver.spread(position.state)
        with self._driver.spans.span("gradients", "compute"):
            return self._driver.gradients.sample(position.oracle, position.state.x, self._step, self._idle)
