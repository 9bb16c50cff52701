"""What is recorded of a run at one step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from algorithms import Sample, ShardedWorkload
from algorithms.numerics.sums import squared_norms
from gossip.network import Communicator, RunNetwork


def measure(
    model: Tensor,
    sample: Sample,
    used: Mapping[str, Tensor],
    workload: ShardedWorkload,
    network: RunNetwork,
    communicator: Communicator,
    evaluated: int,
    reported: Mapping[str, Tensor],
    auxiliary: int = 0,
) -> dict[str, float]:
    """Metrics of the models (k, d) and of the gradients just taken, the same on every rank; collective.

    Args:
        used: What the oracle has counted, (k,) each, by name; without what the gradients just taken cost.
        evaluated: How many nodes' own models are evaluated, at most n, evenly spaced over the node numbers.
        reported: What the algorithm says of the local nodes, (k,) each.
        auxiliary: How many nodes, the last ones, have no data. They count in what is said of models, not in what is
            said of losses and gradients.

    Returns:
        train_loss: mean over nodes of the loss each saw.
        gradient_norm: norm of the average gradient.
        test_loss, test_accuracy, ...: what the workload says of the average model.
        node_test_loss, node_test_accuracy, ...: mean over the evaluated nodes of what it says of their own models.
        consensus_distance: root mean square over nodes of |x_i - average| (Kong et al. 2021, 2102.04828).
        bytes_sent_per_node, messages_sent_per_node: since the start, mean over nodes.
        gradients_per_node, queries_per_node: evaluations of the gradient and of the value of one example's loss that
            the steps so far have used, mean over nodes.
        What is reported: mean over nodes.
    """
    traffic = network.traffic
    with_data = network.n - auxiliary
    share = network.n / with_data
    with network.unrecorded():
        average = network.mean(model)
        gradient = network.mean(sample.gradient) * share
        with communicator.spans.span("evaluate", "compute"):
            evaluated_average = dict(workload.evaluate(average)) if communicator.rank == 0 else None
        evaluation = communicator.broadcast(evaluated_average)

        columns = {
            "train_loss": sample.loss.double() * share,
            "consensus_distance": _squared_distances(model, average),
            "bytes_sent_per_node": traffic.bytes.double(),
            "messages_sent_per_node": traffic.messages.double(),
            **{f"{name}_per_node": count.double() for name, count in used.items()},
        }
        columns |= {name: values.double() for name, values in reported.items()}
        nodes = np.unique(np.linspace(0, with_data - 1, min(evaluated, with_data)).round().astype(int))
        columns |= {f"node_{name}": torch.zeros(len(model), dtype=torch.float64) for name in evaluation if len(nodes)}
        for node in nodes[np.isin(nodes, network.nodes)].tolist():
            row = network.nodes.index(node)
            with communicator.spans.span("evaluate", "compute"):
                evaluated_row = workload.evaluate(model[row])
            for name, value in evaluated_row.items():
                columns[f"node_{name}"][row] = value * network.n / len(nodes)
        means = network.mean(torch.stack(list(columns.values()), dim=1))

    metrics = dict(zip(columns, means.tolist(), strict=True))
    metrics["consensus_distance"] = float(np.sqrt(metrics["consensus_distance"]))
    metrics["gradient_norm"] = float(_squared_distances(gradient[None], torch.zeros_like(gradient)).sqrt())
    return metrics | evaluation


def _squared_distances(rows: Tensor, point: Tensor) -> Tensor:
    """Squared distance of each row (k, d) from a point (d,), as (k,) in float64.

    One row at a time, so that all but the row itself stays in the cache.
    """
    return torch.cat([squared_norms((row - point)[None]) for row in rows])
