"""Decentralized SGD whose nodes do not trust their neighbours."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.checks import check
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.robust.aggregators import Aggregator, TrimmedMean
from algorithms.robust.robustness import ENUMERATED, robustness
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import State

Order = Literal["adapt-then-combine", "combine-then-adapt"]


@dataclass
class RobustGossipState(State):
    """What robust gossip carries on.

    Attributes:
        momentum: Of each node's gradients.
    """

    past: ClassVar[tuple[str, ...]] = ("momentum",)

    momentum: Momentum


@dataclass(frozen=True)
class RobustGossip(Algorithm[RobustGossipState]):
    """Decentralized SGD in which every node takes a robust aggregate of its own and its neighbours' models.

    With the direction v_i, the gradient or (1 - momentum) times the local momentum:

        x_i <- the aggregate of x_i - lr v_i and the x_j - lr v_j of its neighbours    adapt-then-combine
        x_i <- (the aggregate of x_i and the x_j) - lr v_i                             combine-then-adapt

    The rule says which published method it is:

    * `TrimmedMean`, `CoordinateMedian`, `Krum`, `Bulyan`, combine-then-adapt: BRIDGE-T, -M, -K, -B (Fang, Yang, Bajwa,
      "BRIDGE: Byzantine-Resilient Decentralized Gradient Descent", IEEE TSIPN 8, 2022, arXiv 1908.08098);
    * `CenteredClipping`: ClippedGossip, self-centred clipping (He, Karimireddy, Jaggi, "Byzantine-Robust Decentralized
      Learning via ClippedGossip", 2022, arXiv 2202.01545), which alone of these weighs neighbours by W;
    * `Mean`: D-SGD, without a defence.

    What can be withstood depends on the graph. With up to f attackers among the neighbours of any node, a trimmed mean
    needs more than 2 f neighbours, or the graph is refused, and it is sure that the honest nodes agree where the graph
    is (2 f + 1)-robust: of any two disjoint sets of nodes one has a node with 2 f + 1 neighbours outside of its set
    (LeBlanc, Zhang, Koutsoukos, Sundaram, IEEE JSAC 31(4), 2013). Without the attackers it is (f + 1)-robust then, so
    connected, which clipping needs: honest nodes must hear of each other along paths that no attacker is on. A ring is
    1-robust. With `forged` graphs that are not robust enough are refused. The aggregates of single nodes differ, so the
    mean of the models is not kept, and their limit is biased where the data differ.

    Sent: one dense vector to each neighbour.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        aggregator: The rule. It must have enough rows at every node.
        momentum: Of each node, in [0, 1).
        order: Whether the step is taken before or after the models are combined.
        forged: f >= 1, for which the graph must do: a node with 2 f neighbours or fewer is refused, and up to 16 nodes
            a graph that is not (2 f + 1)-robust, of which more would take too long to tell. By default nothing but what
            the rule needs is asked of the graph.
    """

    needs: ClassVar[tuple[str, ...]] = ("symmetric", "static")

    lr: float | LearningRate = 0.1
    aggregator: Aggregator = field(default_factory=TrimmedMean)
    momentum: float = 0.0
    order: Order = "adapt-then-combine"
    forged: int | None = None

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check_momentum(self, self.momentum)
        check(self.order in get_args(Order), self, "order", f"one of {', '.join(get_args(Order))}")
        check(self.forged is None or self.forged >= 1, self, "forged", ">= 1, or None")
        check(not self.aggregator.remembers, self, "aggregator", "a rule without a memory, which is for servers")

    def start(self, x: Tensor, network: Network) -> RobustGossipState:
        with network.unrecorded():  # whom each node hears
            linked = torch.zeros(len(x), network.n)
            for row, heard in enumerate(network.neighbors(x)):
                linked[row, list(heard.nodes)] = 1
            everywhere = network.gather(linked).numpy() > 0
        fewest = int(everywhere.sum(axis=1).min())
        self.aggregator.check_rows(fewest + self.aggregator.counts_own)
        if self.forged is not None:
            self._check_graph(everywhere, fewest, 2 * self.forged + 1)
        return RobustGossipState(x.clone(), Momentum.start(x, self.momentum))

    def _check_graph(self, linked: NDArray[np.bool_], fewest: int, needed: int) -> None:
        """Refuse a graph (n, n), with so few neighbours of some node, that is not `needed`-robust if that is known."""
        asked = f"RobustGossip: forged = {self.forged} needs"
        if fewest < needed:
            raise ValueError(f"{asked} {needed} neighbours or more at every node, and there is one with {fewest}")
        if len(linked) <= ENUMERATED and (found := robustness(linked)) < needed:
            raise ValueError(f"{asked} a {needed}-robust graph, and this one is {found}-robust; it needs more links")

    def step(self, state: RobustGossipState, sample: Sample, network: Network) -> None:
        lr, first = learning_rate(self.lr, state.step), self.order == "adapt-then-combine"
        direction = (1 - self.momentum) * state.momentum.descend(sample.gradient)
        x = add_scaled(state.x, -lr, direction) if first else state.x
        drawn = network.draw("aggregation")
        combined = [
            self.aggregator.beside(own, heard.rows, heard.weights.to(own), replace(drawn, nodes=[node]))
            for node, own, heard in zip(network.nodes, x, network.neighbors(x), strict=True)
        ]
        state.x = torch.stack(combined)
        if not first:
            state.x = add_scaled(state.x, -lr, direction)
