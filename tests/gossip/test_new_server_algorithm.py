"""A new algorithm with error memories and a server is one file, which runs on any number of ranks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.algorithms.helpers import least_squares
from tests.conftest import OnRanks, Run

FILE = '''
"""DoubleSqueeze: compression with error feedback on the way to a server and on the way back."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from algorithms import Algorithm, Compressor, Network, Sample, State, TopK
from algorithms.blocks.error_memory import ErrorMemory
from algorithms.blocks.server import collect_mean, distribute


@dataclass
class SqueezedState(State):
    """Attributes:
    up: What compression has lost at the workers.
    down: What it has lost at the server.
    """

    up: ErrorMemory
    down: ErrorMemory


@dataclass(frozen=True)
class Squeezed(Algorithm[SqueezedState]):
    """x <- x - lr C(mean of C(g_i + e_i) + e), with what C loses in e_i and e.

    Args:
        lr: Learning rate, > 0.
        compressor: The operator C.
    """

    needs = ()
    servers = 1

    lr: float = 0.1
    compressor: Compressor = field(default_factory=lambda: TopK(k=2))

    def start(self, x: Tensor, network: Network) -> SqueezedState:
        up, down = (ErrorMemory.start(x, self.compressor) for _ in range(2))
        return SqueezedState(x.clone(), up, down)

    def step(self, state: SqueezedState, sample: Sample, network: Network) -> None:
        workers = range(network.n - 1)
        sent = state.up.compress(sample.gradient, self.compressor, network.draw("workers"))
        mean = collect_mean(sent, workers, network)
        answer = state.down.compress(mean, self.compressor, network.draw("server"))
        state.x = state.x - self.lr * distribute(answer, workers, network, others=torch.zeros_like(mean))
'''
PROGRAM = """
import sys
import numpy as np
import gossip
from squeezed import Squeezed
from gossip.processes import launcher
from gossip.workloads import LeastSquares
from tests.algorithms.helpers import least_squares
from topologies import ring
problem = least_squares(5)
workload = LeastSquares(problem.A, problem.b)
result = gossip.run(workload, ring(5), Squeezed(lr=0.05), steps=30, evaluate_every=10, output=None)
sent = [record["bytes_sent_per_node"] for record in result.history]
if launcher.world().rank == 0:
    np.savez(sys.argv[1], model=result.model.numpy(), sent=sent)
"""


def top_2(rows: np.ndarray) -> np.ndarray:
    """The two largest entries of each row."""
    kept = np.zeros_like(rows)
    for row, values in zip(kept, rows, strict=True):
        largest = np.argsort(-np.abs(values))[:2]
        row[largest] = values[largest]
    return kept


def test_one_file_with_error_memories_and_a_server(
    here: Run, on_ranks: Callable[..., list[OnRanks]], tmp_path: Path
) -> None:
    (tmp_path / "squeezed.py").write_text(FILE)
    options = "--algorithm squeezed.Squeezed --algorithm.lr 0.05 --workload Digits --nodes 5 --steps 3".split()
    program, command = on_ranks([["-c", PROGRAM, "ranks.npz"], ["-m", "gossip.train", *options]], ranks=2)
    done = here("-c", PROGRAM, "alone.npz")
    assert (program.codes, done.returncode) == ([0, 0], 0), (program.stderr, done.stderr)
    alone, together = (dict(np.load(tmp_path / name)) for name in ("alone.npz", "ranks.npz"))
    for name in ("model", "sent"):
        np.testing.assert_array_equal(alone[name], together[name])

    problem = least_squares(5)
    x, up, down = np.zeros(5), np.zeros((5, 5)), np.zeros((1, 5))
    for _ in range(30):
        corrected = problem.gradient(np.tile(x, (5, 1))) + up
        up = corrected - top_2(corrected)
        answer = top_2(corrected).mean(axis=0)[None] + down
        down = answer - top_2(answer)
        x = x - 0.05 * top_2(answer)[0]
    np.testing.assert_allclose(alone["model"], np.tile(x, (5, 1)), atol=1e-12)
    # Each worker sends a packed row up and the server one to each worker: header, two values, and their places.
    row = 24 + 2 * 8 + 1 + 1
    assert alone["sent"].tolist() == pytest.approx([steps * 10 * row / 6 for steps in (0, 10, 20, 30)])

    assert command.codes == [0, 0], command.stderr
    assert "Squeezed" in command.stdout[0]
