"""Tests that fail in every way, for tests/mpi/test_launches.py; pytest finds them only if told where they are."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from gossip.processes.mpi import MpiCommunicator


@pytest.mark.ranks(2)
def test_passes(processes: MpiCommunicator) -> None:
    processes.barrier()


@pytest.mark.ranks(2)
def test_one_rank_fails_while_the_other_waits(processes: MpiCommunicator) -> None:
    processes.patience = 2
    assert processes.rank == 0, "this is rank 1"
    processes.barrier()


@pytest.mark.ranks(2)
def test_one_rank_complains(processes: MpiCommunicator) -> None:
    if processes.rank == 1:
        print("something is odd", file=sys.stderr)


@pytest.mark.ranks(2)
def test_one_rank_is_killed(processes: MpiCommunicator) -> None:
    if processes.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    processes.barrier()


@pytest.mark.ranks(2)
@pytest.mark.timeout(3)
def test_one_rank_hangs_where_no_exception_reaches_it(processes: MpiCommunicator) -> None:
    if processes.rank == 1:
        processes.mpi.Barrier()


@pytest.mark.ranks(2)
def test_passes_after_all_that(processes: MpiCommunicator) -> None:
    processes.barrier()
