"""What a run stands on, from its beginning or since some ranks were lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from algorithms import ShardedWorkload
from gossip.checkpoint import Moment
from gossip.network import RunNetwork
from topologies import Schedule


@dataclass(frozen=True)
class Stage:
    """Nodes, their data, what links them, and where they go on.

    Attributes:
        topology: Of the nodes 0..n-1 that are there,
        workload: with their data, and maybe that of others.
        hosted: The nodes of each rank,
        network: which links them.
        x: (k, d), where the local nodes start.
        ids: (n,), the number of each node in the workload.
        configuration: Of the run, for its checkpoints.
        folder: The checkpoint to go on from, if any.
        directory: The run directory, if any.
        whole: Whether no node is missing.
        moment: Where the run goes on, if that is elsewhere than at its start or the checkpoint,
        history: with what was recorded until then.
    """

    topology: Schedule
    workload: ShardedWorkload
    hosted: Sequence[Sequence[int]]
    network: RunNetwork
    x: Tensor
    ids: Sequence[int]
    configuration: dict[str, Any]
    folder: Path | None
    directory: Path | None
    whole: bool = True
    moment: Moment | None = None
    history: Sequence[dict[str, Any]] = ()
