"""Jobs of the tests in this folder: their ranks are copies of a process that has loaded torch already."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY, Run

HERE = Path(__file__).parent


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """The launches of tests/mpi/ranks and the jobs of Slurm each run beside the others, which wait a lot, too."""
    from xdist.scheduler import LoadScopeScheduling

    class Beside(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            together = [folder for folder in ("tests/mpi/ranks", "tests/hpc") if nodeid.startswith(f"{folder}/")]
            return together[0] if together else nodeid.partition("::")[0]

    return Beside(config, log)


@pytest.fixture(scope="session")
def forkserver() -> Iterator[Path]:
    """Where it listens."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PMI", "MPI", "OMPI", "SLURM"))}
    with tempfile.TemporaryDirectory(prefix="gossip-") as folder:  # a socket's name must be short
        path = Path(folder) / "forkserver"
        with subprocess.Popen(
            [sys.executable, str(HERE / "forkserver.py"), str(path)],
            env=clean | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"},
            stdin=subprocess.PIPE,
            start_new_session=True,
        ) as server:
            while not path.exists():
                assert server.poll() is None, "the forkserver has ended"
                time.sleep(0.01)
            yield path
            assert server.poll() is None, "the forkserver has ended"
            server.communicate()


def stand_in(forkserver: Path) -> list[str]:
    """How to start, in the place of Python, a rank that is such a copy."""
    return [sys.executable, "-I", "-S", str(HERE / "forked.py"), str(forkserver)]


@pytest.fixture
def python(python: Run, forkserver: Path) -> Run:
    """As for all tests, but ranks do not load anew what all need, unless they are told to: `python(..., anew=True)`."""

    def run(*arguments: str, anew: bool = False, **options: Any) -> subprocess.CompletedProcess[str]:
        return python(*([] if anew else stand_in(forkserver)[1:]), *arguments, **options)

    return run
