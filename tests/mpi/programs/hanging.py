"""The last rank stops; the others wait for it in some way: hanging.py TRANSPORT WHAT."""

from __future__ import annotations

import os
import signal
import sys

import torch

from algorithms import TopK
from gossip.network import connect
from gossip.processes import launcher
from gossip.processes.ending import failing_together
from topologies import complete

transport, what = sys.argv[1:]
communicator = launcher.world()
with failing_together(communicator):
    network = connect(complete(communicator.size), communicator, transport=transport)  # type: ignore[arg-type]
    communicator.patience = 1.5
    x = torch.ones(1, 10)
    for t in range(6):
        if communicator.rank == communicator.size - 1 and t == 3:
            os.kill(os.getpid(), signal.SIGSTOP)
        match what:
            case "mean":
                network.mean(x)
            case "message":
                network.mix(TopK(k=2).compress(x, network.draw("test")))
            case "posted":
                network.mix(network.post(x))
            case "barrier":
                communicator.barrier()
