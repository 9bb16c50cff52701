"""Algorithms with a rank that gets into trouble at step 5: the one that hosts this node."""

from __future__ import annotations

import os
import signal
import warnings
from dataclasses import dataclass

from algorithms import DecentralizedSGD, Sample, State
from algorithms.network import Network


@dataclass(frozen=True)
class Awkward(DecentralizedSGD):
    """Decentralized SGD whose rank sends itself a signal, or warns."""

    node: int = -1
    sends: str = "SIGKILL"

    def step(self, state: State, sample: Sample, network: Network) -> None:
        if state.step == 5 and self.node in network.nodes:
            os.kill(os.getpid(), getattr(signal, self.sends))
        if state.step == 5 and network.nodes[0] > 0 and self.sends == "SIGCONT":
            warnings.warn("something is odd", stacklevel=1)
            print("said by node", network.nodes[0])
        super().step(state, sample, network)
