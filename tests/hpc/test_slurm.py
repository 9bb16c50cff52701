"""Batch scripts on a real Slurm, such as `.ci/slurm start` makes: on hosts, in arrays, stopped and queued again.

Most jobs run side by side. Each of them is stopped in a way of its own, and goes on when all have been.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gossip.checkpoint.__main__ import main as export
from gossip.hpc.job import Job
from tests.conftest import MPIRUN, REPOSITORY, lacking

NODES = 10
RUN = f"--nodes {NODES} --workload Averaging --algorithm ChocoGossip --algorithm.gamma 0.3 --topology ring".split()
FOREVER = 10**9
LONGEST = 500.0  # seconds that something may take on a busy machine


def slurm(*command: str) -> str:
    """What one of Slurm's commands says."""
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


@pytest.fixture(scope="module")
def real_slurm() -> None:
    if shutil.which("sinfo") is None or subprocess.run(["sinfo"], capture_output=True, check=False).returncode:
        lacking("Slurm", "it can be had with `.ci/slurm start FOLDER; export SLURM_CONF=FOLDER/slurm.conf`")


@dataclass
class Submitted:
    """A job that works in a folder of its own."""

    folder: Path
    number: str

    @classmethod
    def of(cls, folder: Path, netmod: str = "ofi", **options: Any) -> Submitted:
        """One with this Python, this code and this way between hosts."""
        folder.mkdir(exist_ok=True)
        here = f"export PATH={Path(sys.executable).parent}:$PATH PYTHONPATH={REPOSITORY}"
        network = f"export MPIR_CVAR_CH4_NETMOD={netmod} FI_PROVIDER=tcp"
        setup = (here, network, *options.pop("setup", ()))
        script = folder / "job.sbatch"
        script.write_text(Job(**{"time": "20", "setup": setup} | options).render())
        return cls(folder, slurm("sbatch", "--parsable", f"--chdir={folder}", str(script)))

    @property
    def state(self) -> str:
        return slurm("squeue", "--noheader", "--states=all", f"--jobs={self.number}", "--format=%T")

    @property
    def log(self) -> str:
        return "\n".join(path.read_text() for path in self.folder.glob("gossip-*.log"))

    @property
    def restarts(self) -> int:
        about = slurm("scontrol", "show", "job", self.number)
        return int(about.partition("Restarts=")[2].split()[0])

    def until(self, what: Callable[[], object]) -> None:
        """Wait for this, not for ever."""
        ends = time.monotonic() + LONGEST
        while not what():
            over = time.monotonic() > ends or self.state in ("FAILED", "TIMEOUT", "CANCELLED")
            if over and not what():  # which may have become so meanwhile
                pytest.fail(f"{self.folder.name}: {self.state}: {self.log}")
            time.sleep(0.3)

    def saved(self) -> list[Path]:
        return [*self.folder.glob("runs/*/*/checkpoints/step-*")]

    def finished(self) -> dict[Path, dict[str, Any]]:
        """The summaries of the runs that have ended, by run directory."""
        found = self.folder.glob("runs/*/*/summary.json")
        return {path.parent: json.loads(path.read_text()) for path in found}


def models(run: Path) -> list[Tensor]:
    """Those of all nodes at the end of a run."""
    found = []
    for node in range(NODES):
        file = run / f"{node}.pt"
        assert export(["export", str(run), str(file), "--node", str(node)]) == 0
        found += torch.load(file).values()
    return found


def history(run: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def by_usr1(job: Submitted) -> None:
    slurm("scancel", "--signal=USR1", "--batch", job.number)


def by_term_twice(job: Submitted) -> None:
    slurm("scancel", "--signal=TERM", job.number)
    time.sleep(0.2)
    slurm("scancel", "--signal=TERM", job.number)


def by_requeue(job: Submitted) -> None:
    slurm("scontrol", "requeue", job.number)


def by_preemption(job: Submitted) -> None:
    slurm("sbatch", "--partition=high", "--output=/dev/null", "--wrap=true")


def by_its_time_limit(job: Submitted) -> None:
    slurm("scontrol", "update", f"JobId={job.number}", "EndTime=now+60")


@dataclass(frozen=True)
class Way:
    """A job, and how it is stopped."""

    stop: Callable[[Submitted], None]
    signal: str
    options: dict[str, Any] = field(default_factory=dict)
    early: bool = False
    """Whether it is stopped before anything runs that listens."""


OWN = str(Path(__file__).with_name("own.py"))
WAYS = {  # in the order in which they are stopped; the first take the longest
    "time-limit": Way(by_its_time_limit, "SIGUSR1", {"tasks_per_node": 2, "grace": 60}),
    "preemption": Way(by_preemption, "SIGTERM", {"tasks_per_node": 2, "cpus_per_task": 8, "partition": "low"}),
    "own-loop": Way(by_usr1, "SIGUSR1", {"nodes": 2, "tasks_per_node": 1, "script": OWN}),
    "usr1": Way(by_usr1, "SIGUSR1", {"nodes": 2, "tasks_per_node": 2}),
    "usr1-over-ucx": Way(by_usr1, "SIGUSR1", {"netmod": "ucx", "tasks_per_node": 2}),
    "usr1-mpirun": Way(by_usr1, "SIGUSR1", {"nodes": 2, "tasks_per_node": 1, "mpi": "mpirun", "netmod": "ucx"}),
    "usr1-in-the-set-up": Way(
        by_usr1, "SIGUSR1", {"tasks_per_node": 1, "setup": ("touch begun", "sleep 2")}, early=True
    ),
    "term-twice": Way(by_term_twice, "SIGTERM", {"nodes": 2, "tasks_per_node": 1}),
    "requeue": Way(by_requeue, "SIGTERM", {"tasks_per_node": 2}),
}


@pytest.fixture(scope="module")
def jobs(real_slurm: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Submitted]]:
    """All of them after they have been stopped, have gone on, and have come to their ends."""
    folder = tmp_path_factory.mktemp("jobs")
    submitted = {}
    for name in sorted(WAYS, key=lambda each: each != "preemption"):  # it needs all of a host
        (folder / name).mkdir()
        steps(folder / name, FOREVER)
        options = {"arguments": (*RUN, "--config", "run.yaml"), "checkpoint_every": "1000s"}
        options = {} if name == "own-loop" else options
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder / name)  # for run.yaml
            submitted[name] = Submitted.of(folder / name, **options | WAYS[name].options)
    try:
        stop_all(submitted)
        go_on(submitted)
        yield submitted
    finally:
        slurm("scancel", *(job.number for job in submitted.values()))


def steps(folder: Path, number: int) -> None:
    """Let a run in this folder make so many steps."""
    (folder / "run.yaml").write_text(f"steps: {number}\nevaluate_every: {FOREVER}\n")
    (folder / "steps").write_text(str(number))


def stop_all(submitted: dict[str, Submitted]) -> None:
    for name, way in WAYS.items():
        job = submitted[name]
        job.until((job.folder / "begun").exists if way.early else lambda job=job: running(job))
        way.stop(job)
    for job in submitted.values():
        job.until(lambda job=job: job.state == "PENDING" and job.restarts == 1)


def running(job: Submitted) -> bool:
    """Whether it makes steps."""
    return bool([*job.folder.glob("runs/*/*/metrics.jsonl"), *job.folder.glob("saved/saved-*")])


def go_on(submitted: dict[str, Submitted]) -> None:
    """From where they were stopped, for some steps more."""
    stopped = [int(path.name.rpartition("-")[2]) for job in submitted.values() for path in job.saved()]
    stopped += [
        torch.load(path, weights_only=False)["values"]["step"]
        for path in submitted["own-loop"].folder.glob("saved/*/rank-*")
    ]
    for job in submitted.values():
        steps(job.folder, max(stopped) + 20)
        # Slurm would let two minutes pass; it fails a job that begins in the second in which it ended ("revoked").
        # What was said of its end has become its time limit, which would stop it again on a busy machine.
        slurm("scontrol", "update", f"JobId={job.number}", "StartTime=now+3", "TimeLimit=20")
    for job in submitted.values():
        job.until(lambda job=job: job.state == "COMPLETED")


@pytest.fixture(scope="module")
def alone(jobs: dict[str, Submitted], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run in one process, which nobody has stopped."""
    folder = tmp_path_factory.mktemp("alone")
    shutil.copy(jobs["usr1"].folder / "run.yaml", folder)
    command = [sys.executable, "-m", "gossip.train", *RUN, "--config", "run.yaml", "--checkpoint-every", str(FOREVER)]
    subprocess.run(command, cwd=folder, check=True, timeout=LONGEST)
    (run,) = folder.glob("runs/*/*")
    return run


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("name", [name for name in WAYS if name != "own-loop"])
def test_a_job_that_is_stopped_is_queued_again_and_ends_as_if_it_had_not_been(
    name: str, jobs: dict[str, Submitted], alone: Path
) -> None:
    job, way = jobs[name], WAYS[name]
    ((run, summary),) = job.finished().items()
    assert (summary["status"], summary["ranks"]) == (
        "finished",
        way.options.get("nodes", 1) * way.options.get("tasks_per_node", 4),
    )
    assert job.restarts == 1
    assert job.log.count(f"gossip: stopped by {way.signal} after step ") == 1, job.log
    assert "error: " not in "\n".join(line for line in job.log.splitlines() if line.startswith("gossip"))
    assert all(map(torch.equal, models(run), models(alone)))
    assert history(run) == history(alone)
    assert not [*job.folder.glob(".gossip-stopped-*")] or name in ("requeue", "preemption")


@pytest.mark.timeout(1500)
def test_a_loop_of_ones_own_does_the_same(jobs: dict[str, Submitted], tmp_path: Path) -> None:
    job = jobs["own-loop"]
    assert job.restarts == 1
    assert job.log.count("gossip: SIGUSR1 asks to stop; it is step ") == 1, job.log
    shutil.copy(job.folder / "steps", tmp_path)
    command = [str(MPIRUN), "-n", "2", sys.executable, str(Path(__file__).with_name("own.py"))]
    clean = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=tmp_path, env=clean, check=True, timeout=LONGEST)
    for node in range(2):
        assert torch.equal(torch.load(job.folder / f"final-{node}.pt"), torch.load(tmp_path / f"final-{node}.pt"))


def test_an_array_of_configurations_and_seeds(real_slurm: None, tmp_path: Path) -> None:
    files = []
    for topology in ("ring", "path"):
        files.append(tmp_path / f"{topology}.yaml")
        files[-1].write_text(f"nodes: 4\ntopology: {topology}\nworkload: Averaging\nalgorithm: GossipAveraging\n")
    job = Submitted.of(
        tmp_path,
        tasks_per_node=1,
        mpi="mpirun",
        configurations=tuple(map(str, files)),
        seeds=(1, 4),
        arguments=("--steps", "9"),
    )
    job.until(lambda: len(job.finished()) == 4)
    ran = sorted((summary["topology"], summary["seed"]) for summary in job.finished().values())
    assert ran == [("path", 1), ("path", 4), ("ring", 1), ("ring", 4)]


STUDY = """
run: {workload: Averaging, algorithm: GossipAveraging, nodes: 4, steps: 9}
set: {topology: [ring, path]}
seeds: 2
"""


def kept_runs(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """What the runs of a study have recorded, by their identities."""
    return {run.name: history(run) for run in folder.glob("studies/study/runs/*")}


def test_an_array_computes_a_study(real_slurm: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slurm").mkdir()
    for each in (tmp_path, tmp_path / "slurm"):
        (each / "study.yaml").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    job = Submitted.of(tmp_path / "slurm", study="study.yaml")
    page = tmp_path / "slurm/studies/study/report.html"
    job.until(page.exists)
    subprocess.run([sys.executable, "-m", "gossip.study", "study.yaml"], check=True, timeout=LONGEST)
    assert len(kept_runs(tmp_path)) == 4
    assert kept_runs(tmp_path / "slurm") == kept_runs(tmp_path)


def test_cancelled_or_failed_it_is_not_queued_again(real_slurm: None, tmp_path: Path) -> None:
    (tmp_path / "fails.py").write_text("import sys\nsys.exit(3)\n")
    fails = Submitted.of(tmp_path / "fails", tasks_per_node=1, script=str(tmp_path / "fails.py"))
    forever = (*RUN, "--steps", str(FOREVER), "--evaluate-every", str(FOREVER))
    cancelled = Submitted.of(tmp_path / "cancelled", tasks_per_node=2, arguments=forever)
    cancelled.until(lambda: running(cancelled))
    slurm("scancel", cancelled.number)
    cancelled.until(lambda: cancelled.state == "CANCELLED")
    ends = time.monotonic() + LONGEST
    while fails.state not in ("FAILED", "COMPLETED") and time.monotonic() < ends:
        time.sleep(0.3)
    assert (fails.state, fails.restarts, cancelled.restarts) == ("FAILED", 0, 0)


STUBBORN = """
import os, signal, time
from pathlib import Path
from gossip.processes import launcher
signal.signal(signal.SIGTERM, signal.SIG_IGN)
processes = launcher.world()
processes.barrier()
Path("begun").touch()
if "SLURM_RESTART_COUNT" not in os.environ:
    time.sleep(1000)
"""


def test_what_a_killed_step_has_left_does_not_stop_the_next_one(real_slurm: None, tmp_path: Path) -> None:
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    job = Submitted.of(tmp_path, tasks_per_node=2, script=str(tmp_path / "stubborn.py"))
    job.until((tmp_path / "begun").exists)
    slurm("scontrol", "requeue", job.number)
    job.until(lambda: job.state == "PENDING")
    slurm("scontrol", "update", f"JobId={job.number}", "StartTime=now+3")
    job.until(lambda: job.state == "COMPLETED")
    assert job.restarts == 1


def test_srun_starts_ranks_that_know_each_other(real_slurm: None, tmp_path: Path) -> None:
    script = tmp_path / "hello.py"
    script.write_text(
        "from gossip.processes import launcher\n"
        "from gossip.doctor.__main__ import main\n"
        "processes = launcher.world()\n"
        "print(f'{processes.size} ranks', processes.hosts)\n"
        "raise SystemExit(main(['--seconds', '0.2']))\n"
    )
    job = Submitted.of(tmp_path, nodes=2, tasks_per_node=2, script=str(script))
    job.until(lambda: job.state == "COMPLETED")
    assert job.log.count("4 ranks [0 0 1 1]") == 4, job.log
    assert "started 4 processes (PMI_SIZE=4), and the MPI library finds as many" in job.log
