"""A new asynchronous program is one file, which runs on simulated nodes."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Run

FILE = '''
"""Pairwise averaging on timers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from algorithms.program import NodeContext, NodeProgram


@dataclass
class PairwiseAveraging(NodeProgram):
    """Sends its vector to a random neighbour, which goes half the way and sends back what it has gained."""

    x: Tensor
    turns: int

    def on_start(self, context: NodeContext) -> None:
        context.set_timer(0.01)

    def on_timer(self, context: NodeContext) -> None:
        context.send(int(context.draw("partner").generator(0).choice(context.neighbors)), self.x, "vector")
        self.turns -= 1
        if self.turns:
            context.set_timer(0.01)

    def on_message(self, sender: int, value: Tensor, kind: str, context: NodeContext) -> None:
        if kind == "vector":
            gained = (value - self.x) / 2
            self.x = self.x + gained
            context.send(sender, gained, "gained")
        else:
            self.x = self.x - value

    @property
    def model(self) -> Tensor:
        return self.x
'''
PROGRAM = """
import torch
from algorithms import Full
from gossip import SimulatedClock, workloads
from gossip.drivers.events import EventDriver
from gossip.drivers.gradients import NodeGradients
from mine import PairwiseAveraging
from topologies import ring

x = torch.arange(8.0, dtype=torch.float64)[:, None]
unused = NodeGradients(Full(), workloads.LeastSquares(torch.ones(8, 1, 1).numpy(), torch.ones(8, 1).numpy()), x)
programs = [PairwiseAveraging(row[None].clone(), 40) for row in x]
driver = EventDriver(programs, ring(8), unused, SimulatedClock(0.01, 1e-3, 1e6), seed=1)
events = len(list(driver.events()))
models = driver.models()
print(events, float(models.mean()), float((models - 3.5).abs().max()) < 1.0)
"""


def test_one_file(here: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    (tmp_path / "program.py").write_text(PROGRAM)
    done = here("program.py")
    assert done.returncode == 0, done.stderr
    events, mean, near = done.stdout.split()
    assert int(events) == 8 + 8 * 40 * 3  # starts, timers, and two messages for each of these
    assert abs(float(mean) - 3.5) < 1e-12 and near == "True"
