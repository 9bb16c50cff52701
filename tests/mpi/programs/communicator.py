"""What ranks need of each other to set up."""

from __future__ import annotations

import numpy as np

from gossip.errors import DataError, UsageError
from gossip.processes import launcher

communicator = launcher.world()
rank, size = communicator.rank, communicator.size

for root in range(size):
    for length in (0, 1, 100_000):
        sent = np.arange(length) + root
        received = communicator.broadcast(sent if rank == root else None, root)
        assert np.array_equal(received, sent)

assert communicator.first_rank_where(False) is None
assert communicator.first_rank_where(rank >= 1) == 1
assert communicator.from_root(lambda: rank) == 0
assert communicator.together(lambda: rank) == rank


def fail_from(first: int) -> None:
    if rank >= first:
        raise ValueError(f"given by\n  rank {rank}")


def unreadable() -> None:
    raise FileNotFoundError("no such data")


for call, kind, message in (
    (lambda: communicator.together(lambda: fail_from(2)), UsageError, "given by rank 2"),
    (lambda: communicator.from_root(unreadable), DataError, "no such data"),
):
    try:
        call()
    except kind as error:
        assert str(error) == message
    else:
        raise AssertionError(f"rank {rank} did not hear of the error")
communicator.barrier()
if rank == 0:
    print("all agreed")
