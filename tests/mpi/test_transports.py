"""Each transport gives the bits of one process and keeps its promises under delays."""

from __future__ import annotations

import time

import pytest

from tests.conftest import REPOSITORY, Run

PROGRAMS = REPOSITORY / "tests/mpi/programs"


@pytest.mark.parametrize(
    ("ranks", "size"), [(2, "small"), (3, "small"), (4, "small"), (5, "compiled"), (2, "segments")]
)
def test_transports_agree_with_one_process(python: Run, ranks: int, size: str) -> None:
    done = python(str(PROGRAMS / "transports.py"), size, ranks=ranks, timeout=250)
    assert done.returncode == 0, done.stderr
    assert "all the same" in done.stdout


@pytest.mark.parametrize("loops", ["interpreted", "compiled"])
@pytest.mark.parametrize("ranks", [2, 4])
def test_no_rank_reads_what_another_overwrites(python: Run, ranks: int, loops: str) -> None:
    done = python(str(PROGRAMS / "hazards.py"), loops, ranks=ranks, timeout=250)
    assert done.returncode == 0, done.stderr
    assert "all right" in done.stdout
    assert done.stderr == ""


def test_shared_memory_is_given_back(python: Run) -> None:
    done = python(str(PROGRAMS / "reconnecting.py"), ranks=2)
    assert done.returncode == 0, done.stderr
    assert "nothing left" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("transport", ["shared-memory", "peer-to-peer", "neighbor-collective"])
def test_a_rank_that_fails_ends_those_that_wait_for_it(python: Run, transport: str) -> None:
    done = python(str(PROGRAMS / "failing.py"), transport, ranks=3)
    ended = time.time()
    assert done.returncode == 1
    assert done.stderr.count("RuntimeError: the third round") == 2  # a traceback, and a line that names the rank
    assert "[rank 1 of 3 on " in done.stderr
    (failed,) = done.stdout.splitlines()  # and nobody went on
    assert ended - float(failed) < 20
