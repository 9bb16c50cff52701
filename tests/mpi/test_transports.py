"""How a job ends whose rank fails, with each transport; tests/mpi/ranks has what the transports promise."""

from __future__ import annotations

import time

import pytest

from tests.conftest import REPOSITORY, Run

PROGRAMS = REPOSITORY / "tests/mpi/programs"


@pytest.mark.parametrize("transport", ["shared-memory", "peer-to-peer", "neighbor-collective"])
def test_a_rank_that_fails_ends_those_that_wait_for_it(python: Run, transport: str) -> None:
    done = python(str(PROGRAMS / "failing.py"), transport, ranks=3)
    ended = time.time()
    assert done.returncode == 1
    assert done.stderr.count("RuntimeError: the third round") == 2  # a traceback, and a line that names the rank
    assert "[rank 1 of 3 on " in done.stderr
    (failed,) = done.stdout.splitlines()  # and nobody went on
    assert ended - float(failed) < 20
