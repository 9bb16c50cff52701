"""A run lets go of its communicator however it ends: MPI has no more than some thousand of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

import gossip
from algorithms import DecentralizedSGD
from gossip.errors import DivergedError, UsageError
from gossip.network import Communicator
from gossip.processes.calls import RUN
from gossip.processes.gathering import gathered
from gossip.workloads import LeastSquares
from topologies import complete, ring

pytestmark = pytest.mark.ranks(2)

Count = Callable[[], tuple[int, int]]


@pytest.fixture
def duplicates(processes: Communicator) -> Iterator[Count]:
    """How many duplicates of the world have been made, and how many of them freed: an attribute tells.

    That by which ranks keep an eye on each other is made with the first one, for as long as the process lasts.
    """
    from mpi4py import MPI

    gathered(None, RUN, None).close()
    made, freed = [], []

    def copy(communicator: MPI.Comm, key: int, value: object) -> object:
        made.append(True)
        return value

    def delete(communicator: MPI.Comm, key: int, value: object) -> None:
        freed.append(True)

    key = MPI.Comm.Create_keyval(copy_fn=copy, delete_fn=delete)
    MPI.COMM_WORLD.Set_attr(key, True)
    yield lambda: (len(made), len(freed))
    MPI.COMM_WORLD.Delete_attr(key)
    MPI.Comm.Free_keyval(key)


def squares() -> LeastSquares:
    random = np.random.default_rng(0)
    return LeastSquares(random.normal(size=(4, 6, 3)), random.normal(size=(4, 6)))


def test_a_run_that_comes_to_its_end(duplicates: Count) -> None:
    gossip.run(squares(), ring(4), DecentralizedSGD(lr=0.1), steps=2, output=None)
    made, freed = duplicates()
    assert made == freed > 0


def test_a_run_that_diverges(duplicates: Count) -> None:
    with pytest.raises(DivergedError):
        gossip.run(squares(), complete(4), DecentralizedSGD(lr=1e30), steps=100, output=None)
    made, freed = duplicates()
    assert made == freed > 0


def test_a_run_that_is_refused(duplicates: Count) -> None:
    with pytest.raises(UsageError, match="2 ranks for 1 nodes"):
        gossip.run(squares(), ring(1), DecentralizedSGD(), steps=1, output=None)
    with pytest.raises(UsageError, match="start is a"):
        gossip.run(squares(), ring(4), DecentralizedSGD(), steps=1, output=None, start=np.zeros(7))
    made, freed = duplicates()
    assert made == freed > 0
