"""What is recorded of a run at one step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from algorithms import HasBuffers, Method, ShardedWorkload
from algorithms.numerics.sums import squared_norms
from algorithms.oracles.oracle import as_average
from gossip.drivers.moment import Look
from gossip.network import Communicator, RunNetwork

SENT = ("bytes_sent_per_node", "messages_sent_per_node")
CACHED = 1 << 17  # bytes of rows whose distances are taken at once


@dataclass(frozen=True)
class Measure:
    """Measures the models of all nodes and the gradients at them, the same on every rank."""

    workload: ShardedWorkload
    """Evaluates models."""

    network: RunNetwork
    """Takes the means over nodes; what is sent for that does not count."""

    processes: Communicator
    """The ranks."""

    evaluated: int
    """How many nodes' own models are evaluated, at most n, evenly spaced over the node numbers."""

    algorithm: Method
    """Says how many nodes, the last ones, have no data, and are servers.

    Auxiliary nodes count in what is said of models, and not in what is said of losses and gradients. Servers count
    in what is said of traffic only."""

    def __call__(self, model: Tensor, look: Look, reported: Mapping[str, Tensor]) -> dict[str, float]:
        """The metrics at one moment; collective.

        Args:
            model: (k, d), what the algorithm outputs at the local nodes.
            look: The gradients just taken.
            reported: What the algorithm says of the local nodes, (k,) each, by name.

        Returns:
            train_loss: mean over nodes of the loss each saw.
            gradient_norm: norm of the average gradient.
            test_loss, test_accuracy, ...: what the workload says of the average model.
            node_test_loss, node_test_accuracy, ...: mean over the evaluated nodes of what it says of their own models.
            consensus_distance: root mean square over nodes of |x_i - average| (Kong et al. 2021, 2102.04828).
            bytes_sent_per_node, messages_sent_per_node: since the start, mean over nodes, servers included.
            gradients_per_node, queries_per_node: evaluations of the gradient and of the value of one example's loss
                that the steps so far have used, mean over nodes.
            What is reported: mean over nodes.
        """
        network, traffic = self.network, self.network.traffic
        n = network.n - self.algorithm.servers
        share = n / (n - self.algorithm.auxiliary)
        with network.unrecorded():
            average = network.sum(self._without_servers(model)) / n
            gradient = network.sum(look.sample.gradient) / n * share
            buffers = self._average_buffers(look.buffers, len(model))
            root = self.processes.rank == 0
            evaluation = self.processes.broadcast(self._evaluated(average, buffers) if root else None)
            columns = {
                "train_loss": look.sample.loss.double() * share,
                "consensus_distance": _squared_distances(model, average),
                "bytes_sent_per_node": traffic.bytes.double(),
                "messages_sent_per_node": traffic.messages.double(),
                **{f"{name}_per_node": count.double() for name, count in look.used.items()},
                **{name: values.double() for name, values in reported.items()},
                **self._of_single_nodes(model, look.buffers, evaluation),
            }
            own = {name: self._without_servers(values) for name, values in columns.items() if name not in SENT}
            sums = network.sum(torch.stack(list((columns | own).values()), dim=1)).tolist()

        nodes = (network.n if name in SENT else n for name in columns)
        metrics = {name: total / among for name, total, among in zip(columns, sums, nodes, strict=True)}
        metrics["consensus_distance"] = float(np.sqrt(metrics["consensus_distance"]))
        metrics["gradient_norm"] = float(_squared_distances(gradient[None], torch.zeros_like(gradient)).sqrt())
        return metrics | evaluation

    def _evaluated(self, model: Tensor, buffers: Mapping[str, Tensor]) -> dict[str, float]:
        """What the workload says of one model (d,), that has these buffers (...), if any."""
        with self.processes.spans.span("evaluate", "compute"):
            if isinstance(self.workload, HasBuffers) and buffers:
                return dict(self.workload.evaluate(model, buffers))
            return dict(self.workload.evaluate(model))

    def _average_buffers(self, buffers: Mapping[str, Tensor], k: int) -> dict[str, Tensor]:
        """(...) each, by name: the average over all nodes with data."""
        if not buffers:
            return {}
        n = self.network.n - self.algorithm.without_data
        rows = torch.cat([stack.reshape(len(stack), -1).double() for stack in buffers.values()], dim=1)
        means = self.network.sum(torch.cat([rows, rows.new_zeros(k - len(rows), rows.shape[1])])) / n
        parts = means.split([math.prod(stack.shape[1:]) for stack in buffers.values()])
        return {
            name: as_average(part.reshape(stack.shape[1:]), stack.dtype)
            for (name, stack), part in zip(buffers.items(), parts, strict=True)
        }

    def _without_servers(self, rows: Tensor) -> Tensor:
        """(k, ...): zeros in the place of the rows of servers."""
        if not self.algorithm.servers:
            return rows
        clients = sum(node < self.network.n - self.algorithm.servers for node in self.network.nodes)
        return rows if clients == len(rows) else torch.cat([rows[:clients], torch.zeros_like(rows[clients:])])

    def _of_single_nodes(
        self, model: Tensor, buffers: Mapping[str, Tensor], evaluation: Mapping[str, float]
    ) -> dict[str, Tensor]:
        """(k,) each: what is said of own models, such that the means over all nodes are those over the evaluated."""
        n = self.network.n - self.algorithm.servers
        with_data = n - self.algorithm.auxiliary
        nodes = np.unique(np.linspace(0, with_data - 1, min(self.evaluated, with_data)).round().astype(int))
        columns = {f"node_{name}": torch.zeros(len(model), dtype=torch.float64) for name in evaluation if len(nodes)}
        for node in nodes[np.isin(nodes, self.network.nodes)].tolist():
            row = self.network.nodes.index(node)
            own = {name: stack[row] for name, stack in buffers.items()}
            for name, value in self._evaluated(model[row], own).items():
                columns[f"node_{name}"][row] = value * n / len(nodes)
        return columns


def _squared_distances(rows: Tensor, point: Tensor) -> Tensor:
    """Squared distance of each row (k, d) from a point (d,), as (k,) in float64.

    Some rows at a time, so that what is computed stays in the cache.
    """
    size = max(1, CACHED // (rows.shape[1] * rows.element_size()))
    return torch.cat([squared_norms(some - point) for some in rows.split(size)])
