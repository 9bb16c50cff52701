"""On four ranks of two hosts: groups are those of the hosts, and the same groups in one process give the same bits."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from mpi4py import MPI

from algorithms import Full, LeaderSGD
from gossip.execution.attempt import Finished
from gossip.execution.run import conduct
from gossip.execution.training import Training
from gossip.network import Communicator
from gossip.processes import launcher
from gossip.processes.ending import failing_together
from gossip.processes.mpi import MpiCommunicator
from gossip.processes.signals import Signals
from gossip.workloads import LeastSquares
from topologies import Topology, torus

communicator = launcher.world()
with failing_together(communicator):
    hosts = MpiCommunicator(MPI.COMM_WORLD, ranks_per_host=2)
    random = np.random.default_rng(0)
    order = random.permutation(16)
    leader = LeaderSGD(lr=0.05, period=2, global_every=2)
    training = Training(
        LeastSquares(random.normal(size=(16, 4, 3)), random.normal(size=(16, 4))),
        Topology.from_matrix(torus(16).matrix.toarray()[np.ix_(order, order)]),
        leader,
        oracle=Full(),
        steps=10,
        output=None,
    )
    seen = []

    def run(training: Training, processes: Communicator) -> Finished:
        return conduct(training, processes, Signals(), warn=print, all_models=True)

    for placement in ("contiguous", "spectral"):
        finished = run(dataclasses.replace(training, placement=placement), hosts)
        groups = finished.summary["groups"]
        given = dataclasses.replace(training, algorithm=dataclasses.replace(leader, groups=tuple(groups)))
        alone = run(given, Communicator())
        assert torch.equal(finished.model, alone.model)
        assert "groups" not in alone.summary
        seen.append(groups)
    assert seen[0] == [0] * 8 + [1] * 8
    assert seen[1] != seen[0] and sorted(seen[1]) == seen[0] and seen[1][0] == 0
    if communicator.rank == 0:
        print("the groups of the hosts")
