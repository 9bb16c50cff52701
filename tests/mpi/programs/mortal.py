"""Algorithms whose ranks kill themselves: rank RANKS[i] of those that are there at step STEPS[i]."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from mpi4py import MPI

from algorithms import ChocoSGD, DecentralizedSGD, PushSumSGD, Sample, State
from algorithms.network import Network


def perhaps_die(deaths: str, step: int) -> None:
    """Deaths are STEP:RANK, with commas; the rank is that in MPI_COMM_WORLD."""
    for death in deaths.split(","):
        when, rank = death.split(":")
        if step == int(when) and MPI.COMM_WORLD.rank == int(rank):
            Path(f"death-{rank}").write_text(str(time.time()))
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class MortalSGD(DecentralizedSGD):
    """Decentralized SGD."""

    deaths: str = "1:1"

    def step(self, state: State, sample: Sample, network: Network) -> None:
        perhaps_die(self.deaths, state.step)
        super().step(state, sample, network)


@dataclass(frozen=True)
class MortalPushSum(PushSumSGD):
    """Push-sum SGD."""

    deaths: str = "1:1"

    def step(self, state: State, sample: Sample, network: Network) -> None:
        perhaps_die(self.deaths, state.step)
        super().step(state, sample, network)


@dataclass(frozen=True)
class MortalChoco(ChocoSGD):
    """CHOCO-SGD."""

    deaths: str = "1:1"

    def step(self, state: State, sample: Sample, network: Network) -> None:
        perhaps_die(self.deaths, state.step)
        super().step(state, sample, network)
