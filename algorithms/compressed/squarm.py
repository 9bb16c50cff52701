"""SQuARM-SGD: momentum SGD with local steps and event-triggered, compressed gossip."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Literal

from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.adacomm import AdaComm
from algorithms.blocks.gamma import Gamma, check_gamma
from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.blocks.period import PeriodState, as_period, check_period
from algorithms.blocks.replica import Replicas
from algorithms.blocks.trigger import Trigger
from algorithms.compressors import Compressor, Identity
from algorithms.compressors.theory import check_contraction
from algorithms.network import Network, Spectrum
from algorithms.numerics.sums import add_scaled
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.schedules.thresholds import EventThreshold, check_threshold, event_threshold
from algorithms.state import State


def squarm_theory(spectrum: Spectrum, omega: float) -> float:
    """The gamma for which SQuARM-SGD is proven to converge, arXiv 2005.07041.

    With the spectral gap rho of W, beta = |I - W|_2 and the contraction omega of the compressor,

        gamma = 2 rho omega / (64 rho + rho^2 + 16 beta^2 + 8 rho beta^2 - 16 rho omega).
    """
    rho, beta2 = spectrum.gap, spectrum.laplacian_norm**2
    return 2 * rho * omega / (64 * rho + rho**2 + 16 * beta2 + 8 * rho * beta2 - 16 * rho * omega)


@dataclass
class SquarmState(State):
    """What SQuARM-SGD carries on.

    Attributes:
        replicas: The public copies of the models.
        trigger: Counts who sends.
        gamma: The consensus step size.
        momentum: That of the local steps.
        period: Where it stands in its periods.
    """

    replicas: Replicas
    trigger: Trigger
    gamma: Gamma
    momentum: Momentum
    period: PeriodState


@dataclass(frozen=True)
class SquarmSGD(Algorithm[SquarmState]):
    """SQuARM-SGD: momentum SGD with local steps and event-triggered, compressed gossip.

    Singh, Data, George, Diggavi, "SQuARM-SGD: Communication-Efficient Momentum SGD for Decentralized Optimization",
    IEEE Journal on Selected Areas in Information Theory, 2021, arXiv 2005.07041.

    Every node keeps a public copy h_i of its model that its neighbours know too. In iteration t = 0, 1, ...

        v+ = beta v + g(x);  y = x - lr (g(x) + beta v+);  x+ = y, unless H divides t + 1:

        q = C(y - h) where |y - h|^2 > c_t lr^2, else 0;  h+ = h + q;  x+ = y + gamma (W - I) h+

    The momentum is Nesterov's in the form of torch.optim.SGD; its buffers v are never sent nor reset. Nodes that hear
    nothing take the consensus step all the same. The public copies start at 0 (`algorithms.blocks.replica`), so that
    with c_t > 0 the first trigger compares the models themselves; W is static or repeats with a period, the r-th
    exchange using W_r. With H = 1, beta = 0 and c_t = 0 this is CHOCO-SGD in the order of its paper.

    Sent, every H iterations: one compressed vector to each out-neighbour by nodes that fire, one byte by others; with
    gamma = "auto" also some hundred vectors in the first round, by the search. A run records `share_fired`, the share
    of all triggers so far that fired. The paper compresses tensor by tensor: PerTensor(SignTopK(fraction=0.01)); the
    trigger looks at the whole model. The theory's gamma is that of `squarm_theory`.

        >>> import torch
        >>> from algorithms import MatrixNetwork, Sample, SquarmSGD, TopK
        >>> algorithm = SquarmSGD(lr=0.05, momentum=0.5, period=2, threshold=1.0, gamma=0.5, compressor=TopK(k=1))
        >>> network = MatrixNetwork([[0.5, 0.5], [0.5, 0.5]])
        >>> state = algorithm.start(torch.tensor([[2.0, 0.0], [0.0, 2.0]]), network)
        >>> for _ in range(200):
        ...     algorithm.advance(state, Sample(gradient=state.x - 1.0, loss=torch.zeros(2)), network)
        >>> algorithm.model(state).round(decimals=1).tolist()
        [[1.0, 1.0], [1.0, 1.0]]
        >>> bool((algorithm.report(state)["share_fired"] < 0.2).all())
        True

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        momentum: Nesterov momentum beta of the local steps, in [0, 1).
        period: Iterations H from one exchange to the next, >= 1, or a controller.
        threshold: c_t >= 0, in squared gradients, or a schedule of it; with 0 all nodes fire, with infinity none does.
        gamma: Consensus step size, in (0, 1], smaller for stronger compression; or "auto", the best one of a short
            measured search at the start; or "theory", the one that is guaranteed to work, 100 to 1000 times smaller.
            Where W varies with time it must be a number.
        compressor: The compression operator C, a contraction.
    """

    needs: ClassVar[tuple[str, ...]] = ("doubly_stochastic",)

    lr: float | LearningRate = 0.1
    momentum: float = 0.9
    period: int | AdaComm = 5
    threshold: float | EventThreshold = 0.0
    gamma: float | Literal["theory", "auto"] = "auto"
    compressor: Compressor = field(default_factory=Identity)

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check_momentum(self, self.momentum)
        check_period(self, self.period)
        check_threshold(self, self.threshold)
        check_gamma(self, self.gamma)

    def start(self, x: Tensor, network: Network) -> SquarmState:
        check_contraction(self, self.compressor, x.shape[1])
        replicas = Replicas.start(self, x, network, self.compressor)
        gamma = Gamma.start(self, x, network, squarm_theory)
        momentum = Momentum.start(x, self.momentum, nesterov=True)
        return SquarmState(x.clone(), replicas, Trigger.start(x), gamma, momentum, as_period(self.period).begin(x))

    def step(self, state: SquarmState, sample: Sample, network: Network) -> None:
        period = as_period(self.period)
        lr = period.rate(state.period, learning_rate(self.lr, state.step))
        direction = state.momentum.descend(sample.gradient)
        state.x = add_scaled(state.x, -lr, direction)
        if period.ends(state.period, state.step, sample, lr, network):
            replica, threshold = state.replicas.current(network), event_threshold(self.threshold, state.step)
            fires = partial(state.trigger.fires, threshold=threshold, lr=lr)
            replica.publish(state.x, self.compressor, network, fires=fires)
            replica.hear(network)
            state.x = add_scaled(state.x, state.gamma.value, replica.disagreement())

    def chosen(self, state: SquarmState) -> dict[str, Any]:
        return state.gamma.chosen()

    def report(self, state: SquarmState) -> dict[str, Tensor]:
        return {**as_period(self.period).report(state.period), "share_fired": state.trigger.share()}
