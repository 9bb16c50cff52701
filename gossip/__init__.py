"""Decentralized training: a graph says who talks to whom, MPI carries it.

result = gossip.run(workload, topology, algorithm, steps=1000)
optimizer = gossip.Optimizer(model.parameters(), algorithm, topology)  # in a training loop of one's own
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gossip.optimizer import Optimizer as Optimizer
    from gossip.trainer import Result as Result
    from gossip.trainer import run as run

# Large tensors in huge pages, where the system has them on offer: torch looks once, at its first tensor. Copies from
# the memory of another process are a third faster, and every pass over memory is a little.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

__all__ = ["Optimizer", "Result", "run"]


def __getattr__(name: str) -> Any:
    # Torch is imported on first use, so that `python -m gossip.train` can start MPI before it.
    if name in __all__:
        return getattr(import_module("gossip.optimizer" if name == "Optimizer" else "gossip.trainer"), name)
    raise AttributeError(f"module 'gossip' has no attribute {name!r}")
