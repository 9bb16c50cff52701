"""Training examples as they are used: false labels of some nodes', inputs that differ by node, and in float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gossip.errors import UsageError

Shards = Sequence[NDArray[np.int64]]
Change = Callable[[int, NDArray], NDArray]
"""What becomes of the inputs (m, ...) of a node's examples, in float64; given its number."""


def copied(shards: Shards, nodes: Sequence[int], end: int) -> Shards:
    """The shards where these nodes' examples have copies after the first `end`, one node after another."""
    changed = list(shards)
    for node in nodes:
        changed[node] = np.arange(end, end + len(shards[node]))
        end += len(shards[node])
    return changed


def flipped(
    inputs: Tensor, targets: Tensor, shards: Shards, nodes: Sequence[int], others: Tensor
) -> tuple[Tensor, Tensor, Shards]:
    """(inputs, targets, shards) with copies of these nodes' examples at the end, of class C - 1 - c in place of c.

    Copies, since another node may have the same examples.

    Args:
        inputs: Of all training examples, along the first dimension.
        targets: Their classes, from 0 on.
        shards: The examples of each node.
        nodes: Some nodes.
        others: Further classes, by which C is found, too.

    Raises:
        UsageError: The targets are no classes.
    """
    if targets.is_floating_point():
        raise UsageError("FlippedLabels: the targets are numbers, not classes that could be flipped")
    last = int(max(targets.max(), others.max()))
    own = torch.from_numpy(np.concatenate([shards[node] for node in nodes]))
    labels = torch.cat([targets, last - targets[own]])
    return torch.cat([inputs, inputs[own]]), labels, copied(shards, nodes, len(targets))


def shifted(inputs: Tensor, targets: Tensor, shards: Shards, change: Change) -> tuple[Tensor, Tensor, Shards]:
    """(inputs, targets, shards) with each node's inputs changed, in float32, one node after another.

    Args:
        inputs: Of all training examples, along the first dimension.
        targets: Theirs.
        shards: The examples of each node.
        change: What is done.

    Raises:
        UsageError: The inputs are symbols, not quantities.
    """
    if not inputs.is_floating_point() and inputs.dtype != torch.uint8:
        raise UsageError("ShiftedFeatures: the inputs are symbols, not quantities that could be shifted")
    rows = [change(node, inputs[shard].double().numpy()) for node, shard in enumerate(shards)]
    ends = np.cumsum([len(shard) for shard in shards])
    places = np.split(np.arange(ends[-1]), ends[:-1])
    order = np.concatenate(list(shards))
    return torch.from_numpy(np.concatenate(rows)).float(), targets[torch.from_numpy(order)], places


def in_float32(values: Tensor) -> Tensor:
    """Numbers with a point in float32, and others as they are."""
    return values.float() if values.is_floating_point() else values
