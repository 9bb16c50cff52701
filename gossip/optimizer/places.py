"""Where tensors lie in one vector, and tensors that lie there with a storage of their own each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack, to_dlpack

NUMPY = {torch.float16, torch.float32, torch.float64}
AS_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
LAST = {4: torch.channels_last, 5: torch.channels_last_3d}  # dimensions -> what has the channels last in memory


@dataclass(frozen=True)
class Place:
    """Where a tensor lies in a vector.

    Attributes:
        start: Its first number.
        stop: That after its last.
        shape: Its dimensions in the order of memory, the slowest first.
        order: Which of these each of its own dimensions is; None where they are the same.
    """

    start: int
    stop: int
    shape: tuple[int, ...]
    order: tuple[int, ...] | None

    @property
    def columns(self) -> slice:
        """Of the vector."""
        return slice(self.start, self.stop)

    def flat(self, tensor: Tensor) -> Tensor:
        """(numbers,): the numbers of a tensor in the order of memory."""
        return _in_memory(tensor, self.order).reshape(-1)


def format_of(tensor: Tensor) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """Its dimensions in the order of memory, and which of these each of its own is: see `Place`.

    Of orders other than the usual one that with the channels last is kept; what is strided otherwise gets the usual.
    """
    last = LAST.get(tensor.ndim)
    if last is None or tensor.is_contiguous() or not tensor.is_contiguous(memory_format=last):
        return tuple(tensor.shape), None
    order = (0, tensor.ndim - 1, *range(1, tensor.ndim - 1))
    return tuple(_in_memory(tensor, order).shape), order


def places_of(tensors: Iterable[Tensor]) -> list[Place]:
    """Where they lie one after the other."""
    tensors = list(tensors)
    stops = accumulate((each.numel() for each in tensors), initial=0)
    return [Place(*ends, *format_of(each)) for ends, each in zip(pairwise(stops), tensors, strict=True)]


def views(vector: Tensor, places: Sequence[Place]) -> list[Tensor]:
    """The tensors that lie in a vector (d,), with storages of their own over its memory, which they keep alive."""
    if vector.device.type != "cpu":
        return [from_dlpack(to_dlpack(_tensor(vector[place.columns], place))) for place in places]
    known = vector.dtype in NUMPY
    memory = (vector if known else vector.view(AS_INTEGERS[vector.itemsize])).numpy()
    parts = [torch.from_numpy(memory[place.start : place.stop].reshape(place.shape)) for place in places]
    if not known:
        parts = [part.view(vector.dtype) for part in parts]
    return [
        part if place.order is None else part.permute(place.order) for part, place in zip(parts, places, strict=True)
    ]


def _tensor(flat: Tensor, place: Place) -> Tensor:
    tensor = flat.view(place.shape)
    return tensor if place.order is None else tensor.permute(place.order)


def _in_memory(tensor: Tensor, order: tuple[int, ...] | None) -> Tensor:
    """With the dimensions in the order of memory."""
    return tensor if order is None else tensor.permute(*sorted(range(tensor.ndim), key=order.__getitem__))
