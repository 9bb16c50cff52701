"""Rank 1 fails while the others wait for its rows: failing.py TRANSPORT."""

from __future__ import annotations

import sys
import time

import torch

from gossip.network import connect
from gossip.processes import launcher
from gossip.processes.ending import failing_together
from topologies import complete

communicator = launcher.world()
with failing_together(communicator):
    network = connect(complete(3), communicator, transport=sys.argv[1])  # type: ignore[arg-type]
    x = torch.ones(1, 10)
    for t in range(100):
        if communicator.rank == 1 and t == 2:
            print(time.time(), flush=True)
            raise RuntimeError("the third round")
        x = network.mix(x)
print(f"rank {communicator.rank} ended in peace", flush=True)
