"""The network between MPI processes."""

from __future__ import annotations

import pytest

from tests.conftest import REPOSITORY, Run

PROGRAMS = REPOSITORY / "tests/mpi/programs"


TRANSPORTS = ("shared-memory", "peer-to-peer", "neighbor-collective")


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(("ranks", "nodes"), [(4, 4), (3, 8)])
def test_counted_bytes_are_those_handed_to_mpi(python: Run, ranks: int, nodes: int, transport: str) -> None:
    done = python(str(PROGRAMS / "counted_bytes.py"), str(nodes), transport, ranks=ranks)
    assert done.returncode == 0, done.stderr
    assert "all counted" in done.stdout


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_waiting_ranks_leave_the_cores_to_others(python: Run, transport: str) -> None:
    done = python(str(PROGRAMS / "idle_waiting.py"), transport, ranks=3)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("ranks", [3, 4, 7])
def test_ranks_agree(python: Run, ranks: int) -> None:
    done = python(str(PROGRAMS / "communicator.py"), ranks=ranks)
    assert done.returncode == 0, done.stderr
    assert "all agreed" in done.stdout
