"""What all ranks have alike at the start of a loop of one's own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gossip.optimizer.places import format_of
from gossip.processes.communicator import Communicator


def agree_on_shapes(tensors: Sequence[Tensor], processes: Communicator) -> None:
    """Refuse parameters and buffers that are not of the same shapes, in the same order of memory, on all ranks."""
    shapes = [format_of(each) for each in tensors]
    reference = processes.broadcast(shapes)

    def check() -> None:
        if shapes != reference:
            raise ValueError(f"rank {processes.rank} has parameters or buffers of other shapes than rank 0")

    processes.together(check)


@torch.no_grad()
def equalize(tensors: Sequence[Tensor], processes: Communicator) -> None:
    """Give them the values that they have on rank 0; collective."""
    values = processes.broadcast([each.detach().cpu().clone() for each in tensors])
    for each, value in zip(tensors, values, strict=True):
        each.copy_(value)
