"""A run goes on from a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from algorithms import Algorithm, Method, Oracle, SavedNodes, Traffic
from gossip.checkpoint.entries import StatesFromRows
from gossip.checkpoint.fitting import check_result
from gossip.checkpoint.places import MANIFEST
from gossip.checkpoint.sections import NetworkSection, nodes_of_sections
from gossip.checkpoint.store import Checkpoint
from gossip.drivers.moment import Position
from gossip.network import Communicator, RunNetwork

# What comes of parts that do not fit together, though each is well-formed.
MALFORMED = (AttributeError, IndexError, KeyError, OverflowError, RuntimeError, TypeError)


def resume(
    folder: Path,
    algorithm: Method,
    oracle: Oracle,
    *,
    device: torch.device,
    processes: Communicator,
    network: RunNetwork,
) -> tuple[Position, list[dict[str, Any]]]:
    """Where a run stood when this checkpoint was written, and what had been recorded; collective.

    Args:
        folder: The checkpoint.
        algorithm: That of the run, for this model,
        oracle: and that.
        device: Where the states go.
        processes: The ranks, maybe of another number than those that have written it.
        network: Goes on from the round that it was in then, with what was under way.

    Raises:
        DataError: The checkpoint is damaged.
    """
    checkpoint = processes.together(lambda: Checkpoint(folder))
    processes.from_root(checkpoint.check_names)
    history = processes.from_root(checkpoint.history)
    manifest, nodes = checkpoint.manifest, nodes_of_sections(network, algorithm)
    read = StatesFromRows(algorithm, checkpoint, device)

    def states() -> dict[str, Any]:
        makers: dict[str, Callable[..., Any]] = {
            "algorithm": algorithm.start if isinstance(algorithm, Algorithm) else SavedNodes,
            "oracle": oracle.start,
            "network": NetworkSection,
        }
        try:
            states = {name: read.state(name, manifest["states"][name], nodes[name]) for name in makers}
            for name, maker in makers.items():
                check_result(maker, states[name], name)
            return states
        except MALFORMED as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise checkpoint.damaged(MANIFEST, f"and the files of ranks make no state ({reason})") from error

    restored = processes.together(states)
    checkpoint.close()
    counts = restored["network"]
    # What ranks have handed to MPI; fewer ranks than before carry on the counts of several.
    wire = np.sum(manifest["wire"][processes.rank :: processes.size] or [[0, 0]], axis=0).tolist()
    posted = [read.named(name) for name in manifest["posted"]]
    means = [read.named(name) for name in manifest["posted_means"]]
    processes.together(lambda: _load_clock(network, checkpoint))
    network.resume(counts.round, Traffic(counts.bytes, counts.messages, *wire), posted, means)
    return Position(checkpoint.step, restored["algorithm"], restored["oracle"], manifest["seconds"]), history


def _load_clock(network: RunNetwork, checkpoint: Checkpoint) -> None:
    try:
        network.load_clock_state(checkpoint.manifest["clock"])
    except (*MALFORMED, ValueError) as error:
        raise checkpoint.damaged(MANIFEST, f"has a clock that cannot be set ({error})") from error
