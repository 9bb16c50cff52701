"""Decentralized training: a graph says who talks to whom, MPI carries it.

result = gossip.run(workload, topology, algorithm, steps=1000)
optimizer = gossip.Optimizer(model.parameters(), algorithm, topology)  # in a training loop of one's own
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gossip.availability_file import AvailabilityFile as AvailabilityFile
    from gossip.execution.outcome import Result as Result
    from gossip.execution.run import run as run
    from gossip.network import SimulatedClock as SimulatedClock
    from gossip.network import SimulatedNetwork as SimulatedNetwork
    from gossip.optimizer.optimizer import Optimizer as Optimizer

# Large tensors in huge pages, where the system has them on offer: torch looks once, at its first tensor. Copies from
# the memory of another process are a third faster, and every pass over memory is a little.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

_HOMES = {
    "AvailabilityFile": "gossip.availability_file",
    "Optimizer": "gossip.optimizer.optimizer",
    "Result": "gossip.execution.outcome",
    "SimulatedClock": "gossip.network",
    "SimulatedNetwork": "gossip.network",
    "run": "gossip.execution.run",
}
__all__ = ["AvailabilityFile", "Optimizer", "Result", "SimulatedClock", "SimulatedNetwork", "run"]


def __getattr__(name: str) -> Any:
    # Torch is imported on first use, so that `python -m gossip.train` can start MPI before it.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'gossip' has no attribute {name!r}")
