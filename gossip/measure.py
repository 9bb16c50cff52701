"""What is recorded of a run at one step."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from algorithms import Sample, ShardedWorkload
from gossip.network import Communicator, InProcessNetwork


def measure(
    model: Tensor,
    sample: Sample,
    workload: ShardedWorkload,
    network: InProcessNetwork,
    communicator: Communicator,
    evaluated: int,
    auxiliary: int = 0,
) -> dict[str, float]:
    """Metrics of the models (k, d) and of the gradients just taken, the same on every rank; collective.

    Args:
        evaluated: How many nodes' own models are evaluated, at most n, evenly spaced over the node numbers.
        auxiliary: How many nodes, the last ones, have no data. They count in what is said of models, not in what is
            said of losses and gradients.

    Returns:
        train_loss: mean over nodes of the loss each saw.
        gradient_norm: norm of the average gradient.
        test_loss, test_accuracy, ...: what the workload says of the average model.
        node_test_loss, node_test_accuracy, ...: mean over the evaluated nodes of what it says of their own models.
        consensus_distance: root mean square over nodes of |x_i - average| (Kong et al. 2021, 2102.04828).
        bytes_sent_per_node, messages_sent_per_node: since the start, mean over nodes.
    """
    traffic = network.traffic
    with_data = network.n - auxiliary
    share = network.n / with_data
    with network.unrecorded():
        average = network.mean(model)
        gradient = network.mean(sample.gradient) * share
        evaluation = communicator.broadcast(dict(workload.evaluate(average)) if communicator.rank == 0 else None)

        columns = {
            "train_loss": sample.loss.double() * share,
            "consensus_distance": _squared_distances(model, average),
            "bytes_sent_per_node": traffic.bytes.double(),
            "messages_sent_per_node": traffic.messages.double(),
        }
        nodes = np.unique(np.linspace(0, with_data - 1, min(evaluated, with_data)).round().astype(int))
        columns |= {f"node_{name}": torch.zeros(len(model), dtype=torch.float64) for name in evaluation if len(nodes)}
        for node in nodes[np.isin(nodes, network.nodes)]:
            row = node - network.nodes.start
            for name, value in workload.evaluate(model[row]).items():
                columns[f"node_{name}"][row] = value * network.n / len(nodes)
        means = network.mean(torch.stack(list(columns.values()), dim=1))

    metrics = dict(zip(columns, means.tolist(), strict=True))
    metrics["consensus_distance"] = float(np.sqrt(metrics["consensus_distance"]))
    metrics["gradient_norm"] = float(_squared_distances(gradient[None], torch.zeros_like(gradient)).sqrt())
    return metrics | evaluation


def _squared_distances(rows: Tensor, point: Tensor) -> Tensor:
    """Squared distance of each row (k, d) from a point (d,), as (k,) in float64.

    One row at a time, so that no row's bits depend on the others, and all but the row itself stays in the cache.
    """
    squares = np.empty(len(rows))
    for r, row in enumerate(rows.numpy()):
        difference = (row - point.numpy()).astype(np.float64, copy=False)
        squares[r] = np.einsum("d,d->", difference, difference)
    return torch.from_numpy(squares)
