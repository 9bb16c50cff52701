"""Timing of several operations against each other, on all ranks at once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gossip.network import Communicator

Case = Callable[[int], None]
"""Does the operation so many times, back to back."""

SHORTEST = 0.06  # seconds of a timed block: long against the start of the ranks one after another
TRIALS = 3  # at a block's length; the shortest counts, as an interruption only makes it longer


class Spending:
    """A case of which it is put down what this process takes of the cores.

    Args:
        case: It.

    Attributes:
        seconds: For an iteration, of each call.
    """

    def __init__(self, case: Case) -> None:
        self._case = case
        self.seconds: list[float] = []

    def __call__(self, iterations: int) -> None:
        """Make so many."""
        began = time.process_time()
        self._case(iterations)
        self.seconds.append((time.process_time() - began) / iterations)


def repeated(operation: Callable[[], object]) -> Case:
    """The case of an operation that keeps nothing from one iteration to the next."""

    def repeat(iterations: int) -> None:
        for _ in range(iterations):
            operation()

    return repeat


def interleaved(
    cases: Mapping[str, Case],
    repeats: int,
    communicator: Communicator,
    least: int = 1,
    *,
    shortest: float = SHORTEST,
) -> dict[str, float]:
    """Seconds per iteration of each case: the median over the repeats of the slowest rank's time; collective.

    A repeat is one block of every case, one after another, so that a drift of the machine hits all alike.

    Args:
        cases: The operations, in the same order on every rank.
        repeats: Timed blocks of each.
        communicator: The ranks, which start every block together.
        least: Iterations of a block, if these take long enough; else there are more.
        shortest: Seconds of a block that are long enough.
    """
    iterations = {name: _iterations(case, least, communicator, shortest) for name, case in cases.items()}
    seconds = np.array(
        [[_time(case, iterations[name], communicator) for name, case in cases.items()] for _ in range(repeats)]
    )
    medians = np.median(_slowest(seconds, communicator), axis=0)
    return {name: float(median) / iterations[name] for name, median in zip(cases, medians, strict=True)}


def once(case: Case, communicator: Communicator) -> float:
    """Seconds of one iteration on the slowest rank, after one that compiles and allocates; collective.

    The shortest of three iterations, or of fewer if these are long.
    """
    case(1)
    seconds: list[float] = []
    while len(seconds) < TRIALS and sum(seconds) < SHORTEST:
        seconds.append(float(_slowest(np.array([_time(case, 1, communicator)]), communicator)[0]))
    return min(seconds)


def _iterations(case: Case, least: int, communicator: Communicator, shortest: float) -> int:
    """How many iterations make a block, the same number on all ranks."""
    case(least)  # what is compiled or allocated on first use
    count = least
    while True:
        blocks = np.array([_time(case, count, communicator) for _ in range(TRIALS)])
        elapsed = float(_slowest(blocks, communicator).min())
        if elapsed >= shortest:
            return count
        count = math.ceil(count * min(10, 1.2 * shortest / max(elapsed, 1e-9)))


def _time(case: Case, iterations: int, communicator: Communicator) -> float:
    """Seconds on this rank, from a common start."""
    communicator.barrier()  # where early ranks sleep, and then one that all leave at about the same time
    if communicator.size > 1:
        mpi_of(communicator).Barrier()
    began = time.perf_counter()
    case(iterations)
    return time.perf_counter() - began


def _slowest(seconds: np.ndarray, communicator: Communicator) -> np.ndarray:
    """Element by element the largest value of all ranks."""
    if communicator.size == 1:
        return seconds
    from gossip.processes.mpi import MPI

    slowest = np.empty_like(seconds)
    mpi_of(communicator).Allreduce(seconds, slowest, MPI.MAX)
    return slowest


def mpi_of(communicator: Communicator) -> Any:
    """The mpi4py communicator behind one of several ranks."""
    from gossip.processes.mpi import MpiCommunicator

    assert isinstance(communicator, MpiCommunicator)
    return communicator.mpi
