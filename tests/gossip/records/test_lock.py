"""Two jobs never write into one run directory."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from algorithms import DecentralizedSGD, Sample, State
from algorithms.network import Network
from gossip.errors import DataError
from gossip.records.lock import Lock
from tests.conftest import REPOSITORY
from tests.gossip.checkpoint.conftest import Small

HOLDS = """
import sys
from pathlib import Path
from gossip.records.lock import Lock
lock = Lock(Path(sys.argv[1]))
print(flush=True)
input()
"""


def contents(directory: Path) -> dict[Path, bytes]:
    """Of the files of a run, but for what its processes say of themselves."""
    files = [path for path in directory.rglob("*") if path.is_file() and path.name != "lock" and path.suffix != ".log"]
    return {path: path.read_bytes() for path in files}


@pytest.mark.parametrize("resume", ["directory", "auto"])
def test_a_run_that_another_process_goes_on_with_is_left_alone(resume: str, small: Small) -> None:
    directory = small.first()
    before = contents(directory)
    command = [sys.executable, "-c", HOLDS, str(directory)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(DataError, match=rf"^\S+ belongs to a job .*\(process {holder.pid} on [^\n]*$"):
            small.run(resume=directory if resume == "directory" else "auto")
        holder.kill()
    assert contents(directory) == before
    assert torch.equal(small.run(resume=directory).model, small.run(output=None).model)


@dataclass(frozen=True)
class Looks(DecentralizedSGD):
    """Tries during a step to go on with its own run."""

    runs: ClassVar[Path]
    refused: ClassVar[list[str]] = []

    def step(self, state: State, sample: Sample, network: Network) -> None:
        super().step(state, sample, network)
        if state.step == 5:
            (lock,) = self.runs.rglob("lock")
            with pytest.raises(DataError) as error:
                Lock(lock.parent)
            self.refused.append(str(error.value))


def test_a_run_holds_its_directory_until_it_ends(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Looks, "runs", small.output, raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    directory = small.first(algorithm=Looks())
    (refused,) = Looks.refused
    assert f"process {os.getpid()} on " in refused
    assert "Slurm job 77" in refused
    Lock(directory).release()


def test_file_systems_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", cannot)
    one, other = Lock(tmp_path), Lock(tmp_path)
    one.release()
    other.release()
