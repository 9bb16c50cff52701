"""Every run has a directory of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from gossip.errors import DataError
from gossip.records.directory import create_run_directory

JOBS = 8


def test_jobs_that_start_in_the_same_moment_do_not_share_one(tmp_path: Path) -> None:
    for attempt in range(20):
        together = Barrier(JOBS)

        def create(attempt: int = attempt, together: Barrier = together) -> Path:
            together.wait()
            return create_run_directory(tmp_path, f"DecentralizedSGD-ring{attempt}", "steps: 3\n")

        with ThreadPoolExecutor(JOBS) as pool:
            directories = [each.result() for each in [pool.submit(create) for _ in range(JOBS)]]
        assert len(set(directories)) == JOBS
        assert all((each / "config.yaml").read_text() == "steps: 3\n" for each in directories)
        assert {each.parent for each in directories} == {tmp_path / f"DecentralizedSGD-ring{attempt}"}


def test_where_none_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot write the run directory .*; choose another output"):
        create_run_directory(tmp_path / "file", "DecentralizedSGD-ring", "")
