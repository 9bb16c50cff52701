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
    evaluate_nodes: bool,
) -> dict[str, float]:
    """Metrics of the models (k, d) and of the gradients just taken, the same on every rank; collective.

    Returns:
        train_loss: mean over nodes of the loss each saw.
        gradient_norm: norm of the average gradient.
        test_loss, test_accuracy, ...: what the workload says of the average model.
        node_test_loss, node_test_accuracy, ...: the mean over nodes of what it says of each node's own model.
        consensus_distance: root mean square over nodes of |x_i - average| (Kong et al. 2021, 2102.04828).
        bytes_sent_per_node, messages_sent_per_node: since the start, mean over nodes.
    """
    columns = {
        "train_loss": sample.loss,
        "bytes_sent_per_node": network.traffic.bytes,
        "messages_sent_per_node": network.traffic.messages,
    }
    if evaluate_nodes:
        scores = [workload.evaluate(x) for x in model]
        for name in scores[0]:
            columns[f"node_{name}"] = torch.tensor([score[name] for score in scores], dtype=torch.float64)

    with network.unrecorded():
        average = network.mean(model)
        gradient = network.mean(sample.gradient)
        columns["consensus_distance"] = _squares(model - average)
        means = network.mean(torch.stack([column.double() for column in columns.values()], dim=1))

    metrics = dict(zip(columns, means.tolist(), strict=True))
    metrics["consensus_distance"] = float(np.sqrt(metrics["consensus_distance"]))
    metrics["gradient_norm"] = float(_squares(gradient[None]).sqrt())
    metrics.update(communicator.broadcast(dict(workload.evaluate(average)) if communicator.rank == 0 else None))
    return metrics


def _squares(rows: Tensor) -> Tensor:
    """Squared norm of each row, (k, d) -> (k,); einsum adds in the same order however many rows there are."""
    array = rows.double().numpy()
    return torch.from_numpy(np.einsum("kd,kd->k", array, array))
