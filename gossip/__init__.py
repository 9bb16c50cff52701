"""Decentralized training: a graph says who talks to whom, MPI carries it.

result = gossip.run(workload, topology, algorithm, steps=1000)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gossip.trainer import Result as Result
    from gossip.trainer import run as run

__all__ = ["Result", "run"]


def __getattr__(name: str) -> Any:
    # Torch is imported on first use, so that `python -m gossip.train` can start MPI before it.
    if name in __all__:
        from gossip import trainer

        return getattr(trainer, name)
    raise AttributeError(f"module 'gossip' has no attribute {name!r}")
