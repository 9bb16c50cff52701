"""Tests on ranks: whatever one of them does is told of it by name, and the others run."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conftest import MPIRUN, lacking
from tests.mpi.launches import Launch

WANTED = {  # the outcome of each test, and what is said
    "test_passes": ("passed", ""),
    "test_one_rank_fails_while_the_other_waits": (
        "failed",
        r"\[rank 0 of 2\] .*StalledError: waits for the other ranks .*\[rank 1 of 2\] .*AssertionError: this is rank 1",
    ),
    "test_one_rank_complains": ("failed", r"^\[rank 1 of 2\] it has passed, but .*stderr:\nsomething is odd\n$"),
    "test_one_rank_is_killed": ("failed", "^during this case, on 2 ranks: the ranks ended with exit code "),
    "test_one_rank_hangs_where_no_exception_reaches_it": (
        "failed",
        r"^during this case, .*unruly.py\", line \d+ in test_one_rank_hangs_where_no_exception_reaches_it",
    ),
    "test_passes_after_all_that": ("passed", ""),
}


def test_failures_are_told_apart(tmp_path: Path) -> None:
    if not MPIRUN.exists():
        lacking("mpirun beside this Python", "install the extra mpich")
    cases = {name: f"tests/mpi/ranks/unruly.py::{name}[ranks2]" for name in WANTED}
    launch = Launch(2, [*cases.values()], tmp_path)
    try:
        for name, (outcome, says) in WANTED.items():
            verdict = launch.verdict(cases[name])
            assert (name, verdict.outcome) == (name, outcome), verdict.text
            assert re.search(says, verdict.text, re.DOTALL), verdict.text
    finally:
        launch.end()


def test_what_cannot_start_fails(tmp_path: Path) -> None:
    if not MPIRUN.exists():
        lacking("mpirun beside this Python", "install the extra mpich")
    launch = Launch(
        2, ["tests/mpi/ranks/nowhere.py::test_a[ranks2]", "tests/mpi/ranks/nowhere.py::test_b[ranks2]"], tmp_path
    )
    for case in "ab":
        verdict = launch.verdict(f"tests/mpi/ranks/nowhere.py::test_{case}[ranks2]")
        assert verdict.outcome == "failed"
        assert "not run: on 2 ranks: the ranks ended with exit code " in verdict.text
        assert "file or directory not found: tests/mpi/ranks/nowhere.py" in verdict.text
