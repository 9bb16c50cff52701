"""Decentralized SGD (D-PSGD, diffusion), in its three orders.

Lian, Zhang, Zhang, Hsieh, Zhang, Liu, "Can Decentralized Algorithms Outperform Centralized Algorithms?",
NeurIPS 2017, arXiv 1705.09056 (consensus order); Chen & Sayed, "Diffusion Adaptation Strategies for
Distributed Optimization and Learning over Networks", 2012, arXiv 1111.0034 (the two diffusion orders).

With v_i the descent direction of node i (its gradient, or its local momentum) and W_t the mixing matrix:

    adapt-then-combine   x_i <- sum_j w_ij (x_j - lr v_j(x_j))
    combine-then-adapt   y_i  = sum_j w_ij x_j;   x_i <- y_i - lr v_i(y_i)
    consensus            x_i <- sum_j w_ij x_j - lr v_i(x_i)

Sent: one dense vector to each out-neighbour, per round.

With `period` H, iteration t = 0, 1, ... averages if H divides t + 1, in all three orders (the convention of
Cooperative SGD, Wang & Joshi, arXiv 1808.07576). Of a time-varying topology each averaging uses the next round's
matrix, so the r-th one uses W_r.

The gradient of combine-then-adapt is wanted at y_i, so each averaging takes place at the end of the step before it,
the first one in `start`: T steps of period 1 make T + 1 rounds, the last of which nothing uses yet.

With a regularizer r, each iteration ends with its proximal operator at the iteration's learning rate: x_i is
prox_{lr r} of the right-hand side above. In the consensus order this is prox-DGD (Zeng & Yin, "On Nonconvex
Decentralized Gradient Descent", IEEE TSP 66(11), 2018, arXiv 1608.05766). It is as biased as the method without.

Momentum is local and never communicated: v_i <- momentum v_i + g_i, applied as in torch.optim.SGD. On heterogeneous
data the limit is as far from the optimum as without momentum and with lr / (1 - momentum).

With another local optimizer, its move c y of the parameters takes the place of -lr v; what it remembers stays local.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from algorithms.algorithm import Algorithm, Sample, State, check_momentum
from algorithms.arithmetic import add_scaled
from algorithms.checks import check
from algorithms.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.local_steps import check_period, synchronizes
from algorithms.network import Network
from algorithms.optimizers import SGD, LocalOptimizer
from algorithms.proximal import Proximal, check_prox, proximal_step

ORDERS = ("adapt-then-combine", "combine-then-adapt", "consensus")


@dataclass(frozen=True)
class DecentralizedSGD(Algorithm):
    """Decentralized SGD.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        order: Whether the gradient step comes before the averaging ("adapt-then-combine"), after it
            ("combine-then-adapt"), or beside it ("consensus", the order of D-PSGD).
        momentum: Momentum of the local direction, in [0, 1).
        nesterov: Use Nesterov's variant; needs momentum > 0.
        period: Iterations from one averaging to the next, >= 1.
        prox: A regularizer r to be minimised along with the losses.
        optimizer: The local update rule, instead of SGD with this momentum.
    """

    lr: float | LearningRate = 0.1
    order: Literal["adapt-then-combine", "combine-then-adapt", "consensus"] = "adapt-then-combine"
    momentum: float = 0.0
    nesterov: bool = False
    period: int = 1
    prox: Proximal | None = None
    optimizer: LocalOptimizer | None = None

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check(self.order in ORDERS, self, "order", f"one of {', '.join(ORDERS)}")
        check_momentum(self, self.momentum, self.nesterov)
        check_period(self, self.period)
        check_prox(self, self.prox)
        check(not (self.optimizer and self.momentum), self, "momentum", "0 beside an optimizer, which has its own")
        check(not (self.optimizer and self.prox), self, "prox", "absent beside an optimizer: its steps are not lr's")

    @property
    def rule(self) -> LocalOptimizer:
        """The local update rule."""
        return self.optimizer or SGD(self.momentum, self.nesterov)

    @property
    def proportional(self) -> bool:
        return super().proportional and self.rule.proportional

    def start(self, x: Tensor, network: Network) -> State:
        state = State(x=x.clone(), step=0)
        self.rule.start(state)
        if self.order == "combine-then-adapt":
            state.adapted = state.x
            state.x = self._average(state.x, 0, network)
        return state

    def post(self, state: State, network: Network) -> None:
        if self.order == "consensus" and synchronizes(state.step, self.period):
            network.post(state.x)

    def step(self, state: State, sample: Sample, network: Network) -> None:
        t = state.step
        lr = learning_rate(self.lr, t)
        move = self.rule.update(state, sample.gradient, lr, network)
        match self.order:
            case "adapt-then-combine":
                state.x = proximal_step(self.prox, self._average(self._adapt(state.x, move, network), t, network), lr)
            case "combine-then-adapt":
                # The next iteration starts with its averaging, whose result is where the gradient is wanted.
                state.adapted = proximal_step(self.prox, self._adapt(state.x, move, network), lr)
                state.x = self._average(state.adapted, t + 1, network)
            case "consensus":
                state.x = proximal_step(self.prox, self._average(state.x, t, network, plus=move), lr)
        state.step += 1

    def survive(self, state: State, network: Network) -> State:
        return state

    def model(self, state: State) -> Tensor:
        adapted: Tensor = state.adapted if self.order == "combine-then-adapt" else state.x
        return self.rule.model(state, adapted)

    def _adapt(self, x: Tensor, move: tuple[float, Tensor], network: Network) -> Tensor:
        """x + c y, where neighbours can read it."""
        return add_scaled(x, *move, out=network.empty(x.shape[1], x.dtype, x.device))

    def _average(self, x: Tensor, t: int, network: Network, plus: tuple[float, Tensor] | None = None) -> Tensor:
        """W x, or x where iteration t does not average, plus c y where such a pair is given."""
        if synchronizes(t, self.period):
            return network.mix(x, plus)
        return add_scaled(x, *plus) if plus else x
