"""The contract of a workload: data, model and loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from algorithms import ShardedWorkload

Arrays = Mapping[str, NDArray]
Read = Callable[[Callable[[], Arrays]], Arrays]
"""Calls a function that reads arrays and gives its result: under MPI on rank 0 only, but for all ranks."""


def read_here(function: Callable[[], Arrays]) -> Arrays:
    """`Read` of a single process: call the function."""
    return function()


@dataclass(frozen=True)
class Workload:
    """Data, model and loss by name. Its fields are its options; it holds no data until it is sharded."""

    def shard(self, n: int, seed: int, read: Read = read_here) -> ShardedWorkload:
        """The same on every rank: the workload with its data split over n nodes.

        Args:
            n: Number of nodes.
            seed: Decides the initial parameters and the split.
            read: How to read data (see `Read`).
        """
        raise NotImplementedError


@runtime_checkable
class HasStateDict(Protocol):
    """What a sharded workload gives of which a torch model can be made after the training."""

    @property
    def sources(self) -> Mapping[str, tuple[str, str]]:
        """Where each entry of the model's state_dict is: ("parameter", its name in the layout); ("own", the name of
        what each node has, see `HasBuffers`); or ("fixed", its name there)."""

    @property
    def fixed(self) -> Mapping[str, Tensor]:
        """What has not been trained, by name."""


def check_examples(examples: Tensor, sizes: NDArray[np.int64]) -> None:
    """Refuse example numbers (k, batch) beyond the `sizes` (k,) of the nodes: they would mean those of another node."""
    chosen = examples.numpy()
    if not ((chosen >= 0) & (chosen < sizes[:, None])).all():
        raise IndexError("there is an example number that the node does not have")
