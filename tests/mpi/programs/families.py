"""Every topology that the command line offers by name trains on these ranks, and ends with the bits of one process."""

from __future__ import annotations

import sys

import torch

import topologies
from gossip.execution.run import conduct
from gossip.network import Communicator
from gossip.processes import launcher
from gossip.processes.ending import failing_together
from gossip.processes.signals import Signals
from gossip.train.options import parse
from tests.topologies.sizes import SIZES

ALGORITHMS = {"random_out": "PushSumSGD"}  # its columns sum to 1 only

communicator = launcher.world()
with failing_together(communicator):
    names = [family.__name__ for family in topologies.FAMILIES]
    options = {"file": ["--topology.path", sys.argv[1]]}
    sizes = SIZES | {"file": [5]}
    for name in names:
        n = next(size for size in sizes[name] if size >= communicator.size)

        def training(name: str = name, n: int = n) -> object:
            algorithm = ["--algorithm", ALGORITHMS.get(name, "DecentralizedSGD"), "--algorithm.lr", "0.05"]
            rest = "--workload LogisticRegression --steps 3 --evaluate-every 3 --output null --quiet".split()
            return parse(["--nodes", str(n), "--topology", name, *options.get(name, []), *algorithm, *rest], 1)

        run = communicator.from_root(training)
        finished = conduct(run, communicator, Signals(), warn=print, all_models=True)
        if communicator.rank == 0:
            alone = conduct(run, Communicator(), Signals(), warn=print, all_models=True)
            assert torch.equal(finished.model, alone.model), name
    if communicator.rank == 0:
        print(f"{len(names)} topologies, the same bits")
