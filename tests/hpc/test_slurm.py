"""Batch scripts on a real Slurm, such as `.ci/slurm start` makes: on hosts, in arrays, stopped and queued again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gossip.checkpoint.__main__ import main as export
from gossip.hpc.job import Job
from tests.conftest import REPOSITORY, Run, lacking

NODES = 10
RUN = f"--nodes {NODES} --workload Averaging --algorithm ChocoGossip --algorithm.gamma 0.3 --topology ring".split()

Submit = Callable[[Job], str]


def slurm(*command: str) -> str:
    """What one of Slurm's commands says."""
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


@pytest.fixture
def submit(tmp_path: Path) -> Submit:
    """Submits a job that works in a folder of the test's own, and gives its number."""
    if shutil.which("sinfo") is None or subprocess.run(["sinfo"], capture_output=True, check=False).returncode:
        lacking("Slurm", "it can be had with `.ci/slurm start FOLDER; export SLURM_CONF=FOLDER/slurm.conf`")

    def submit(job: Job) -> str:
        script = tmp_path / "job.sbatch"
        script.write_text(job.render())
        return slurm("sbatch", "--parsable", f"--chdir={tmp_path}", str(script))

    return submit


def job(**options: Any) -> Job:
    """One with this Python and this code."""
    here = f"export PATH={Path(sys.executable).parent}:$PATH PYTHONPATH={REPOSITORY}"
    return Job(time="10", setup=(here,), **options)


def state(number: str) -> str:
    return slurm("squeue", "--noheader", "--states=all", f"--jobs={number}", "--format=%T")


def until(what: Callable[[], object], number: str, log: Path) -> None:
    """Wait for this, not for ever."""
    ends = time.monotonic() + 500
    while not what():
        if time.monotonic() > ends:
            pytest.fail(f"{state(number)}: {log.read_text() if log.exists() else 'no log'}")
        time.sleep(0.3)


def finished(folder: Path) -> dict[str, dict[str, Any]]:
    """The summaries of the runs that have ended below a folder, by run directory."""
    return {str(path.parent): json.loads(path.read_text()) for path in folder.glob("runs/*/*/summary.json")}


def models(run: str) -> list[torch.Tensor]:
    """Those of all nodes at the end of a run."""
    found = []
    for node in range(NODES):
        file = Path(run) / f"{node}.pt"
        assert export(["export", run, str(file), "--node", str(node)]) == 0
        found += torch.load(file).values()
    return found


def test_a_job_over_two_hosts(submit: Submit, python: Run, tmp_path: Path) -> None:
    number = submit(job(nodes=2, tasks_per_node=2, mpi="mpirun", arguments=(*RUN, "--steps", "30")))
    log = tmp_path / f"gossip-{number}.log"
    until(lambda: state(number) == "COMPLETED", number, log)
    ((run, summary),) = finished(tmp_path).items()
    assert (summary["ranks"], summary["status"]) == (4, "finished")
    alone = python("-m", "gossip.train", *RUN, "--steps", "30", "--checkpoint-every", "30", "--output", "runs/alone")
    assert alone.returncode == 0, alone.stderr
    (other,) = tmp_path.glob("runs/alone/*/*")
    assert all(map(torch.equal, models(run), models(str(other))))


def test_an_array_of_configurations_and_seeds(submit: Submit, tmp_path: Path) -> None:
    files = []
    for topology in ("ring", "path"):
        files.append(tmp_path / f"{topology}.yaml")
        files[-1].write_text(f"nodes: 4\ntopology: {topology}\nworkload: Averaging\nalgorithm: GossipAveraging\n")
    number = submit(
        job(
            tasks_per_node=1,
            mpi="mpirun",
            configurations=tuple(map(str, files)),
            seeds=(1, 4),
            arguments=("--steps", "9"),
        )
    )
    until(lambda: len(finished(tmp_path)) == 4, number, tmp_path / f"gossip-{number}-0.log")
    ran = sorted((summary["topology"], summary["seed"]) for summary in finished(tmp_path).values())
    assert ran == [("path", 1), ("path", 4), ("ring", 1), ("ring", 4)]


def test_told_to_stop_it_is_queued_again_and_ends_as_if_it_had_not_been(
    submit: Submit, python: Run, tmp_path: Path
) -> None:
    arguments = (*RUN, "--steps", "3000", "--evaluate-every", "1000")
    number = submit(job(nodes=2, tasks_per_node=2, mpi="mpirun", checkpoint_every="50", arguments=arguments))
    log = tmp_path / f"gossip-{number}.log"
    until(lambda: [*tmp_path.glob("runs/*/*/checkpoints/step-*")], number, log)
    slurm("scancel", "--signal=USR1", "--batch", number)
    until(lambda: state(number) == "PENDING", number, log)
    assert "gossip: stopped by SIGUSR1 after step" in log.read_text()
    assert finished(tmp_path) == {}
    # Slurm would let two minutes pass; it fails a job that begins in the second in which it ended ("revoked").
    slurm("scontrol", "update", f"JobId={number}", "StartTime=now+5")
    until(lambda: state(number) == "COMPLETED", number, log)
    ((run, summary),) = finished(tmp_path).items()
    assert summary["steps"] == 3000
    restarts = slurm("scontrol", "show", "job", number)
    assert "Restarts=1" in restarts

    alone = python("-m", "gossip.train", *arguments, "--checkpoint-every", "3000", "--output", "runs/alone")
    assert alone.returncode == 0, alone.stderr
    (other,) = tmp_path.glob("runs/alone/*/*")
    assert all(map(torch.equal, models(run), models(str(other))))
    histories = []
    for each in (Path(run), other):
        rows = [json.loads(line) for line in (each / "metrics.jsonl").read_text().splitlines()]
        histories.append([{name: value for name, value in row.items() if name != "seconds"} for row in rows])
    assert histories[0] == histories[1]


def test_cancelled_it_is_not_queued_again(submit: Submit, tmp_path: Path) -> None:
    number = submit(job(tasks_per_node=2, mpi="mpirun", checkpoint_every="50", arguments=(*RUN, "--steps", "1000000")))
    log = tmp_path / f"gossip-{number}.log"
    until(lambda: [*tmp_path.glob("runs/*/*/checkpoints/step-*")], number, log)
    slurm("scancel", number)
    until(lambda: state(number) == "CANCELLED", number, log)
    assert "Restarts=0" in slurm("scontrol", "show", "job", number)


def test_srun_starts_ranks_that_know_each_other(submit: Submit, tmp_path: Path) -> None:
    script = tmp_path / "hello.py"
    script.write_text(
        "import os\n"
        "os.environ['MPIR_CVAR_CH4_NETMOD'] = 'ofi'  # see hpc/README.md\n"
        "from gossip.processes import launcher\n"
        "from gossip.doctor.__main__ import main\n"
        "processes = launcher.world()\n"
        "print(f'{processes.size} ranks', processes.hosts)\n"
        "raise SystemExit(main(['--seconds', '0.2']))\n"
    )
    number = submit(job(nodes=2, tasks_per_node=2, script=str(script)))
    log = tmp_path / f"gossip-{number}.log"
    until(lambda: state(number) in ("COMPLETED", "FAILED"), number, log)
    assert log.read_text().count("4 ranks [0 0 1 1]") == 4, log.read_text()
    assert "started 4 processes (PMI_SIZE=4), and the MPI library finds as many" in log.read_text()
    assert state(number) == "COMPLETED"
