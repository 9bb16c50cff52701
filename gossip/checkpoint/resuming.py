"""A run goes on from a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from algorithms import Algorithm, Traffic
from gossip.checkpoint.entries import StatesFromRows
from gossip.checkpoint.sections import nodes_of_sections
from gossip.checkpoint.store import Checkpoint
from gossip.drivers.moment import Position
from gossip.network import Communicator, RunNetwork
from gossip.records.recorder import Recorder


def resume(
    folder: Path,
    algorithm: Algorithm,
    *,
    device: torch.device,
    processes: Communicator,
    network: RunNetwork,
    recorder: Recorder,
) -> Position:
    """Where a run stood when this checkpoint was written; collective.

    Args:
        folder: The checkpoint.
        algorithm: That of the run, for this model.
        device: Where the states go.
        processes: The ranks, maybe of another number than those that have written it.
        network: Goes on from the round that it was in then, with what was under way.
        recorder: Goes on after what was recorded until then.

    Raises:
        DataError: The checkpoint is damaged.
    """
    checkpoint = processes.together(lambda: Checkpoint(folder))
    processes.from_root(checkpoint.check_names)
    history = processes.from_root(checkpoint.history)
    manifest, nodes = checkpoint.manifest, nodes_of_sections(network, algorithm)
    read = StatesFromRows(algorithm, checkpoint, device)

    def states() -> dict[str, Any]:
        sections = ("algorithm", "oracle", "network")
        return {name: read.state(name, manifest["states"][name], nodes[name]) for name in sections}

    restored = processes.together(states)
    checkpoint.close()
    processes.together(lambda: recorder.resume(history))
    counts = restored["network"]
    # What ranks have handed to MPI; fewer ranks than before carry on the counts of several.
    wire = np.sum(manifest["wire"][processes.rank :: processes.size] or [[0, 0]], axis=0).tolist()
    posted = [read.named(name) for name in manifest["posted"]]
    means = [read.named(name) for name in manifest["posted_means"]]
    network.load_clock_state(manifest["clock"])
    network.resume(counts.round, Traffic(counts.bytes, counts.messages, *wire), posted, means)
    return Position(checkpoint.step, restored["algorithm"], restored["oracle"], manifest["seconds"])
