"""Batch scripts as they are written; test_slurm.py runs them."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest

from gossip.fields import descriptions
from gossip.hpc.__main__ import main
from gossip.hpc.job import Job
from tests.conftest import REPOSITORY, Run

RING = ["hpc/slurm/ring.yaml"]
ONES = ("--algorithm", "GossipAveraging", "--workload", "Averaging")


def commands() -> list[list[str]]:
    """Those of hpc/README.md that write a script into hpc/slurm."""
    text = (REPOSITORY / "hpc/README.md").read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if "--file hpc/slurm/" in line]
    return [shlex.split(line)[4:] for line in lines]  # after python -m gossip.hpc sbatch


def test_the_scripts_here_are_what_the_commands_beside_them_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    written = set()
    for arguments in commands():
        at = arguments.index("--file") + 1
        kept = Path(arguments[at])
        written.add(kept)
        arguments[at] = str(tmp_path / kept.name)
        assert main(["sbatch", *arguments]) == 0
        assert (tmp_path / kept.name).read_text() == kept.read_text()
    assert written == set(Path("hpc/slurm").glob("*.sbatch")) != set()


@pytest.mark.parametrize(
    "job",
    [
        Job(),
        Job(nodes=2, tasks_per_node=3, arguments=(*ONES, "--output", "a folder/it's $HOME")),
        Job(mpi="mpirun", setup=("module load mpich", "cd /tmp"), memory="4G", partition="long,a-b", account="a-1"),
        Job(
            script=__file__, gpus_per_task=1, arguments=("--epochs", "3"), python="apptainer exec 'my image.sif' python"
        ),
        Job(sbatch=("exclusive", "comment=it's mine", "constraint=a|b"), seeds=(1, 2)),
    ],
)
def test_every_script_is_one_that_bash_can_read(job: Job) -> None:
    done = subprocess.run(["bash", "-n"], input=job.render(), text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_options_are_in_the_script() -> None:
    script = Job(
        nodes=3, tasks_per_node=5, cpus_per_task=2, time="2-12", grace=300, memory="8G", checkpoint_every="50"
    ).render()
    for line in ("nodes=3", "ntasks-per-node=5", "cpus-per-task=2", "time=2-12", "signal=B:USR1@300", "mem=8G"):
        assert f"#SBATCH --{line}\n" in script
    assert "python -m gossip.train --checkpoint-every 50 --resume auto\n" in script
    assert "array" not in script and "gpus" not in script


def test_each_field_of_a_job_is_an_option_with_a_help_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sbatch", "--help"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    texts = descriptions(Job)
    assert list(texts) == [field.name for field in fields(Job)]
    for name, text in texts.items():
        assert name == "arguments" or f"--{name.replace('_', '-')} " in words
        assert text.split("\n\n")[0][:40] in words.replace("- ", "-") or name == "script"


def test_a_line_of_the_set_up_may_be_given_several_times(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["module load mpich", "cd /tmp"]
    assert main(["sbatch", "--setup", lines[0], "--setup", lines[1], "--", *ONES]) == 0
    assert "\n".join(lines) in capsys.readouterr().out


def test_arguments_arrive_as_they_were_given() -> None:
    given = ("--output", "a folder/it's $HOME", *ONES)
    command = re.search(r"python -m gossip.train (.*) --checkpoint-every", Job(arguments=given).render())
    assert command is not None and tuple(shlex.split(command[1])) == given


def chosen(job: Job) -> list[str]:
    """The configuration and the seed of each job of the array, as the script has them."""
    script = job.render()
    lines = [line for line in script.splitlines() if re.match("(configuration|seed)s?=", line)]
    return [
        subprocess.run(
            ["bash", "-c", f'{"; ".join(lines)}; echo "$configuration/$seed"'],
            env={"SLURM_ARRAY_TASK_ID": str(i)},
            text=True,
            capture_output=True,
            check=True,
        ).stdout.strip()
        for i in range(job.jobs)
    ]


def test_an_array_goes_through_all_configurations_and_seeds(tmp_path: Path) -> None:
    files = []
    for name, steps in (("a", 3), ("b with a blank", 4)):
        files.append(str(tmp_path / f"{name}.yaml"))
        Path(files[-1]).write_text(f"workload: Averaging\nalgorithm: GossipAveraging\nsteps: {steps}\nseed: 7\n")
    both = Job(configurations=tuple(files), seeds=(3, 5, 8), at_once=2)
    assert "#SBATCH --array=0-5%2\n" in both.render()
    assert chosen(both) == [f"{file}/{seed}" for file in files for seed in (3, 5, 8)]
    assert chosen(Job(configurations=tuple(files))) == [f"{file}/" for file in files]
    assert "--seed" not in Job(configurations=tuple(files)).render()  # each has its own
    assert chosen(Job(seeds=(4, 2), arguments=ONES)) == ["/4", "/2"]
    assert 'python -m gossip.train --seed "$seed" --algorithm' in Job(seeds=(4, 2), arguments=ONES).render()


STUDY = """
run: {workload: Averaging, algorithm: GossipAveraging, nodes: 4, steps: 2}
set: {topology: [ring, path, star]}
seeds: 2
"""


def test_a_study_is_an_array_of_its_cells_or_of_parts_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a study.yaml").write_text(STUDY)
    script = Job(study="a study.yaml", arguments=("--output", "here"), at_once=2).render()
    assert "#SBATCH --array=0-2%2\n" in script and "#SBATCH --ntasks-per-node=1\n" in script
    assert "python -m gossip.study 'a study.yaml' --output here --chunk \"$((SLURM_ARRAY_TASK_ID + 1))/3\"\n" in script
    assert "makes here/report.html; if tasks were cancelled, this does: python -m gossip.study" in script
    assert "--checkpoint" not in script and "--resume" not in script
    assert "#SBATCH --array=0-1\n" in Job(study="a study.yaml", chunks=2).render()
    assert not Path("here").exists()  # nothing is begun


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--study s.yaml --seeds 1 2", "--seeds 1 2 is not allowed; it must be absent beside --study: it is an option"),
        (
            "--study s.yaml --checkpoint-every 5",
            "--checkpoint-every 5 is not allowed; it must be absent beside --study",
        ),
        ("--study s.yaml --script s.py", "--script s.py is not allowed; it must be absent beside --study: the two"),
        ("--study s.yaml --chunks 4", "--chunks 4 is not allowed; it must be 1 to 3, the number of the study's cells"),
        ("--study s.yaml -- --chunk 1/2", "--chunk in the arguments is not allowed beside --study"),
        (
            "--study s.yaml -- --set topology=rink",
            "no cell with algorithm=GossipAveraging can be run: --topology does not know 'rink'",
        ),
        ("--study none.yaml", "cannot read none.yaml (No such file or directory)"),
        ("--chunks 4", "--chunks 4 is not allowed; it must be absent without --study"),
    ],
)
def test_what_makes_no_array_of_a_study_is_refused_in_one_line(
    words: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(STUDY)
    assert main(["sbatch", *words.split()]) in (2, 3)
    error = capsys.readouterr().err
    assert error.startswith(f"gossip: error: {said}") and error.count("\n") == 1


def test_options_of_sbatch_and_what_starts_python_are_passed_on() -> None:
    script = Job(
        sbatch=("exclusive", "mail-user=me@example.org", "constraint=a|b", "output=logs/%j.out"),
        partition="short,long",
        python="apptainer exec --nv 'my image.sif' python3",
        arguments=ONES,
    ).render()
    for line in ("exclusive", "mail-user=me@example.org", "constraint='a|b'", "partition=short,long"):
        assert f"#SBATCH --{line}\n" in script
    assert script.count("--output=") == 1 and "#SBATCH --output=logs/%j.out\n" in script
    assert "apptainer exec --nv 'my image.sif' python3 -m gossip.train" in script
    assert script.index("#SBATCH --exclusive") < script.index("GOSSIP_STOPPED")  # Slurm reads up to the first command


def test_checkpoints_that_are_asked_for_already_are_left_as_they_are(tmp_path: Path) -> None:
    script = Job(arguments=(*ONES, "--checkpoint-every", "7", "--resume", str(tmp_path))).render()
    assert script.count("--checkpoint-every") == 1 and script.count("--resume") == 1
    file = tmp_path / "a.yaml"
    file.write_text("workload: Averaging\nalgorithm: GossipAveraging\ncheckpoint_every: 30s\n")
    assert "--checkpoint-every" not in Job(configurations=(str(file),)).render()
    assert "--checkpoint-every 600s --resume auto" in Job(arguments=ONES).render()


@pytest.mark.parametrize("line", ["false", "cd /nowhere", "module load mpich"])
def test_a_line_of_the_set_up_that_fails_ends_the_job(line: str, tmp_path: Path) -> None:
    script = Job(mpi="mpirun", setup=("echo begun", line, "echo after"), script=__file__).render()
    done = subprocess.run(["bash"], input=script, cwd=tmp_path, text=True, capture_output=True, check=False)
    assert done.returncode != 0
    assert done.stdout == "begun\n"
    assert f"this line of the set-up failed: {line}" in done.stderr


def ran(program: str, folder: Path, told: bool = False, preempted: str = "None") -> tuple[int, list[str]]:
    """What the script of a job does after this program, in the place of srun: its exit code, and whom it queues again.

    Args:
        told: Whether it is told to stop as soon as the program runs.
        preempted: When Slurm took its place for another job.
    """
    control = f'if [ "$1" = show ]; then echo PreemptTime={preempted}; else echo "$@" >> queued; fi'
    for name, text in {"srun": program, "scontrol": control}.items():
        (folder / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / name).chmod(0o755)
    (folder / "job").write_text(Job(script=__file__).render())
    env = {"PATH": f"{folder}:/usr/bin:/bin", "SLURM_JOB_ID": "77", "SLURM_CPUS_PER_TASK": "1"}
    with subprocess.Popen(["bash", "job"], cwd=folder, env=env, stderr=subprocess.DEVNULL) as job:
        while told and job.poll() is None:
            time.sleep(0.02)
            if (folder / "runs").exists():
                job.send_signal(signal.SIGUSR1)
                told = False
    queued = folder / "queued"
    assert not (folder / ".gossip-stopped-77").exists()
    return job.returncode, queued.read_text().splitlines() if queued.exists() else []


@pytest.mark.parametrize("code", [0, 75, 137, 143])
def test_whether_it_is_queued_again_is_what_the_run_says_and_not_the_largest_exit_code(
    code: int, tmp_path: Path
) -> None:
    assert ran(f'echo runs/x > "$GOSSIP_STOPPED"; exit {code}', tmp_path) == (code, ["requeue 77"])


@pytest.mark.parametrize("code", [0, 1, 3, 4, 130, 137, 138, 143])
def test_what_ends_by_itself_is_never_queued_again(code: int, tmp_path: Path) -> None:
    (tmp_path / ".gossip-stopped-77").touch()  # of a time before
    assert ran(f"exit {code}", tmp_path) == (code, [])
    assert ran("exit 75", tmp_path) == (75, ["requeue 77"])  # a script of one's own says that it has saved


@pytest.mark.parametrize(("code", "queued"), [(143, ["requeue 77"]), (137, ["requeue 77"]), (1, []), (0, [])])
def test_who_is_preempted_before_it_listens_is_queued_again(code: int, queued: list[str], tmp_path: Path) -> None:
    assert ran(f"exit {code}", tmp_path, preempted="2026-11-30T19:01:31") == (code, queued)


def test_who_is_still_starting_is_told_again(tmp_path: Path) -> None:
    listening = "import signal, sys; signal.signal(signal.SIGUSR1, lambda *_: sys.exit(75)); signal.pause()"
    starting = f"touch runs; sleep 1; exec {sys.executable} -c '{listening}'"
    assert ran(starting, tmp_path, told=True) == (75, ["requeue 77"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--nodes", "0"], "--nodes 0 is not allowed; it must be >= 1"),
        (["--time", "4h"], "--time 4h is not allowed; it must be such as 30, 4:00:00 or 2-00"),
        (["--grace", "0"], "--grace 0 is not allowed"),
        (
            ["--time", "2", "--grace", "60"],
            "--grace 60 is not allowed; it must be shorter than --time 2 by more than 60 s",
        ),
        (["--time", "1:30", "--grace", "40"], "again and again"),
        (["--grace", "70000", "--time", "0"], "it must be 1 to 65535"),
        (["--partition", "a;b"], "--partition a;b is not allowed; it must be names of letters, digits"),
        (["--setup", "a\nb"], "must be one line; give it once for each line"),
        (["--seeds", "-1"], "--seeds -1 is not allowed; it must be >= 0"),
        (["--mpi", "pmi3"], "invalid choice: 'pmi3'"),
        (["--", "--algorithm", "Choco"], "--algorithm does not know 'Choco'; did you mean"),
        (["--", "--steps", "-1"], "steps = -1 is not allowed"),
        (["--", "--nodes", "3"], "4 ranks for 3 nodes"),
        (["--", "--help"], "leave out --help"),
        (["--checkpoint-every", "10 minutes"], "checkpoint_every = 10 minutes is not allowed"),
        (["--configurations", "missing.yaml"], "missing.yaml"),
        (["--script", __file__, "--configurations", "missing.yaml"], "it is an option of gossip.train"),
        (["--script", __file__, "--seeds", "1", "2"], "--seeds 1 2 is not allowed; it must be absent beside --script"),
        (["--script", __file__, "--checkpoint-every", "9"], "--checkpoint-every 9 is not allowed"),
        (["--script", "missing.py"], "--script missing.py is not allowed; it must be a file that is there"),
        (["--seeds", "1", "2", "1"], "--seeds 1 2 1 is not allowed; it must be different from each other"),
        (
            ["--at-once", "2"],
            "--at-once 2 is not allowed; it must be absent without --configurations, --seeds or --study",
        ),
        (["--seeds", "1", "2", "--", "--seed", "5"], "--seed 5 in the arguments takes the place of --seeds"),
        (["--configurations", *RING, "--seeds", "1", "--", "--seed", "5"], "takes the place of --seeds"),
        (["--configurations", *RING, *RING, "--"], "ring.yaml and hpc/slurm/ring.yaml make the same run"),
        (["--checkpoint-every", "9", "--", "--checkpoint-every", "8"], "have their own"),
        (["--", "--resume", "runs/a/b/checkpoints/step-00000001"], "give the run directory"),
        (["--seeds", "1", "2", "--", "--resume", "runs/a/b"], "would go on with the same run"),
        (["--sbatch", "nodes=3"], "--sbatch nodes=3 is not allowed; it follows from --nodes"),
        (["--sbatch", "no-requeue"], "--sbatch no-requeue is not allowed"),
        (["--sbatch", "exclusive", "exclusive"], "given once"),
        (["--sbatch=--exclusive"], "the long name of an option without its dashes"),
        (["--setup", "#SBATCH --exclusive"], "options of sbatch are given by --sbatch"),
        (["--memory", "lots"], "--memory lots is not allowed; it must be a number, with K, M, G or T"),
        (["--python", " "], "--python"),
        (["--file", "no/such/folder/x.sbatch"], "cannot write no/such/folder/x.sbatch (No such file or directory)"),
    ],
)
def test_mistakes_are_said_in_one_line_before_anything_waits_in_a_queue(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    assert main(["sbatch", *arguments]) in (2, 3)
    output = capsys.readouterr()
    lines = output.err.splitlines()
    assert len(lines) == 1 and says in lines[0]
    assert "#SBATCH" not in output.out


def test_without_slurm_it_cannot_be_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["sbatch", "--check"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "there is no sbatch here: leave it out, or go to a login node" in line


def test_from_the_command_line(python: Run) -> None:
    done = python("-m", "gossip.hpc", "sbatch", "--nodes", "2", "--", *ONES)
    assert done.returncode == 0, done.stderr
    assert done.stdout == Job(nodes=2, arguments=ONES).render()
