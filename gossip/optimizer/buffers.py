"""Tensors beside the parameters, such as running means, that neighbours average."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

import torch
from torch import Tensor
from torch._utils import _unflatten_dense_tensors as unflatten  # one call for all views, as DDP uses it

from gossip.network import RunNetwork, mix_beside


class Buffers:
    """Those of floating point; others are left alone.

    Args:
        tensors: All of them.

    Attributes:
        tensors: Those of floating point.

    Raises:
        ValueError: if something else is among them.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        tensors = list(tensors) if isinstance(tensors, Iterable) else [tensors]
        for each in tensors:
            if not isinstance(each, Tensor):
                raise ValueError(f"buffers must be tensors, such as model.buffers(), and {each!r} is none")
        self.tensors = [each for each in tensors if each.is_floating_point()]

    def mix(self, network: RunNetwork, ended: int) -> None:
        """Average them with the neighbours', as a part of the round that just ended; collective."""
        self._set(mix_beside(network, ended, self._flat())[0])

    def take_mean(self, network: RunNetwork) -> list[Tensor]:
        """Make them the average over all nodes, and give copies of what they were; collective."""
        before = [each.clone() for each in self.tensors]
        if before:
            self._set(network.mean(self._flat()))
        return before

    def set_back(self, before: Iterable[Tensor]) -> None:
        """Give them these values."""
        for each, value in zip(self.tensors, before, strict=True):
            each.copy_(value)

    def _flat(self) -> Tensor:
        """(1, b), at least in single precision."""
        dtype = reduce(torch.promote_types, (each.dtype for each in self.tensors), torch.float32)
        return torch.cat([each.reshape(-1).to(dtype) for each in self.tensors])[None]

    def _set(self, flat: Tensor) -> None:
        for each, value in zip(self.tensors, unflatten(flat, self.tensors), strict=True):
            each.copy_(value)
