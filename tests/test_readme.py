"""What the README says, runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Run

TEXT = (REPOSITORY / "README.md").read_text()
COMMANDS = [line.split("#")[0].strip() for line in re.findall(r"^    ((?:mpirun|python) .*)$", TEXT, re.MULTILINE)]
SMALL = {  # options that make a command short; those given last count
    "gossip.train": "--steps 2 --output null",
    "gossip.study --set topology=ring,star,exponential": "--set steps=2 workload=Averaging nodes=4 --processes 1",
    "gossip.study --set topology=ring,torus": "--set steps=2 nodes=9 --processes 1",
    "gossip.study --set topology=ring,star": "--set steps=2 nodes=4",
    "gossip.advise": "--nodes 4 --hosts 2 --network lan --parameters 1000",
    "gossip.reproduce": "",
    "gossip.doctor": "--seconds 0.1",
    "gossip.hpc": "",
    "topologies": "",
    "gossip.bench mix": "--repeats 1 --dimension 1e3",
    "gossip.bench train": "--repeats 1 --model mlp-small --batch 4 --steps 1",
    "gossip.bench consensus": "--repeats 1 --nodes 100 --rounds 10",
    "gossip.bench scale": "--repeats 1 --nodes 50 --dimension 10",
    "gossip.bench compressors": "--repeats 1 --operator TopK halved.EveryOther --dimension 1e3",
    "gossip.bench frontier": "--repeats 1 --hidden 2 --steps 2 --operator TopK QSGD --output frontier.svg",
}
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def block(word: str) -> str:
    (found,) = [text for text in BLOCKS if word in text]
    return found


@pytest.fixture
def own_files(tmp_path: Path) -> Path:
    (tmp_path / "damped.py").write_text(block("DampedSGD"))
    (tmp_path / "mine.py").write_text(block("small_world"))
    (tmp_path / "halved.py").write_text(block("EveryOther"))
    (tmp_path / "run.yaml").write_text("topology: ring\nsteps: 3\n")
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_command(python: Run, own_files: Path, command: str) -> None:
    """Every command as it stands, but shorter, and on at most 4 ranks."""
    words = shlex.split(command)
    ranks = min(int(words[2]), 4) if words[0] == "mpirun" else 0
    arguments = words[words.index("python") + 1 :]
    for stop in (">", ">>"):
        arguments = arguments[: arguments.index(stop)] if stop in arguments else arguments
    if "--help" not in command and ".help" not in command and "--print_config" not in command:
        (small,) = [options for start, options in SMALL.items() if f"-m {start} " in f"{command} "]
        kept = "--checkpoint-every" in command or "--resume" in command
        arguments += (small.replace("--output null", "") if kept else small).split()
    done = python(*arguments, ranks=ranks, env={"PYTHONPATH": f"{own_files}:{REPOSITORY}"})
    assert done.returncode == 0, done.stderr


def test_there_are_commands_to_test() -> None:
    assert len(COMMANDS) >= 12


def test_library_call(python: Run, tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(block("gossip.run"))
    for ranks in (0, 2):
        done = python("study.py", ranks=ranks)
        assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("runs/ChocoSGD-ring/*/report.html"))) == 2


def test_own_training_loop(python: Run, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(block("gossip.Optimizer"))
    for ranks in (0, 2):
        done = python("-W", "error", "own.py", ranks=ranks)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("Traffic(") == max(ranks, 1)


@pytest.mark.parametrize("ranks", [0, 2])
def test_complete_example(python: Run, ranks: int) -> None:
    done = python("-W", "error", str(REPOSITORY / "docs/train_cnn.py"), ranks=ranks)
    assert done.returncode == 0, done.stderr
    (accuracy,) = re.findall(rf"^{max(ranks, 1)} nodes, test accuracy ([0-9.]+)", done.stdout, re.MULTILINE)
    assert float(accuracy) > 0.93
