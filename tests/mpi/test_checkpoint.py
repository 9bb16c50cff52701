"""Checkpoints on ranks, which stop together; tests/mpi/ranks has nodes that move between them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gossip.checkpoint import Checkpoint
from tests.conftest import MPIRUN, REPOSITORY, Run, lacking
from tests.mpi.conftest import stand_in

RUN = "--workload LogisticRegression --nodes 4 --topology ring --oracle Saga --quiet".split()
FOREVER = str(10**9)
LONGEST = 120.0  # seconds that something may take on a busy machine


def wait_for(happened: Callable[[], bool]) -> None:
    until = time.monotonic() + LONGEST
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.05)


def ranks_of(launcher: int) -> list[int]:
    """The ranks that this process has launched, as process numbers: what they have started themselves is left out."""
    parents, names = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name, _, rest = (folder / "stat").read_text().partition("(")[2].rpartition(")")
        except OSError:  # it has just ended
            continue
        parents[int(folder.name)], names[int(folder.name)] = int(rest.split()[1]), name
    below = {launcher}
    while more := {child for child, parent in parents.items() if parent in below} - below:
        below |= more
    return [
        each for each in below if names[each].startswith("python") and not names[parents[each]].startswith("python")
    ]


@pytest.mark.timeout(600)
def test_a_job_that_is_stopped_or_killed_goes_on(python: Run, forkserver: Path, tmp_path: Path) -> None:
    if not MPIRUN.exists():
        lacking("mpirun beside this Python", "install the extra mpich")

    def steps() -> list[int]:
        return sorted(int(each.name.removeprefix("step-")) for each in tmp_path.glob("runs/*/*/checkpoints/step-*"))

    def interrupted(ranks: int, number: signal.Signals, after: int) -> tuple[int, str]:
        """A run on so many ranks, of which one gets this signal when there is a checkpoint after this step."""
        arguments = ["--steps", FOREVER, "--evaluate-every", FOREVER, "--checkpoint-every", "50", "--resume", "auto"]
        with subprocess.Popen(
            [str(MPIRUN), "-n", str(ranks), *stand_in(forkserver), "-m", "gossip.train", *RUN, *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        ) as job:
            try:
                wait_for(lambda: steps()[-1:] > [after])
                os.kill(ranks_of(job.pid)[0], number)
                _, errors = job.communicate(timeout=LONGEST)
            finally:
                job.kill()
        return job.returncode, errors

    code, errors = interrupted(3, signal.SIGUSR1, after=0)
    assert code == 75
    stopped = steps()[-1]
    assert f"gossip: stopped by SIGUSR1 after step {stopped}; go on with --resume " in errors
    assert errors.count("\n") == 1
    code, _ = interrupted(2, signal.SIGKILL, after=stopped)
    assert code not in (0, 75)
    killed = steps()[-1]
    assert killed > stopped

    last, models = killed + 20, []
    for output in ("runs", "whole"):
        arguments = ["--steps", str(last), "--resume", "auto", "--output", output]
        done = python("-m", "gossip.train", *RUN, *arguments)
        assert done.returncode == 0, done.stderr
        (folder,) = tmp_path.glob(f"{output}/*/*/checkpoints/step-{last:08d}")
        models.append(Checkpoint(folder).stack("algorithm.x", range(4)))
    assert torch.equal(*models)


@pytest.mark.parametrize(("ranks", "number", "code"), [(0, "SIGTERM", 75), (0, "SIGINT", 130), (2, "SIGHUP", 75)])
def test_a_script_of_ones_own_ends_with_the_exit_code_of_a_run_that_is_stopped(
    python: Run, ranks: int, number: str, code: int
) -> None:
    program = str(REPOSITORY / "tests/mpi/programs/preempted.py")
    done = python(program, str(max(ranks - 1, 0)), number, ranks=ranks)
    assert done.returncode == code, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"gossip: stopped by {number} after step ") and "; go on with --resume runs/" in line


def test_a_run_without_checkpoints_that_is_interrupted_says_so_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gossip.train", *RUN, "--steps", FOREVER, "--evaluate-every", FOREVER]
    with subprocess.Popen(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, stderr=subprocess.PIPE, text=True
    ) as run:
        try:
            wait_for(lambda: [*tmp_path.glob("runs/*/*/metrics.jsonl")])
            run.send_signal(signal.SIGINT)
            _, errors = run.communicate(timeout=LONGEST)
        finally:
            run.kill()
    assert (run.returncode, errors) == (130, "gossip: interrupted\n")
