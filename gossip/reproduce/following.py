"""Trainings whose states a study looks into, or changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import torch
from torch import Tensor

from algorithms import Algorithm, Minibatch, Sample, ShardedWorkload
from gossip.drivers.gradients import Gradients
from gossip.drivers.lockstep import Lockstep
from gossip.drivers.moment import Moment
from gossip.network import Communicator, RunNetwork, connect
from topologies import complete, with_servers


def followed(
    shards: ShardedWorkload, algorithm: Algorithm, batch: int, *, nodes: int, steps: int, seed: int
) -> Iterator[tuple[Moment, RunNetwork]]:
    """Every moment of a training, and the network, on which all nodes are linked; every rank computes all nodes.

    Args:
        shards: Data, model and loss.
        algorithm: The method.
        batch: Examples per node and step.
        nodes: How many, without servers.
        steps: After which is the last moment.
        seed: Decides all draws.
    """
    algorithm = algorithm.for_layout(shards.layout)
    with closing(connect(with_servers(complete(nodes), algorithm.servers), Communicator(), seed)) as network:
        gradients = Gradients(Minibatch(batch), shards, range(nodes), seed, algorithm.takes_losses)
        driver = Lockstep(algorithm, gradients, network)
        start = driver.start(shards.initial().repeat(network.n, 1))
        for moment in driver.moments(start, steps):
            yield moment, network


def kilobytes_per_node(network: RunNetwork, nodes: int) -> float:
    """What these nodes and the servers behind them have sent since the start, by the number of nodes."""
    return 1e-3 * int(network.traffic.bytes.sum()) / nodes


def on_first_examples(shards: ShardedWorkload, x: Tensor, examples: int) -> Sample:
    """Losses (n,) and gradients (n, d) of models x (n, d), each on so many of the training examples of its node."""
    nodes = range(len(x))
    return shards.gradient(x.contiguous(), nodes, torch.arange(examples).expand(len(x), -1).contiguous())


def in_the_end(runs: Sequence[Sequence[Mapping[str, float]]]) -> dict[str, Any]:
    """Columns of a table: the training loss half way and at the end, and the test accuracy at the end.

    Args:
        runs: Of each seed, what was measured at even distances: "loss" and "accuracy".
    """
    losses = [records[-1]["loss"] for records in runs]
    accuracies = [100 * records[-1]["accuracy"] for records in runs]
    return {
        "loss half way": float(np.mean([records[len(records) // 2]["loss"] for records in runs])),
        "loss": float(np.mean(losses)),
        "of each seed": ", ".join(f"{loss:.3f}" for loss in losses),
        "accuracy (%)": float(np.mean(accuracies)),
        "spread": float(np.ptp(accuracies)),
    }
