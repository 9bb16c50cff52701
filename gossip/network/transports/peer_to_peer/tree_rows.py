"""The rows of some nodes on every rank, along the tree of the sums: up to its root, and from there to who lacks them.

Each rank receives each row once: those of its right subtrees on the way up, all others on the way down.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from mpi4py import MPI
from torch import Tensor

from algorithms.compressors import Message
from algorithms.compressors.wire.frames import Bytes
from gossip.network.plans.halo import Indices
from gossip.network.plans.tree import TreePlan
from gossip.network.sums.pages import as_bytes
from gossip.network.transport import Wire
from gossip.processes.mpi import MpiCommunicator

ROWS = 3  # the tag of these rows


class Collection(Protocol):
    """Rows of some nodes, at places 0, 1, ... in node order, some of which are there."""

    def take(self, places: Indices) -> Bytes:
        """The rows at these places, one after the other."""

    def put(self, places: Indices, rows: Bytes) -> None:
        """These have come for these places."""


class EqualRows:
    """A `Collection` of rows of the same size.

    Args:
        rows: (places, bytes), of which those that are there are set.
    """

    def __init__(self, rows: Bytes) -> None:
        self.rows = rows

    def take(self, places: Indices) -> Bytes:
        """See `Collection`."""
        return self.rows[places].reshape(-1)

    def put(self, places: Indices, rows: Bytes) -> None:
        """See `Collection`."""
        self.rows[places] = rows.reshape(len(places), -1)


class PackedRows:
    """A `Collection` of packed rows of any size.

    Args:
        message: Knows where each row ends.
        places: How many there will be.
    """

    def __init__(self, message: Message, places: int) -> None:
        self.rows: list[Bytes] = [np.empty(0, np.uint8)] * places
        self._message = message

    def take(self, places: Indices) -> Bytes:
        """See `Collection`."""
        return np.concatenate([self.rows[place] for place in places.tolist()])

    def put(self, places: Indices, rows: Bytes) -> None:
        """See `Collection`."""
        come = self._message.received(rows, len(places))
        for i, place in enumerate(places.tolist()):
            self.rows[place] = come.pack(i)


def rows_of_stack(
    value: Tensor, nodes: Sequence[int], tree: TreePlan, communicator: MpiCommunicator, wire: Wire
) -> Tensor:
    """The rows of these nodes, (len(nodes), d), from stacks (k, d) of the local ones; collective."""
    wanted, order = np.unique(np.asarray(nodes, np.int64), return_inverse=True)
    place_of, row_of = _local(wanted, tree.hosted[communicator.rank])
    everything = torch.empty(len(wanted), value.shape[1], dtype=value.dtype)
    everything[torch.from_numpy(place_of)] = value.detach()[torch.from_numpy(row_of).to(value.device)].cpu()
    _spread(EqualRows(as_bytes(everything)), wanted, tree, communicator, wire)
    return everything[torch.from_numpy(order)].to(value.device)


def rows_of_packed(
    message: Message, nodes: Sequence[int], tree: TreePlan, communicator: MpiCommunicator, wire: Wire
) -> Message:
    """The packed rows of these nodes, from those of the local ones; collective."""
    wanted, order = np.unique(np.asarray(nodes, np.int64), return_inverse=True)
    everything = PackedRows(message, len(wanted))
    for place, row in zip(*_local(wanted, tree.hosted[communicator.rank]), strict=True):
        everything.rows[place] = message.pack(int(row))
    _spread(everything, wanted, tree, communicator, wire)
    return message.of([everything.rows[place] for place in order.tolist()])


def _local(wanted: Indices, nodes: Sequence[int]) -> tuple[Indices, Indices]:
    """(the places of the local nodes among those that are wanted, their rows)."""
    _, places, rows = np.intersect1d(wanted, np.asarray(nodes, np.int64), assume_unique=True, return_indices=True)
    return places, rows


def _spread(collection: Collection, wanted: Indices, tree: TreePlan, communicator: MpiCommunicator, wire: Wire) -> None:
    """Complete the collection of the wanted nodes' rows, ascending, on every rank."""
    rank = communicator.rank
    sends: list[tuple[MPI.Request, int]] = []

    def send(places: Indices, target: int) -> None:
        if len(places):
            rows = collection.take(places)
            wire.count(len(rows))
            sends.append((communicator.mpi.Isend(rows, target, ROWS), target))

    def receive(places: Indices, source: int) -> None:
        if len(places):
            collection.put(places, _received(communicator, source))

    for join in tree.joins:
        if join.left_rank == join.right_rank:
            continue
        if rank in (join.left_rank, join.right_rank):
            places = np.arange(*np.searchsorted(wanted, [join.right, join.stop]))
            if rank == join.right_rank:
                send(places, join.left_rank)
            else:
                receive(places, join.right_rank)
    for source, target in tree.shares:
        if rank in (source, target):
            places = np.flatnonzero(tree.lacking(target)[wanted])
            if rank == source:
                send(places, target)
            else:
                receive(places, source)
    communicator.wait([request for request, _ in sends], [target for _, target in sends])


def _received(communicator: MpiCommunicator, source: int) -> Bytes:
    """What the next message from this rank holds."""
    arrived: list[tuple[MPI.Request, Bytes]] = []

    def poll() -> bool:
        status = MPI.Status()
        message = communicator.mpi.Improbe(source, ROWS, status)
        if message is not None:
            buffer = np.empty(status.Get_count(MPI.BYTE), np.uint8)
            arrived.append((message.Irecv(buffer), buffer))
        return bool(arrived)

    communicator.poll(poll, lambda: [source])
    ((request, buffer),) = arrived
    communicator.wait([request], [source])
    return buffer
