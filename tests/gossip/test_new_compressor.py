"""A new compressor that remembers is one file, usable by its import path: on ranks, and across checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.conftest import OnRanks, Run

FILE = '''
"""Random-k whose entries are held for some messages, and a method that carries what its compressor remembers."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from algorithms import Algorithm, Block, Compressor, Layout, Network, RandomK, Sample, State
from algorithms.randomness import Key


@dataclass
class Held(Block):
    words: Tensor
    uses: Tensor


@dataclass(frozen=True)
class HeldK(RandomK):
    """Keeps k entries, drawn anew for each `period`-th message only.

    Args:
        fraction: Kept share of the entries, in (0, 1].
        k: Number of entries kept; exactly one of `fraction` and `k` must be given.
        unbiased: Whether kept entries are scaled by d/k.
        common: Whether all nodes draw alike.
        period: Messages with the same entries, >= 1.
    """

    period: int = 4

    def start(self, layout: Layout, k: int, *, dtype: torch.dtype = torch.float32) -> Block:
        return Held(torch.zeros(k, dtype=torch.int64), torch.zeros(k, dtype=torch.int64))

    def encode(self, x: Tensor, key: Key, memory: Block | None = None) -> Tensor:
        if isinstance(memory, Held):
            if int(memory.uses) % self.period == 0:
                memory.words.fill_(key.own >> 1)
            memory.uses.add_(1)
            key = key._replace(own=int(memory.words))
        return super().encode(x, key)


@dataclass
class CentralizedState(State):
    lost: Tensor
    remembered: Block | None


@dataclass(frozen=True)
class CentralizedEF(Algorithm):
    """x <- x - mean over all nodes of C(lr g + e), e the error memory.

    Args:
        lr: Learning rate, > 0.
        compressor: C.
    """

    needs = ()

    lr: float = 0.1
    compressor: Compressor = field(default_factory=lambda: HeldK(fraction=0.1))

    def start(self, x: Tensor, network: Network) -> CentralizedState:
        x = network.mean(x).repeat(len(x), 1)
        return CentralizedState(x, torch.zeros_like(x), self.compressor.start_like(x))

    def step(self, state: CentralizedState, sample: Sample, network: Network) -> None:
        corrected = self.lr * sample.gradient + state.lost
        sent = self.compressor.compress(corrected, network.draw("compression"), state.remembered).dense()
        state.lost = corrected - sent
        state.x = state.x - network.mean(sent)
'''
PROGRAM = """
import json, sys
import gossip, held
from algorithms import ChocoSGD, Minibatch
from gossip.workloads import Digits
from topologies import ring

method, steps, output, period = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
compressor = held.HeldK(fraction=0.1, period=period)
choco = ChocoSGD(gamma=0.1, compressor=compressor)
algorithm = held.CentralizedEF(lr=0.1, compressor=compressor) if method == "ef" else choco
result = gossip.run(
    Digits(), ring(3), algorithm, oracle=Minibatch(16), steps=steps, output=output, checkpoint_every=3, resume="auto"
)
if result.directory is not None:  # on rank 0
    print("model", json.dumps(result.model.double().sum(dim=-1).tolist() + [float(result.model.double().norm())]))
"""


OPTIONS = "--algorithm held.CentralizedEF --algorithm.compressor held.HeldK --algorithm.compressor.fraction 0.2"
OPTIONS += " --algorithm.compressor.period 2 --workload Digits --steps 3"
METHODS = "ef", "choco"


def test_one_file(here: Run, on_ranks: Callable[..., list[OnRanks]], tmp_path: Path) -> None:
    (tmp_path / "held.py").write_text(FILE)
    (tmp_path / "program.py").write_text(PROGRAM)

    # Each of these loads the file anew, and with it the class of what is remembered, as a notebook does.
    def model(method: str, steps: int, output: str, period: int = 4) -> list[float]:
        done = here("program.py", method, str(steps), output, str(period))
        assert done.returncode == 0, done.stderr
        return found(done.stdout)

    *programs, command = on_ranks(
        [
            *(["program.py", method, "8", f"ranks-{method}", "4"] for method in METHODS),
            ["-m", "gossip.train", *OPTIONS.split()],
        ],
        ranks=2,
    )
    for method, on_two in zip(METHODS, programs, strict=True):
        whole = model(method, 8, f"whole-{method}")
        assert model(method, 8, f"forgetful-{method}", period=1) != whole  # it matters what is remembered
        assert on_two.codes == [0, 0], on_two.stderr
        assert found(on_two.stdout[0]) == whole
        assert model(method, 5, f"resumed-{method}") != whole
        assert model(method, 8, f"resumed-{method}") == whole
    assert command.codes == [0, 0], command.stderr
    assert "step 3/3" in command.stdout[0]
    (configuration,) = tmp_path.glob("runs/*/*/config.yaml")
    assert "held.HeldK" in configuration.read_text()


def found(said: str) -> list[float]:
    model: list[float] = json.loads(next(line for line in said.splitlines() if line.startswith("model"))[6:])
    return model
