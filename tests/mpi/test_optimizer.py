"""How jobs with `gossip.Optimizer` end; tests/mpi/ranks has what it does."""

from __future__ import annotations

import pytest

from tests.conftest import REPOSITORY, Run

PROGRAMS = REPOSITORY / "tests/mpi/programs"
STRICT = ("-W", "error")


def test_it_need_not_be_closed(python: Run) -> None:
    done = python(*STRICT, str(PROGRAMS / "optimizer.py"), "exiting", ranks=3)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done") == 3
    assert not done.stderr, done.stderr


@pytest.mark.parametrize(
    ("aspect", "says"),
    [
        ("wrong_name", "there is no topology 'rung'; there are alternating_hierarchical, balanced_tree, "),
        ("wrong_number", "ring has 4 nodes but there are 3 ranks, and every rank is one node"),
        ("wrong_kind", "ExactDiffusion needs a topology that is symmetric, and custom is not"),
        ("wrong_model", "rank 1 has parameters or buffers of other shapes than rank 0"),
        ("wrong_type", "must share one floating-point type and one device"),
    ],
)
def test_what_cannot_be_run_is_one_line_from_rank_0(python: Run, aspect: str, says: str) -> None:
    done = python(*STRICT, str(PROGRAMS / "optimizer.py"), aspect, ranks=3)
    assert done.returncode not in (0, None)
    lines = [line for line in done.stderr.splitlines() if "rror" in line]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("gossip: error: ")
    assert says in lines[0]
    assert "done" not in done.stdout


@pytest.mark.parametrize(
    ("aspect", "rank", "says"),
    [
        ("failing", 2, "KeyError: 'deliberate'"),
        ("changed", 0, "RuntimeError: parameters were changed since the last step"),
    ],
)
def test_an_exception_on_one_rank_ends_the_job(python: Run, aspect: str, rank: int, says: str) -> None:
    done = python(*STRICT, str(PROGRAMS / "optimizer.py"), aspect, ranks=3, timeout=60)
    assert done.returncode not in (0, None)
    assert done.stderr.count("Traceback") == 1, done.stderr
    assert f"[rank {rank} of 3 on " in done.stderr
    assert says in done.stderr
