"""On four ranks of two hosts: nodes that are placed send less from host to host, and end with the same bits."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from mpi4py import MPI

from algorithms import ChocoSGD, Full
from gossip.execution.attempt import Finished
from gossip.execution.run import conduct
from gossip.execution.training import Training
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
    training = Training(
        LeastSquares(random.normal(size=(16, 4, 3)), random.normal(size=(16, 4))),
        Topology.from_matrix(torus(16).matrix.toarray()[np.ix_(order, order)]),
        ChocoSGD(lr=0.05, gamma=0.3),
        oracle=Full(),
        steps=10,
        output=None,
    )

    def run(training: Training) -> Finished:
        return conduct(training, hosts, Signals(), warn=print, all_models=True)

    contiguous, placed = run(training), run(dataclasses.replace(training, placement="spectral"))
    if communicator.rank == 0:
        assert torch.equal(contiguous.model, placed.model)
        sent = placed.summary["bytes_between_hosts_per_round"]
        before = placed.summary["bytes_between_hosts_per_round_if_contiguous"]
        assert 0 < sent < before and sent % (3 * 8) == 0, (sent, before)
        print("the same bits, with less between hosts")
