"""Push-sum SGD (stochastic gradient push, SGP): decentralized SGD on directed and time-varying graphs.

Assran, Loizou, Ballas, Rabbat, "Stochastic Gradient Push for Distributed Deep Learning", ICML 2019, arXiv 1811.10792;
first as subgradient-push in Nedic & Olshevsky, "Distributed optimization over time-varying directed graphs", IEEE TAC
60(3), 2015, arXiv 1303.2289.

With P_t the mixing matrix of round t, whose columns sum to 1, n_i the numerator (the paper's x_i) and w_i the weight
of node i (at first 1), z_i the model, and v_i the descent direction at z_i (the gradient, or the local momentum):

    n_i <- sum_j p_ij (n_j - lr v_j(z_j))        w_i <- sum_j p_ij w_j        z_i = n_i / w_i

Sent: one dense vector and one number to each out-neighbour, per round, in two messages; in any case, although the
weights stay 1 where the rows of P sum to 1 as well. There this is decentralized SGD, adapt-then-combine.

With `overlap` (overlap SGP, OSGP, with messages that take one step) what a node sends travels while the neighbours
compute their next gradient. A node keeps its own share at once, and what step t sends arrives at the end of step t + 1,
numerators and weights alike:

    h_i,t = n_i,t - lr v_i(z_i,t)        n_i,t+1 = p_ii,t h_i,t + sum_{j != i} p_ij,t-1 h_j,t-1        z_i = n_i / w_i

and the same of w without the gradient; step 0 sends nothing yet. What travels counts in the sums that are kept, so that
the weights no longer stay 1 on any graph.

The sum of the numerators moves by -lr times the sum of the directions, and that of the weights stays n, whatever the
graphs: the limit has the bias of decentralized SGD, of the order of lr, but no node counts more than another.

Momentum is local and never communicated: v_i <- momentum v_i + g_i, applied as in torch.optim.SGD.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from algorithms.algorithm import Algorithm, Sample, check_momentum, descent_direction, start_momentum
from algorithms.checks import check
from algorithms.decentralized.push_sum_averaging import push_sum, start_push_sum
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import State


@dataclass(frozen=True)
class PushSumSGD(Algorithm):
    """Push-sum SGD.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        momentum: Momentum of the local direction, in [0, 1).
        nesterov: Use Nesterov's variant; needs momentum > 0.
        overlap: Let messages travel during the next gradient computation, and arrive a step late.
    """

    needs: ClassVar[tuple[str, ...]] = ("column_stochastic",)
    mass: ClassVar[str | None] = "weight"

    lr: float | LearningRate = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    overlap: bool = False

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check_momentum(self, self.momentum, self.nesterov)

    def start(self, x: Tensor, network: Network) -> State:
        state = start_push_sum(x)
        start_momentum(state, self.momentum)
        if self.overlap:
            keeps = bool((network.own_weights() > 0).all())
            check(keeps, self, "overlap", "false where a node keeps no share of its own, as in this mixing matrix")
            state.posted = None
            state.travelling, state.kept = None, None  # h and what was kept of it: of the numerator, and of the weight
        return state

    def post(self, state: State, network: Network) -> None:
        if self.overlap and state.travelling:
            state.posted = tuple([network.post(each) for each in state.travelling])

    def step(self, state: State, sample: Sample, network: Network) -> None:
        v = descent_direction(state, sample.gradient, self.momentum, self.nesterov)
        n, lr = state.numerator, learning_rate(self.lr, state.step)
        adapted = add_scaled(n, -lr, v, out=network.empty(n.shape[1], n.dtype, n.device))
        if self.overlap:
            self._push_late(state, adapted, network)
        else:
            push_sum(state, adapted, network)

    def survive(self, state: State, network: Network) -> State:
        """Go on with the numerators and weights; what travels comes back to its senders, as receivers may be gone."""
        if self.overlap and state.travelling is not None:
            numerator, weight = (h - share for h, share in zip(state.travelling, state.kept, strict=True))
            state.numerator, state.weight = state.numerator + numerator, state.weight + weight
            state.x = state.numerator / state.weight
            state.travelling, state.kept = None, None
        return state

    def _push_late(self, state: State, numerator: Tensor, network: Network) -> None:
        """Keep the own shares, add what arrives from the step before, divide."""
        # What is split now travels in the next round, unless nothing has travelled in this one.
        own = network.own_weights(ahead=0 if state.travelling is None else 1).to(numerator)
        split = numerator, state.weight
        kept = own * numerator, own * state.weight
        state.numerator, state.weight = kept
        if state.travelling is not None:
            numerators, weights = (
                network.mix(h) - share for h, share in zip(state.posted or state.travelling, state.kept, strict=True)
            )
            state.posted = None
            state.numerator, state.weight = state.numerator + numerators, state.weight + weights
        state.travelling, state.kept = split, kept
        state.x = state.numerator / state.weight
