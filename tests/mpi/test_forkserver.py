"""What stands for a rank that is a copy ends as the copy does, and the copy as the launcher wants."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.mpi.conftest import stand_in

PROGRAM = """
import os, signal, sys, time
print(os.getpid(), "mpi4py.MPI" in sys.modules, sys.argv[1:], os.getcwd(), flush=True)
match sys.argv[1]:
    case "exits":
        sys.exit(7)
    case "raises":
        raise KeyError("deliberate")
    case "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    case "waits":
        signal.signal(signal.SIGUSR1, lambda *_: sys.exit(8))
        print("waits", flush=True)
        time.sleep(100)
"""


@pytest.fixture
def program(tmp_path: Path) -> str:
    (tmp_path / "program.py").write_text(PROGRAM)
    return str(tmp_path / "program.py")


@pytest.mark.parametrize(("way", "code"), [("exits", 7), ("raises", 1), ("dies", -9), ("comes to its end", 0)])
def test_how_it_ends(python: Run, program: str, tmp_path: Path, way: str, code: int) -> None:
    done = python(program, way)
    assert done.returncode == code
    assert done.stdout.split(" ", 1)[1] == f"False {[way]} {tmp_path}\n"
    assert ("KeyError: 'deliberate'" in done.stderr) == (way == "raises")


def test_signals_reach_the_copy(forkserver: Path, program: str) -> None:
    for number, code in ((signal.SIGUSR1, 8), (signal.SIGKILL, -9)):
        command = [*stand_in(forkserver), program, "waits"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            copy = int(process.stdout.readline().split()[0])
            assert copy != process.pid
            assert process.stdout.readline() == "waits\n"
            process.send_signal(number)
            assert process.wait(30) == code
        until = time.monotonic() + 30
        while os.path.exists(f"/proc/{copy}") and time.monotonic() < until:
            time.sleep(0.02)
        assert not os.path.exists(f"/proc/{copy}")
