"""SQuARM-SGD: momentum SGD with local steps and event-triggered, compressed gossip.

Singh, Data, George, Diggavi, "SQuARM-SGD: Communication-Efficient Momentum SGD for Decentralized Optimization", IEEE
Journal on Selected Areas in Information Theory, 2021, arXiv 2005.07041.

Every node keeps a public copy h_i of its model that its neighbours know too. In iteration t = 0, 1, ...

    v+ = beta v + g(x);  y = x - lr (g(x) + beta v+);  x+ = y, unless H divides t + 1:

    q = C(y - h) where |y - h|^2 > c_t lr^2, else 0;  h+ = h + q;  x+ = y + gamma (W - I) h+

The momentum is Nesterov's in the form of torch.optim.SGD; its buffers v are never sent nor reset. Nodes that hear
nothing take the consensus step all the same. The public copies start at 0 (`algorithms.blocks.replica`), so that
with c_t > 0 the first trigger compares the models themselves; W is static or repeats with a period, the r-th exchange
using W_r. With H = 1, beta = 0 and c_t = 0 this is CHOCO-SGD in the order of its paper.

Sent, every H iterations: one compressed vector to each out-neighbour by nodes that fire, one byte by others. A run
records `share_fired`, the share of all triggers so far that fired. The paper compresses tensor by tensor:
PerTensor(SignTopK(fraction=0.01)); the trigger looks at the whole model.

With the spectral gap rho of W, beta = |I - W|_2 and the contraction omega of C, the theory's

    gamma = 2 rho omega / (64 rho + rho^2 + 16 beta^2 + 8 rho beta^2 - 16 rho omega)

is a guarantee, 100 to 1000 times below what works: try "auto", or tune it between omega and 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.adacomm import AdaComm
from algorithms.blocks.gamma import check_gamma, chosen_gamma, start_gamma
from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.blocks.period import as_period, check_period
from algorithms.blocks.replica import consensus_step, hear, publish, start_replicas
from algorithms.blocks.trigger import EventThreshold, check_threshold, fires, share_fired, start_trigger
from algorithms.compressors import Compressor, Identity
from algorithms.compressors.theory import check_contraction
from algorithms.network import Network, Spectrum
from algorithms.numerics.sums import add_scaled
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import LooseState, State


def squarm_theory(spectrum: Spectrum, omega: float) -> float:
    """The gamma above."""
    rho, beta2 = spectrum.gap, spectrum.laplacian_norm**2
    return 2 * rho * omega / (64 * rho + rho**2 + 16 * beta2 + 8 * rho * beta2 - 16 * rho * omega)


@dataclass(frozen=True)
class SquarmSGD(Algorithm):
    """SQuARM-SGD.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        momentum: Nesterov momentum beta of the local steps, in [0, 1).
        period: Iterations H from one exchange to the next, >= 1, or a controller.
        threshold: c_t >= 0, in squared gradients, or a schedule of it; with 0 all nodes fire, with infinity none does.
        gamma: Consensus step size, in (0, 1], smaller for stronger compression; "theory" for the one that is guaranteed
            to work, "auto" for the best one of a short measured search.
        compressor: The compression operator C.
    """

    needs: ClassVar[tuple[str, ...]] = ("doubly_stochastic",)

    lr: float | LearningRate = 0.1
    momentum: float = 0.9
    period: int | AdaComm = 5
    threshold: float | EventThreshold = 0.0
    gamma: float | Literal["theory", "auto"] = "theory"
    compressor: Compressor = field(default_factory=Identity)

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check_momentum(self, self.momentum)
        check_period(self, self.period)
        check_threshold(self, self.threshold)
        check_gamma(self, self.gamma)

    def start(self, x: Tensor, network: Network) -> State:
        check_contraction(self, self.compressor, x.shape[1])
        state = LooseState(x=x.clone(), step=0)
        state.momentum = Momentum.start(x, self.momentum, nesterov=True)
        state.period = as_period(self.period).begin(x)
        start_trigger(state)
        start_replicas(self, state, network)
        start_gamma(self, state, self.gamma, self.compressor, network, squarm_theory)
        return state

    def step(self, state: State, sample: Sample, network: Network) -> None:
        period = as_period(self.period)
        lr = period.rate(state.period, learning_rate(self.lr, state.step))
        direction = state.momentum.descend(sample.gradient)
        state.x = add_scaled(state.x, -lr, direction)
        if period.ends(state.period, state.step, sample, lr, network):
            publish(state, state.x, self.compressor, network, lambda moved: fires(state, moved, self.threshold, lr))
            hear(state, network)
            state.x = state.x + consensus_step(state, network)

    def chosen(self, state: State) -> dict[str, Any]:
        return chosen_gamma(state)

    def report(self, state: State) -> dict[str, Tensor]:
        return {**as_period(self.period).report(state.period), "share_fired": share_fired(state)}
