"""Processes that cannot become part of a job: each kind is told in one line, and nobody waits for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gossip.processes.start import limited
from tests.conftest import MPIRUN, REPOSITORY, Run, lacking

WORLD = "from gossip.processes.launcher import world; from gossip.processes.start import refusing\n"
WORLD += "with refusing(): world()"
TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}


def siblings(program: str, environments: list[dict[str, str]]) -> list[tuple[int, str]]:
    """(exit code, what is said) of processes with one parent, which is neither a launcher nor anybody else's."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for environment in environments
    ]
    said = [process.communicate(timeout=60)[1] for process in started]
    return [(process.returncode, text) for process, text in zip(started, said, strict=True)]


def test_of_processes_that_torchrun_has_started_one_speaks() -> None:
    ended = siblings(WORLD, [TORCHRUN | {"RANK": "0"}, TORCHRUN | {"RANK": "1"}])
    assert [code for code, _ in ended] == [2, 2]
    assert "".join(text for _, text in ended) == (
        "gossip: error: 2 processes were launched (torchrun, WORLD_SIZE=2) but not by MPI, so each would train alone: "
        "start with mpirun -n 2\n"
    )


def test_who_cannot_start_says_so_if_nobody_else_does() -> None:
    ended = siblings(WORLD, [{"PMI_SIZE": "4", "PMI_RANK": rank} for rank in "213"])
    assert [code for code, _ in ended] == [2] * 3
    (line,) = "".join(text for _, text in ended).splitlines()
    assert line.startswith("gossip: error: the launcher started 4 processes (PMI_SIZE=4) but the MPI library")


def test_a_refusal_that_the_user_catches_is_not_printed(python: Run) -> None:
    program = f"try:\n    exec({WORLD!r})\nexcept ValueError as error: print(error)\nraise KeyError('mine')"
    done = python("-c", program, env=TORCHRUN | {"RANK": "0"})
    assert "not by MPI" in done.stdout
    assert "KeyError: 'mine'" in done.stderr
    assert "not by MPI" not in done.stderr


def test_a_start_has_a_limit(python: Run) -> None:
    program = "import time; from gossip.processes.start import limited\nwith limited(0.3): time.sleep(60)"
    done = python("-c", program, env={"PMI_SIZE": "2", "PMI_RANK": "1"}, timeout=30)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("gossip: error: rank 1 of 2 on ") and "has not found all other ranks in 0.3 s" in line


def test_within_it_signals_do_what_they_do_by_default() -> None:
    before = signal.signal(signal.SIGTERM, handler := lambda *_: None)
    try:
        with limited(60):
            assert signal.getsignal(signal.SIGTERM) == signal.getsignal(signal.SIGINT) == signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) == handler
        assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)


TRAIN = (sys.executable, "-m", "gossip.train", "--output", "null")
WITHOUT_MPI = (
    "import sys, runpy; sys.argv = ['x', '--output', 'null']; sys.modules['mpi4py'] = None; "
    "runpy.run_module('gossip.train', run_name='__main__')"
)


def unlike(tmp_path: Path, one: tuple[str, ...], other: tuple[str, ...], **more: str) -> subprocess.Popen[str]:
    """A job of two ranks with different commands."""
    if not MPIRUN.exists():
        lacking("mpirun beside this Python", "install the extra mpich")
    return subprocess.Popen(
        [MPIRUN, "-n", "1", *one, ":", "-n", "1", *other],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"} | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("other", "code", "says"),
    [
        (
            (*TRAIN, "--steps", "20"),
            2,
            "rank 1 was started with another command than rank 0: rank 1 with 'gossip.train ... null --steps 20', "
            "rank 0 with 'gossip.train ... null'; start all ranks with the same command",
        ),
        ((sys.executable, "-m", "gossip.doctor"), 2, "rank 1 with 'gossip.doctor', rank 0 with 'gossip.train --output"),
        ((sys.executable, "-c", WITHOUT_MPI), 2, "rank 1 of 2 on "),
        (("sleep", "60"), 1, "rank 0 of 2 on "),  # is in no job, as if it were stopped
    ],
    ids=["arguments", "command", "no MPI", "stopped"],
)
def test_a_rank_that_is_not_like_the_others(tmp_path: Path, other: tuple[str, ...], code: int, says: str) -> None:
    limit = "2" if other[0] == "sleep" else "100"
    out, err = unlike(tmp_path, TRAIN, other, GOSSIP_START_TIMEOUT=limit).communicate(timeout=100)
    (line,) = [line for line in err.splitlines() if line.startswith("gossip: ")]
    assert says in line
    assert out.replace("=", "").strip() == "" or "BAD TERMINATION" in out


def test_a_rank_that_waits_for_others_to_start_can_be_ended(tmp_path: Path) -> None:
    program = "import os; open('pid', 'w').write(str(os.getpid())); from gossip.train.__main__ import main; main([])"
    job = unlike(tmp_path, (sys.executable, "-c", program), ("sleep", "60"))
    while not (tmp_path / "pid").exists() or not (pid := (tmp_path / "pid").read_text()):
        time.sleep(0.1)
    time.sleep(2)  # it is in MPI's initialization by then
    os.kill(int(pid), signal.SIGTERM)
    assert job.wait(20) == 15
    job.communicate()


def test_too_many_ranks_are_refused_before_torch_is_there(python: Run, tmp_path: Path) -> None:
    (tmp_path / "few.yaml").write_text("nodes: 2\n")
    program = "import sys; sys.modules['torch'] = None; from gossip.train.__main__ import main; sys.exit(main())"
    done = python("-c", program, "--nodes", "9", "--config=few.yaml", ranks=3)
    assert done.returncode == 2
    assert done.stderr == (
        "gossip: error: 3 ranks for 2 nodes: every rank needs a node, so start at most 2 ranks or ask for more nodes\n"
    )
