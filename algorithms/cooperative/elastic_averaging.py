"""Elastic averaging SGD (EASGD, EAMSGD), synchronous: an anchor that pulls all nodes and is pulled by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.blocks.adacomm import AdaComm
from algorithms.blocks.local_updates import LocalState, LocalUpdates
from algorithms.checks import check, positive
from algorithms.network import Network, Posted
from algorithms.optimizers import LocalOptimizer, NesterovMomentum
from algorithms.schedules.learning_rate import LearningRate

ORDERS = ("simultaneous", "sequential")
OUTPUTS = ("anchor", "local", "combined")


@dataclass(kw_only=True)
class ElasticState(LocalState):
    """The state of elastic averaging SGD.

    Attributes:
        anchor: z, (k, d), with equal rows; the last one that has arrived.
        n: m, how many nodes there are.
        due: Whether the next iteration begins with an exchange.
        sent: (k, d), the models whose sum travels to the anchor; None where none does.
    """

    anchor: Tensor
    n: int
    due: bool
    sent: Posted[Tensor] | None = None


@dataclass(frozen=True)
class ElasticAveraging(LocalUpdates[ElasticState]):
    """Elastic averaging SGD (EASGD, EAMSGD), synchronous: an anchor that pulls all nodes and is pulled by them.

    Zhang, Choromanska, LeCun, "Deep Learning with Elastic Averaging SGD", NIPS 2015, arXiv 1412.6651; in the form of a
    mixing matrix, Wang & Joshi, JMLR 22(213), 2021, arXiv 1808.07576.

    With m nodes, z the anchor, the same on all of them, and g_i(x) the gradient, in an iteration that communicates

        simultaneous    x_i+ = x_i - lr g_i(x_i) - alpha (x_i - z);     z+ = (1 - m alpha) z + alpha sum of all x_i
        sequential      y_i = x_i - lr g_i(x_i);
                        x_i+ = y_i - alpha (y_i - z);                   z+ = (1 - m alpha) z + alpha sum of all y_i

    "simultaneous" is the order of the first paper: communicates iteration t = 0, 1, ... if tau divides t, so that the
    first exchange is between the starting points. "sequential", the gradient first, is that of the second, the same as
    `CooperativeSGD` on the topology `elastic_averaging`: if tau divides t + 1. The two differ by alpha lr |g| a round.

    With momentum (EAMSGD) v_i <- momentum v_i - lr g_i(x_i + momentum v_i) takes the place of -lr g_i(x_i); with
    another local optimizer, its move of the parameters does.

    alpha is in (0, 2 / (m + 1)), and the mixing contracts fastest for 2 / (m + 2), the default; the first paper has
    alpha = 0.9 / m. Along curvature h and with c = 1 - lr h the average of all nodes and the anchor are stable together
    for

        alpha < 2 (1 + c) / (2 + m + c m)      simultaneous
        alpha < 2 (1 + c) / (m + c (m + 2))    sequential

    The new anchor is needed only when the next iteration communicates. With `overlap` the sum travels until then, and
    the iterates are the same bits. What is output is the anchor z, the centre that the first paper evaluates; with
    `overlap` the last one that has arrived, which is that of the communication before. Other outputs are the local
    models x_i, and (m x_i + z) / (m + 1), whose average is that of all nodes and the anchor, (sum of all x_i + z) /
    (m + 1), the point that the second paper's analysis follows; there, what is on its way to the anchor is counted as
    if it had not left.

    Sent: one dense vector up and one down a binary tree over the nodes, every tau iterations: each node has the anchor.
    W is not used.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        alpha: Elasticity, in (0, 2 / (m + 1)) on m nodes; 2 / (m + 2) by default.
        period: Iterations from one communication to the next, tau >= 1, or a controller.
        order: Whether the pull takes place beside the gradient step ("simultaneous") or after it ("sequential").
        momentum: Momentum of EAMSGD, in [0, 1).
        overlap: Let the anchor's next value travel during the local steps.
        optimizer: The local update rule, instead of that of EAMSGD with this momentum.
        output: What is evaluated and returned: the "anchor" z, the same at all nodes; the "local" models x_i; or both
            "combined" as (m x_i + z) / (m + 1).
    """

    needs: ClassVar[tuple[str, ...]] = ()

    lr: float | LearningRate = 0.1
    alpha: float | None = None
    period: int | AdaComm = 1
    order: Literal["simultaneous", "sequential"] = "sequential"
    momentum: float = 0.0
    overlap: bool = True
    optimizer: LocalOptimizer | None = None
    output: Literal["anchor", "local", "combined"] = "anchor"

    def __post_init__(self) -> None:
        self.check_updates()
        check(self.alpha is None or positive(self.alpha), self, "alpha", "> 0 and below 2 / (nodes + 1)")
        check(self.order in ORDERS, self, "order", f"one of {', '.join(ORDERS)}")
        check(self.output in OUTPUTS, self, "output", f"one of {', '.join(OUTPUTS)}")

    @property
    def rule(self) -> LocalOptimizer:
        return self.optimizer or NesterovMomentum(self.momentum)

    def start(self, x: Tensor, network: Network) -> ElasticState:
        most = 2 / (network.n + 1)
        check(self.alpha is None or self.alpha < most, self, "alpha", f"below 2 / (nodes + 1) = {most:.4g}")
        anchor = network.mean(x).repeat(len(x), 1)
        due = self.order == "simultaneous"
        return ElasticState(x.clone(), *self.start_updates(x), anchor=anchor, n=network.n, due=due)

    def step(self, state: ElasticState, sample: Sample, network: Network) -> None:
        pull = self._exchange(state, network) if state.due else None
        state.x = self.updated(state, sample, network)
        ends = self.ends_period(state, sample, network)
        state.due = ends and self.order == "simultaneous"
        if ends and self.order == "sequential":
            pull = self._exchange(state, network)
        if pull is not None:
            state.x = state.x - pull  # and with it the model, which is as far from it as before

    def model(self, state: ElasticState) -> Tensor:
        if self.output == "anchor":
            return state.anchor
        x = super().model(state)
        if self.output == "local":
            return x
        if state.sent is not None:
            x = x + self._elasticity(state.n) * (state.sent.value - state.anchor)
        return (state.n * x + state.anchor) / (state.n + 1)

    def _elasticity(self, n: int) -> float:
        return 2 / (n + 2) if self.alpha is None else self.alpha

    def _exchange(self, state: ElasticState, network: Network) -> Tensor:
        """alpha (x - z), and send x to the anchor."""
        self._receive_anchor(state, network)
        x = super().model(state)
        pull = self._elasticity(network.n) * (x - state.anchor)
        state.sent = network.post_mean(x) if self.overlap else Posted(x)
        if not self.overlap:
            self._receive_anchor(state, network)
        return pull

    def _receive_anchor(self, state: ElasticState, network: Network) -> None:
        """z+, if it is not there yet."""
        if state.sent is not None:
            beta = network.n * self._elasticity(network.n)
            state.anchor = (1 - beta) * state.anchor + beta * network.mean(state.sent)
            state.sent = None
