"""Tools shared by the tests."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

from gossip.processes.signals import WATCHED
from tests import here as here_module
from tests.here import run_here

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


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs Python as `python` does, `here("-m", "gossip.train", env={...})`, but in this process: that is much quicker.

    For all that shows nothing by a process of its own.
    """

    def run(*arguments: str, ranks: int = 0, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        assert not ranks
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path)
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            capfd.readouterr()
            code = run_here(arguments)
            sys.stdout.flush()
            sys.stderr.flush()
        said = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, code, said.out, said.err)

    return run


@dataclass(frozen=True)
class OnRanks:
    """What came of a program on several ranks.

    Attributes:
        codes: The exit code of each.
        stdout: What each has printed.
        stderr: The same on standard error.
    """

    codes: list[int]
    stdout: list[str]
    stderr: list[str]


@pytest.fixture
def on_ranks(python: Run, tmp_path: Path) -> Callable[..., list[OnRanks]]:
    """Runs programs one after the other on the same ranks: `on_ranks([["-m", "gossip.train"], ["own.py"]], ranks=2)`.

    For what leaves the job alive. Warnings are errors.
    """

    def run(programs: Sequence[Sequence[str]], *, ranks: int, timeout: float = 280, **options: Any) -> list[OnRanks]:
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        (folder / here_module.PROGRAMS).write_text(json.dumps(programs))
        done = python("-W", "error", "-m", "tests.here", str(folder), ranks=ranks, timeout=timeout, **options)
        assert done.returncode == 0, done.stderr
        codes = [json.loads((folder / f"{rank}.codes").read_text()) for rank in range(ranks)]
        return [
            OnRanks(
                [of_rank[i] for of_rank in codes],
                *(
                    [(folder / f"{i}-{rank}.{stream}").read_text() for rank in range(ranks)]
                    for stream in here_module.STREAMS
                ),
            )
            for i in range(len(programs))
        ]

    return run


@contextmanager
def no_larger_files_than(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
