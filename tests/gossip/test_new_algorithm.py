"""A new algorithm is one file and one import line, and then usable everywhere by its name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from gossip.checkpoint.__main__ import main
from tests.conftest import REPOSITORY, OnRanks, Run

FILE = '''
"""Gradient descent that averages with all nodes at once."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms.algorithm import Algorithm, Sample
from algorithms.state import State
from algorithms.network import Network


@dataclass(frozen=True)
class CentralizedSGD(Algorithm):
    """x <- mean over all nodes of (x - lr g).

    Args:
        lr: Learning rate, > 0.
    """

    lr: float = 0.1

    def step(self, state: State, sample: Sample, network: Network) -> None:
        state.x = network.mean(state.x - self.lr * sample.gradient).expand_as(state.x)
'''
LINE = "from algorithms.decentralized.centralized import CentralizedSGD as CentralizedSGD\n"
PROGRAM = """
import sys
import gossip
from algorithms import CentralizedSGD, Minibatch
from gossip.train.__main__ import main
from gossip.workloads import Digits
from topologies import ring
result = gossip.run(Digits(), ring(4), CentralizedSGD(lr=0.2), oracle=Minibatch(16), steps=5, output=None)
assert result.summary["consensus_distance"] < 1e-6
assert main(sys.argv[1:]) == 0
sys.exit(main(["--algorithm.help", "CentralizedSGD"]))
"""


def test_one_file_and_one_line(python: Run, tmp_path: Path) -> None:
    # With what was compiled, by Python and numba: to do that again takes longer than all else.
    unfinished = shutil.ignore_patterns("*.pyc.*", "*.tmp.*")
    for package in ("algorithms", "gossip", "topologies"):
        shutil.copytree(REPOSITORY / package, tmp_path / package, ignore=unfinished)
    family = tmp_path / "algorithms/decentralized"
    (family / "centralized.py").write_text(FILE)
    with (family / "__init__.py").open("a") as file:
        file.write(LINE)

    options = ["--algorithm", "CentralizedSGD", "--algorithm.lr", "0.2", "--workload", "Digits", "--steps", "3"]
    done = python("-c", PROGRAM, *options, ranks=2, env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert "│ CentralizedSGD" in done.stdout
    assert "Learning rate, > 0." in done.stdout


COMPRESSED = '''
"""Gossip on compressed differences, with a step size that grows."""

from dataclasses import dataclass, field

from torch import Tensor

from algorithms import Algorithm, Compressor, Network, Sample, State, TopK
from algorithms.blocks.replica import Replica


@dataclass
class MineState(State):
    replica: Replica


@dataclass(frozen=True)
class Mine(Algorithm[MineState]):
    """y = x - lr g;  q = C(y - h);  h+ = h + q;  x+ = y + gamma t / (t + 1) (W - I) h+."""

    needs = ("static", "doubly_stochastic")

    lr: float = 0.1
    gamma: float = 0.4
    compressor: Compressor = field(default_factory=lambda: TopK(fraction=0.1))

    def start(self, x: Tensor, network: Network) -> MineState:
        return MineState(x.clone(), Replica.start(x, self.compressor))

    def step(self, state: MineState, sample: Sample, network: Network) -> None:
        y = state.x - self.lr * sample.gradient
        state.replica.publish(y, self.compressor, network)
        state.replica.hear(network)
        gamma = self.gamma * state.step / (state.step + 1)
        state.x = y + gamma * state.replica.disagreement()
'''
WITH_AN_ERROR_MEMORY = '''
"""Decentralized SGD whose updates are compressed, with the errors fed back."""

from dataclasses import dataclass, field

from torch import Tensor

from algorithms import Algorithm, Compressor, Network, Sample, ScaledSign, State
from algorithms.blocks.error_memory import ErrorMemory


@dataclass
class MineState(State):
    error: ErrorMemory


@dataclass(frozen=True)
class Mine(Algorithm[MineState]):
    """u = C(lr g + e);  e+ = lr g + e - u;  x+ = W (x - u), of which u travels as a message."""

    needs = ("doubly_stochastic",)

    lr: float = 0.1
    compressor: Compressor = field(default_factory=ScaledSign)

    def start(self, x: Tensor, network: Network) -> MineState:
        return MineState(x.clone(), ErrorMemory.start(x, self.compressor))

    def step(self, state: MineState, sample: Sample, network: Network) -> None:
        update = state.error.compress(self.lr * sample.gradient, self.compressor, network.draw("compression"))
        state.x = network.mix(state.x) - network.mix(update)
'''
ON_DIGITS = "--workload Digits --workload.hidden 8 --nodes 5 --topology ring --steps 6 --checkpoint-every 3".split()


def models(output: Path) -> list[torch.Tensor]:
    """The parameters of each node in the last checkpoint of the run in this folder."""
    (directory,) = output.glob("*/*")
    found = []
    for node in range(5):
        assert main(["export", str(directory), str(output / "model.pt"), "--node", str(node)]) == 0
        tensors = torch.load(output / "model.pt")
        found.append(torch.cat([tensor.flatten() for tensor in tensors.values()]))
    return found


def test_one_file_of_ones_own_sends_messages_on_ranks_and_goes_on_from_checkpoints(
    here: Run, on_ranks: Callable[..., list[OnRanks]], tmp_path: Path
) -> None:
    files = {"compressed": COMPRESSED, "remembering": WITH_AN_ERROR_MEMORY}

    def train(name: str, output: str, *options: str) -> list[str]:
        return ["-m", "gossip.train", "--algorithm", f"{name}.Mine", *ON_DIGITS, "--output", output, *options]

    def alone(name: str, output: str, *options: str) -> list[torch.Tensor]:
        done = here(*train(name, output, *options))
        assert done.returncode == 0, done.stderr
        return models(tmp_path / output)

    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text)
    for name, done in zip(files, on_ranks([train(name, f"{name}/ranks") for name in files], ranks=2), strict=True):
        assert done.codes == [0, 0], done.stderr
        whole, together = alone(name, f"{name}/alone"), models(tmp_path / name / "ranks")
        assert all(torch.equal(one, other) for one, other in zip(whole, together, strict=True))
        assert not torch.equal(whole[0], whole[1])
        (end,) = (tmp_path / name / "ranks").glob("*/*/checkpoints/step-00000006")
        shutil.rmtree(end)
        resumed = alone(name, f"{name}/ranks", "--resume", str(end.with_name("step-00000003")))
        assert all(torch.equal(one, other) for one, other in zip(whole, resumed, strict=True))
