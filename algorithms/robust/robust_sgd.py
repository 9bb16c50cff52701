"""SGD by a robust aggregate of all nodes' momenta."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.blocks.server import HasServer, ServerForm, distribute
from algorithms.blocks.two_way import average_at_server
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.robust.aggregators import Aggregator, CenteredClipping
from algorithms.robust.at_server import aggregated, memory_of
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import State


@dataclass
class RobustSGDState(State):
    """What robust SGD carries on; all rows of `x` are equal.

    Attributes:
        momentum: Of each node's gradients.
        aggregate: (k, d), the last one, all rows equal; 0 at the start.
        memory: What the rule remembers, see `memory_of`.
    """

    past: ClassVar[tuple[str, ...]] = ("momentum", "aggregate")

    momentum: Momentum
    aggregate: Tensor
    memory: list[Tensor] | None


@dataclass(frozen=True)
class RobustSGD(HasServer, Algorithm[RobustSGDState]):
    """SGD by a robust aggregate of the nodes' momenta, some of which may be forged.

    Karimireddy, He, Jaggi, "Learning from History for Byzantine Robust Optimization", ICML 2021, arXiv 2012.10333,
    Algorithm 2 with any rule. With v_i, 0 at the start:

        v_i <- momentum v_i + g_i(x);   m_i = (1 - momentum) v_i goes up
        m = the aggregate of all m_i goes down;   x <- x - lr m

    Without momentum no rule withstands attackers whose rows look like the others in each single iteration: their errors
    add up. With `Mean` and no momentum it is parallel SGD.

    Sent: a dense vector up by each node, and the aggregate down to each; with a replicated server each node's to all
    others. All nodes start from the mean of their parameters, which is sent up and down. W is not used.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        aggregator: The rule.
        momentum: Of each node, in [0, 1).
        server: Whether the server is a "node" of its own, after the others, or "replicated" at all of them.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    lr: float | LearningRate = 0.1
    aggregator: Aggregator = field(default_factory=CenteredClipping)
    momentum: float = 0.9
    server: ServerForm = field(default="node", kw_only=True)

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check_momentum(self, self.momentum)
        self.check_server()

    @property
    def proportional(self) -> bool:
        return False

    def start(self, x: Tensor, network: Network) -> RobustSGDState:
        self.aggregator.check_rows(network.n - self.servers)
        x = average_at_server(x, network, self.server)
        memory = memory_of(self.aggregator, x, network, self.server)
        return RobustSGDState(x, Momentum.start(x, self.momentum), torch.zeros_like(x), memory)

    def step(self, state: RobustSGDState, sample: Sample, network: Network) -> None:
        sent = (1 - self.momentum) * state.momentum.descend(sample.gradient)
        nodes = range(network.n - self.servers)
        aggregated(self.aggregator, sent, nodes, state, network, server=self.server)
        if self.servers:
            state.aggregate = distribute(state.aggregate, nodes, network, others=state.aggregate)
        state.x = add_scaled(state.x, -learning_rate(self.lr, state.step), state.aggregate)
