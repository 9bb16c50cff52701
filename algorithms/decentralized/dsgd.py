"""Decentralized SGD (D-PSGD, diffusion), in its three orders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.blocks.adacomm import AdaComm
from algorithms.blocks.local_updates import LocalState, LocalUpdates
from algorithms.checks import check
from algorithms.network import Network, Posted
from algorithms.numerics.sums import add_scaled
from algorithms.optimizers import LocalOptimizer
from algorithms.proximal import Proximal, check_prox, proximal_step
from algorithms.schedules.learning_rate import LearningRate

ORDERS = ("adapt-then-combine", "combine-then-adapt", "consensus")


@dataclass
class DecentralizedSGDState(LocalState):
    """The state of decentralized SGD.

    Attributes:
        adapted: (k, d), the models before the averaging whose result is x, in the order combine-then-adapt; None in the
            other orders, where x are the models.
        posted: x on its way to the neighbours, in the order consensus; None where it is not.
    """

    adapted: Tensor | None = None
    posted: Posted[Tensor] | None = None


@dataclass(frozen=True)
class DecentralizedSGD(LocalUpdates[DecentralizedSGDState]):
    """Decentralized SGD (D-PSGD, diffusion), in its three orders.

    Lian, Zhang, Zhang, Hsieh, Zhang, Liu, "Can Decentralized Algorithms Outperform Centralized Algorithms?", NeurIPS
    2017, arXiv 1705.09056 (consensus order); Chen & Sayed, "Diffusion Adaptation Strategies for Distributed
    Optimization and Learning over Networks", 2012, arXiv 1111.0034 (the two diffusion orders).

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

    With another local optimizer, its move c y of the parameters takes the place of -lr v; what it remembers stays
    local.

    One step of two nodes, towards the points where |x|^2 / 2 and |x - 2|^2 / 2 are least:

        >>> network = MatrixNetwork([[0.5, 0.5], [0.5, 0.5]])
        >>> algorithm, centres = DecentralizedSGD(lr=0.5), torch.tensor([[0.0], [2.0]])
        >>> state = algorithm.start(torch.tensor([[0.0], [4.0]]), network)
        >>> algorithm.advance(state, Sample(state.x - centres, torch.zeros(2)), network)
        >>> algorithm.model(state).tolist()
        [[1.5], [1.5]]
        >>> network.traffic.messages.tolist()
        [1, 1]

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        order: Whether the gradient step comes before the averaging ("adapt-then-combine"), after it
            ("combine-then-adapt"), or beside it ("consensus", the order of D-PSGD).
        momentum: Momentum of the local direction, in [0, 1).
        nesterov: Use Nesterov's variant; needs momentum > 0.
        period: Iterations from one averaging to the next, >= 1, or a controller.
        prox: A regularizer r to be minimised along with the losses.
        optimizer: The local update rule, instead of SGD with this momentum.
    """

    lr: float | LearningRate = 0.1
    order: Literal["adapt-then-combine", "combine-then-adapt", "consensus"] = "adapt-then-combine"
    momentum: float = 0.0
    nesterov: bool = False
    period: int | AdaComm = 1
    prox: Proximal | None = None
    optimizer: LocalOptimizer | None = None

    def __post_init__(self) -> None:
        self.check_updates()
        check(self.order in ORDERS, self, "order", f"one of {', '.join(ORDERS)}")
        known = isinstance(self.period, int) or self.order != "combine-then-adapt"
        check(known, self, "period", "a number in the order combine-then-adapt, which averages ahead")
        check_prox(self, self.prox)
        check(not (self.optimizer and self.prox), self, "prox", "absent beside an optimizer: its steps are not lr's")

    def start(self, x: Tensor, network: Network) -> DecentralizedSGDState:
        state = DecentralizedSGDState(x.clone(), *self.start_updates(x))
        if self.order == "combine-then-adapt":
            state.adapted = state.x
            if self.periods.foreseen(0):
                state.x = network.mix(state.x)
        return state

    def post(self, state: DecentralizedSGDState, network: Network) -> None:
        if self.order == "consensus" and self.periods.foreseen(state.step):
            state.posted = network.post(state.x)

    def step(self, state: DecentralizedSGDState, sample: Sample, network: Network) -> None:
        lr = self.rate(state)
        move = self.move(state, sample, network)
        ends = self.ends_period(state, sample, network)
        match self.order:
            case "adapt-then-combine":
                adapted = self._adapt(state.x, move, network)
                state.x = proximal_step(self.prox, network.mix(adapted) if ends else adapted, lr)
            case "combine-then-adapt":
                # The next iteration starts with its averaging, whose result is where the gradient is wanted.
                state.adapted = proximal_step(self.prox, self._adapt(state.x, move, network), lr)
                ahead = self.periods.foreseen(state.step + 1)
                state.x = network.mix(state.adapted) if ahead else state.adapted
            case "consensus":
                moved = network.mix(state.posted or state.x, move) if ends else add_scaled(state.x, *move)
                state.x, state.posted = proximal_step(self.prox, moved, lr), None

    def survive(self, state: DecentralizedSGDState, network: Network) -> DecentralizedSGDState:
        return state

    def model(self, state: DecentralizedSGDState) -> Tensor:
        return self.rule.model(state.x if state.adapted is None else state.adapted, state.memory)

    def _adapt(self, x: Tensor, move: tuple[float, Tensor], network: Network) -> Tensor:
        """x + c y, where neighbours can read it."""
        return add_scaled(x, *move, out=network.empty(x.shape[1], x.dtype, x.device))
