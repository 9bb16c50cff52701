"""A script with a run that is told to stop in its fifth step, on the rank that is given."""

import signal
import sys
from dataclasses import dataclass

import numpy as np

import gossip
from algorithms import DecentralizedSGD
from gossip.processes import launcher
from gossip.workloads import LeastSquares
from topologies import ring


@dataclass(frozen=True)
class Told(DecentralizedSGD):
    def step(self, state, sample, network):
        super().step(state, sample, network)
        if state.step == 5 and launcher.world().rank == int(sys.argv[1]):
            signal.raise_signal(getattr(signal, sys.argv[2]))


workload = LeastSquares(np.ones((4, 6, 3)), np.ones((4, 6)))
gossip.run(workload, ring(4), Told(lr=0.1), steps=10**7, evaluate_every=10**7, checkpoint_every="1000s")
