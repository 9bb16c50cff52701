"""Batch scripts as they are written; test_slurm.py runs them."""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from gossip.fields import descriptions
from gossip.hpc.__main__ import main
from gossip.hpc.job import Job
from tests.conftest import REPOSITORY, Run

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
        Job(mpi="mpirun", setup=("module load mpich", "cd /tmp"), memory="4G", partition="long", account="a-1"),
        Job(script="mine.py", gpus_per_task=1, arguments=("--epochs", "3")),
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
    assert "python -m gossip.train --checkpoint-every 50 --resume auto &" in script
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


def test_an_array_goes_through_all_configurations_and_seeds(tmp_path: Path) -> None:
    files = []
    for name in ("a", "b with a blank"):
        files.append(tmp_path / f"{name}.yaml")
        files[-1].write_text("workload: Averaging\nalgorithm: GossipAveraging\n")
    script = Job(configurations=tuple(map(str, files)), seeds=(3, 5, 8), at_once=2).render()
    assert "#SBATCH --array=0-5%2\n" in script
    chosen = script[script.index("configurations=") : script.index("export OMP")]
    ran = [
        subprocess.run(
            ["bash", "-c", f'{chosen} echo "$configuration/$seed"'],
            env={"SLURM_ARRAY_TASK_ID": str(i)},
            text=True,
            capture_output=True,
            check=True,
        ).stdout.strip()
        for i in range(6)
    ]
    assert ran == [f"{file}/{seed}" for file in files for seed in (3, 5, 8)]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--nodes", "0"], "--nodes 0 is not allowed; it must be >= 1"),
        (["--time", "4h"], "--time 4h is not allowed; it must be such as 30, 4:00:00 or 2-00"),
        (["--grace", "0"], "--grace 0 is not allowed"),
        (["--partition", "a;b"], "--partition a;b is not allowed; it must be letters, digits and any of . _ + -"),
        (["--setup", "a\nb"], "must be one line; give it once for each line"),
        (["--seeds", "-1"], "--seeds -1 is not allowed; it must be >= 0"),
        (["--mpi", "pmi3"], "invalid choice: 'pmi3'"),
        (["--", "--algorithm", "Choco"], "--algorithm does not know 'Choco'; did you mean"),
        (["--", "--steps", "-1"], "steps = -1 is not allowed"),
        (["--", "--nodes", "3"], "4 ranks for 3 nodes"),
        (["--", "--help"], "leave out --help"),
        (["--checkpoint-every", "10 minutes"], "checkpoint_every = 10 minutes is not allowed"),
        (["--configurations", "missing.yaml"], "missing.yaml"),
        (["--script", "mine.py", "--configurations", "missing.yaml"], "configurations are options of gossip.train"),
        (["--file", "no/such/folder/x.sbatch"], "cannot write no/such/folder/x.sbatch (No such file or directory)"),
    ],
)
def test_mistakes_are_said_in_one_line_before_anything_waits_in_a_queue(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
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
