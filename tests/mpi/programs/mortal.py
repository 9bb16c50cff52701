"""Algorithms whose ranks kill themselves: rank RANKS[i] of those that are there at step STEPS[i]."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from mpi4py import MPI
from torch import Tensor

from algorithms import AdPsgd, ChocoSGD, DecentralizedSGD, FedAsync, PushSumSGD, Sample, State
from algorithms.asynchronous.ad_psgd import AdPsgdNode
from algorithms.asynchronous.fed_async import FedAsyncServer
from algorithms.network import Network, WeightedEdges
from algorithms.program import NodeContext, NodeProgram


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


@dataclass(frozen=True)
class MortalAdPsgd(AdPsgd):
    """AD-PSGD, of which nodes die when they have so many gradients, or when they are seen with so many."""

    deaths: str = "1:1"
    seen: str = "1:1"

    def programs(self, graph: WeightedEdges, nodes: Sequence[int], x: Tensor) -> list[NodeProgram]:
        return [MortalNode(**vars(program)) for program in super().programs(graph, nodes, x)]


class MortalNode(AdPsgdNode):
    """A node of it."""

    def on_gradient(self, sample: Sample, context: NodeContext) -> None:
        time.sleep(1e-3)  # else a rank may be through before others have begun
        perhaps_die(cast(MortalAdPsgd, self.method).deaths, self.updates)
        super().on_gradient(sample, context)

    @property
    def model(self) -> Tensor:
        when, rank = cast(MortalAdPsgd, self.method).seen.split(":")
        if self.updates >= int(when):
            perhaps_die(f"0:{rank}", 0)
        return self.x


@dataclass(frozen=True)
class MortalFedAsync(FedAsync):
    """FedAsync, whose server dies when it has used so many answers."""

    deaths: str = "1:1"

    def programs(self, graph: WeightedEdges, nodes: Sequence[int], x: Tensor) -> list[NodeProgram]:
        programs = super().programs(graph, nodes, x)
        return [MortalServer(**vars(each)) if isinstance(each, FedAsyncServer) else each for each in programs]


class MortalServer(FedAsyncServer):
    """It."""

    def use(self, answer: Tensor, staleness: int) -> None:
        perhaps_die(cast(MortalFedAsync, self.method).deaths, self.version)
        super().use(answer, staleness)
