"""Push-sum SGD (stochastic gradient push, SGP): decentralized SGD on directed and time-varying graphs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.blocks.push_sum import PushSum
from algorithms.checks import check
from algorithms.network import Network, Posted
from algorithms.numerics.sums import add_scaled
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import Block, State


@dataclass
class InFlight(Block):
    """What travels during a gradient computation.

    Attributes:
        split: h, the numerators and weights that nodes split among themselves and their out-neighbours.
        kept: What each node kept of them for itself.
        posted: The numerators and the weights on their way; None where they are not.
    """

    split: PushSum
    kept: PushSum
    posted: tuple[Posted[Tensor], Posted[Tensor]] | None = None


@dataclass
class PushSumSGDState(State):
    """The state of push-sum SGD.

    Attributes:
        push_sum: Numerators and weights, whose ratio is x.
        momentum: Of the local direction.
        in_flight: With `overlap`, what travels; None before the first step and without.
    """

    push_sum: PushSum
    momentum: Momentum
    in_flight: InFlight | None = None


@dataclass(frozen=True)
class PushSumSGD(Algorithm[PushSumSGDState]):
    """Push-sum SGD (stochastic gradient push, SGP): decentralized SGD on directed and time-varying graphs.

    Assran, Loizou, Ballas, Rabbat, "Stochastic Gradient Push for Distributed Deep Learning", ICML 2019, arXiv
    1811.10792; first as subgradient-push in Nedic & Olshevsky, "Distributed optimization over time-varying directed
    graphs", IEEE TAC 60(3), 2015, arXiv 1303.2289.

    With P_t the mixing matrix of round t, whose columns sum to 1, n_i the numerator (the paper's x_i) and w_i the
    weight of node i (at first 1), z_i the model, and v_i the descent direction at z_i (the gradient, or the local
    momentum):

        n_i <- sum_j p_ij (n_j - lr v_j(z_j))        w_i <- sum_j p_ij w_j        z_i = n_i / w_i

    Sent: one dense vector and one number to each out-neighbour, per round, in two messages; in any case, although the
    weights stay 1 where the rows of P sum to 1 as well. There this is decentralized SGD, adapt-then-combine.

    With `overlap` (overlap SGP, OSGP, with messages that take one step) what a node sends travels while the neighbours
    compute their next gradient. A node keeps its own share at once, and what step t sends arrives at the end of step t
    + 1, numerators and weights alike:

        h_i,t = n_i,t - lr v_i(z_i,t)      n_i,t+1 = p_ii,t h_i,t + sum_{j != i} p_ij,t-1 h_j,t-1      z_i = n_i / w_i

    and the same of w without the gradient; step 0 sends nothing yet. What travels counts in the sums that are kept, so
    that the weights no longer stay 1 on any graph.

    The sum of the numerators moves by -lr times the sum of the directions, and that of the weights stays n, whatever
    the graphs: the limit has the bias of decentralized SGD, of the order of lr, but no node counts more than another.

    Momentum is local and never communicated: v_i <- momentum v_i + g_i, applied as in torch.optim.SGD.

    Node 0 sends to both others, which send to it: what each of them keeps and sends is a column. Without gradients the
    nodes find the average of what they start from:

        >>> network = MatrixNetwork([[0.4, 0.5, 0.5], [0.3, 0.5, 0.0], [0.3, 0.0, 0.5]])
        >>> algorithm = PushSumSGD(lr=0.1)
        >>> state = algorithm.start(torch.tensor([[0.0], [4.0], [5.0]]), network)
        >>> for _ in range(50):
        ...     algorithm.advance(state, Sample(torch.zeros(3, 1), torch.zeros(3)), network)
        >>> algorithm.model(state).round(decimals=3).tolist()
        [[3.0], [3.0], [3.0]]

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        momentum: Momentum of the local direction, in [0, 1).
        nesterov: Use Nesterov's variant; needs momentum > 0.
        overlap: Let messages travel during the next gradient computation, and arrive a step late.
    """

    needs: ClassVar[tuple[str, ...]] = ("column_stochastic",)

    lr: float | LearningRate = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    overlap: bool = False

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check_momentum(self, self.momentum, self.nesterov)

    def start(self, x: Tensor, network: Network) -> PushSumSGDState:
        if self.overlap:
            keeps = bool((network.own_weights() > 0).all())
            check(keeps, self, "overlap", "false where a node keeps no share of its own, as in this mixing matrix")
        return PushSumSGDState(x.clone(), PushSum.start(x), Momentum.start(x, self.momentum, self.nesterov))

    def post(self, state: PushSumSGDState, network: Network) -> None:
        if state.in_flight is not None:
            split = state.in_flight.split
            state.in_flight.posted = network.post(split.numerator), network.post(split.weight)

    def step(self, state: PushSumSGDState, sample: Sample, network: Network) -> None:
        v = state.momentum.descend(sample.gradient)
        n, lr = state.push_sum.numerator, learning_rate(self.lr, state.step)
        adapted = add_scaled(n, -lr, v, out=network.empty(n.shape[1], n.dtype, n.device))
        if self.overlap:
            self._push_late(state, adapted, network)
        else:
            state.x = state.push_sum.push(adapted, network)

    def survive(self, state: PushSumSGDState, network: Network) -> PushSumSGDState:
        """Go on with the numerators and weights; what travels comes back to its senders, as receivers may be gone."""
        if state.in_flight is not None:
            state.push_sum = state.push_sum + (state.in_flight.split - state.in_flight.kept)
            state.x = state.push_sum.ratio
            state.in_flight = None
        return state

    def mass(self, state: PushSumSGDState) -> Tensor:
        return state.push_sum.weight

    def _push_late(self, state: PushSumSGDState, numerator: Tensor, network: Network) -> None:
        """Keep the own shares, add what arrives from the step before, divide."""
        before = state.in_flight
        # What is split now travels in the next round, unless nothing has travelled in this one.
        own = network.own_weights(ahead=0 if before is None else 1).to(numerator)
        split = PushSum(numerator, state.push_sum.weight)
        kept = split.times(own)
        state.push_sum = kept
        if before is not None:
            numerators, weights = before.posted or (before.split.numerator, before.split.weight)
            arrived = PushSum(network.mix(numerators), network.mix(weights))
            state.push_sum = kept + (arrived - before.kept)
        state.in_flight = InFlight(split, kept)
        state.x = state.push_sum.ratio
