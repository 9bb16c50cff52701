"""Whether an algorithm goes on from parameters that somebody has changed between its steps."""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms import Algorithm, Layout, MatrixNetwork, Sample, State

NUMBERS = 64  # parameters of the trial
STEPS = 3


def follows(algorithm: Algorithm) -> bool:
    """Whether a change of all parameters, of a node without gradients, has the effect of a start from there.

    The node is alone but for those that the method must trust.

    Methods that keep more of the parameters than these themselves, such as those of an iteration before, do not follow
    a change, or go beyond it.

    Args:
        algorithm: Not bound to a model. One that cannot run on a few parameters counts as following.
    """
    try:
        algorithm = algorithm.for_layout(Layout.vector(NUMBERS))
        x = torch.linspace(1, 2, NUMBERS, dtype=torch.float64).repeat(1 + algorithm.trusted, 1)
        started, changed = Trial(algorithm, x), Trial(algorithm, torch.zeros_like(x))
        changed.go()
        changed.state.x.copy_(x)
        started.state.step = changed.state.step  # of a schedule of learning rates
        return torch.allclose(started.go(), changed.go(), rtol=1e-6, atol=1e-9)
    except ValueError:
        return True


class Trial:
    """A run of few nodes, all of them neighbours, that have no gradients.

    Args:
        algorithm: What it runs.
        x: (n, d), where they start.
    """

    def __init__(self, algorithm: Algorithm, x: Tensor) -> None:
        self._algorithm = algorithm
        self._network = MatrixNetwork([[1 / len(x)] * len(x)] * len(x))
        self.state: State = algorithm.start(x, self._network)
        self._network.finish_step()

    def go(self) -> Tensor:
        """(n, d): where some steps lead."""
        for _ in range(STEPS):
            self._algorithm.post(self.state, self._network)
            sample = Sample(torch.zeros_like(self.state.x), torch.zeros_like(self.state.x[:, 0]))
            self._algorithm.advance(self.state, sample, self._network)
        return self.state.x
