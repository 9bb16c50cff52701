"""What the README says, runs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, OnRanks, Run

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
EXAMPLE = str(REPOSITORY / "docs/train_cnn.py")
SLOW = "cnn", "Contraction", "SparseDithering"  # words of commands that show as much on 2 nodes
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


def arguments(command: str) -> list[str]:
    """Those of Python, without what the shell does with its output, and shorter."""
    words = shlex.split(command)
    found = words[words.index("python") + 1 :]
    for stop in (">", ">>"):
        found = found[: found.index(stop)] if stop in found else found
    if "--help" in command or ".help" in command or "--print_config" in command:
        return found
    (small,) = [options for start, options in SMALL.items() if f"-m {start} " in f"{command} "]
    kept = any(option in command for option in ("--checkpoint-every", "--resume", "--logger"))
    small = small.replace("--output null", "") if kept else small
    return [*found, *small.split(), *(["--nodes", "2"] if any(word in found for word in SLOW) else [])]


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("python")])
def test_command(here: Run, own_files: Path, command: str) -> None:
    """Every command as it stands, but shorter."""
    done = here(*arguments(command))
    assert done.returncode == 0, done.stderr


def test_on_ranks(on_ranks: Callable[..., list[OnRanks]], own_files: Path) -> None:
    """Every command that starts ranks as it stands, but shorter, and on 2 ranks; then the programs."""
    commands = [command for command in COMMANDS if command.startswith("mpirun")]
    assert len(commands) >= 7
    (own_files / "study.py").write_text(block("gossip.run"))
    (own_files / "own.py").write_text(block("gossip.Optimizer"))
    programs = [["study.py"], ["own.py"], [EXAMPLE]]
    done = on_ranks([*(arguments(command) for command in commands), *programs], ranks=2)
    for command, each in zip([*commands, *programs], done, strict=True):
        assert each.codes == [0, 0], (command, each.stderr)
    own, example = done[-2:]
    assert len(list(own_files.glob("runs/ChocoSGD-ring/*/report.html"))) == 1
    assert [said.count("Traffic(") for said in own.stdout] == [1, 1]
    check_accuracy(example.stdout[0], 2)


def test_there_are_commands_to_test() -> None:
    assert len(COMMANDS) >= 12


def test_library_call(here: Run, tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(block("gossip.run"))
    done = here("study.py")
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("runs/ChocoSGD-ring/*/report.html"))) == 1


def test_own_training_loop(here: Run, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(block("gossip.Optimizer"))
    done = here("own.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Traffic(") == 1


def test_complete_example(here: Run) -> None:
    done = here(EXAMPLE)
    assert done.returncode == 0, done.stderr
    check_accuracy(done.stdout, 1)


def check_accuracy(said: str, nodes: int) -> None:
    (accuracy,) = re.findall(rf"^{nodes} nodes, test accuracy ([0-9.]+)", said, re.MULTILINE)
    assert float(accuracy) > 0.93
