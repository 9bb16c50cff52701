"""Tools shared by the tests."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from gossip.processes.signals import WATCHED

REPOSITORY = Path(__file__).parent.parent
MPIRUN = Path(sys.executable).parent / "mpirun"

REQUIRE_ALL = "GOSSIP_REQUIRE_ALL"  # where this is set, a test that cannot run here has failed

Run = Callable[..., subprocess.CompletedProcess[str]]


def lacking(what: str, way: str) -> NoReturn:
    """Skip a test for what this machine does not have, and say how to get it; in CI, which must have it, fail."""
    (pytest.fail if os.environ.get(REQUIRE_ALL) else pytest.skip)(f"no {what}: {way}")


@pytest.fixture(scope="session", autouse=True)
def _heeded_signals() -> None:
    """In the background of a script SIGINT is ignored, and under nohup SIGHUP; here they are as in a terminal."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _same_signals() -> Iterator[None]:
    """A command ignores signals when it is done, and what is started then would ignore them too."""
    before = {each: signal.getsignal(each) for each in WATCHED}
    yield
    for each, handler in before.items():
        if handler is not None:  # which is one that Python does not know
            signal.signal(each, handler)


@pytest.fixture
def python(tmp_path: Path) -> Run:
    """Runs Python in a fresh process and folder: `python("-m", "gossip.train", ranks=4, env={...})`.

    With `ranks` under mpirun, otherwise alone and without any launcher's variables.
    """

    def run(
        *arguments: str, ranks: int = 0, env: dict[str, str] | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        if ranks and not MPIRUN.exists():
            lacking("mpirun beside this Python", "install the extra mpich")
        launcher = [str(MPIRUN), "-n", str(ranks)] if ranks else []
        clean = {
            name: value for name, value in os.environ.items() if not name.startswith(("PMI", "MPI", "OMPI", "SLURM"))
        }
        return subprocess.run(
            [*launcher, sys.executable, *arguments],
            cwd=tmp_path,
            env=clean | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"} | (env or {}),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@contextmanager
def no_larger_files_than(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
