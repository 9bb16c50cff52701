"""What ranks need of each other to set up."""

from __future__ import annotations

import numpy as np
import pytest

from gossip.errors import DataError, UsageError
from gossip.network import Communicator

pytestmark = pytest.mark.ranks(3, 4, 7)


@pytest.mark.parametrize("length", [0, 1, 100_000])
def test_broadcast(processes: Communicator, length: int) -> None:
    for root in range(processes.size):
        sent = np.arange(length) + root
        received = processes.broadcast(sent if processes.rank == root else None, root)
        assert np.array_equal(received, sent)


def test_agreement(processes: Communicator) -> None:
    rank = processes.rank
    assert processes.first_rank_where(False) is None
    assert processes.first_rank_where(rank >= 1) == 1
    assert processes.from_root(lambda: rank) == 0
    assert processes.together(lambda: rank) == rank


def test_all_hear_of_the_error_of_some(processes: Communicator) -> None:
    def fail_from(first: int) -> None:
        if processes.rank >= first:
            raise ValueError(f"given by\n  rank {processes.rank}")

    with pytest.raises(UsageError, match=r"^given by rank 2 \(.*test_communicator.py:\d+ in .*fail_from\)$"):
        processes.together(lambda: fail_from(2))
    processes.barrier()


def test_all_hear_of_the_error_of_the_root(processes: Communicator) -> None:
    def unreadable() -> None:
        raise FileNotFoundError("no such data")

    with pytest.raises(DataError, match=r"^no such data \(.*test_communicator.py:\d+ in .*unreadable\)$"):
        processes.from_root(unreadable)
    processes.barrier()
