"""Asynchronous methods whose ranks kill themselves: 0 in the first, 2 in the second; who is left says how."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from mpi4py import MPI
from torch import Tensor

from algorithms import Sample
from algorithms.asynchronous import AdPsgd, Asynchronous, AsynchronousPushSum
from gossip.drivers.mail import MailDriver
from gossip.drivers.schedule import LOSS
from gossip.network.transports.mpi_mail import MpiMail
from gossip.processes.ending import leave
from gossip.processes.mpi import MpiCommunicator
from topologies import Topology, exponential, ring

NODES = 8


def dying(victim: int) -> Callable[[Sequence[int], Tensor, Sequence[int]], Sample]:
    """Towards the number of each node, until this rank has computed some."""
    left = 25 if MPI.COMM_WORLD.rank == victim else -1

    def gradient(nodes: Sequence[int], x: Tensor, steps: Sequence[int]) -> Sample:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(2e-3)
        return Sample(x - torch.tensor(nodes, dtype=x.dtype)[:, None], x.new_zeros(len(x)))

    return gradient


def conduct(processes: MpiCommunicator, method: Asynchronous, topology: Topology, victim: int) -> None:
    hosted = [part.tolist() for part in np.array_split(np.arange(NODES), processes.size)]
    mine = hosted[processes.rank]
    programs = method.programs(topology, mine, torch.zeros(len(mine), 3, dtype=torch.float64))
    mail = MpiMail(processes, hosted, survives=True)
    driver = MailDriver(programs, topology, dying(victim), mail)
    marks = []
    for wanted in (20 * NODES, 40 * NODES, 60 * NODES):
        driver.advance(gradients=wanted)
        marks.append(driver.gradients)
    weights = [float(each.push_sum.weight.sum()) for each in programs if hasattr(each, "push_sum")]
    everyone = processes.gather((driver.models()[:, 0].tolist(), sum(weights)))
    schedule = driver.schedule()
    if processes.rank == 0:
        told = schedule.nodes[schedule.kinds == LOSS].tolist()
        models = [model for models, _ in everyone for model in models]
        line = {"ranks": processes.size, "lost": sorted(driver.lost), "marks": marks, "models": models, "told": told}
        print(json.dumps(line | {"weight": sum(weight for _, weight in everyone)}), flush=True)


communicator = MpiCommunicator(MPI.COMM_WORLD)
conduct(communicator, AsynchronousPushSum(lr=0.05), exponential(NODES), 0)
conduct(communicator, AdPsgd(lr=0.1, active="all"), ring(NODES), 2)
leave(0)
