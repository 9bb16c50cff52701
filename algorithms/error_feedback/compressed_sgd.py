"""Data-parallel SGD with compressed gradients, without error feedback."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.averages import compressed_mean
from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.compressors import QSGD, Compressor
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.proximal import Proximal, check_prox, proximal_step
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import Block, State


@dataclass
class CompressedSGDState(State):
    """What compressed SGD carries on; all rows of `x` are equal.

    Attributes:
        momentum: Of the averages, with equal rows.
        remembered: What the compressor remembers of the gradients; None if it does not.
    """

    past: ClassVar[tuple[str, ...]] = ("momentum",)

    momentum: Momentum
    remembered: Block | None


@dataclass(frozen=True)
class CompressedSGD(Algorithm[CompressedSGDState]):
    """Parallel SGD whose gradients are compressed, as in QSGD and TernGrad: DCGD.

    Alistarh, Grubic, Li, Tomioka, Vojnovic, "QSGD: Communication-Efficient SGD via Gradient Quantization and Encoding",
    NeurIPS 2017, arXiv 1610.02132; Wen, Xu, Yan, Wu, Wang, Chen, Li, "TernGrad: Ternary Gradients to Reduce
    Communication in Distributed Deep Learning", NeurIPS 2017, arXiv 1705.07878.

        x <- x - lr (1/n) sum_i C(g_i(x))

    With momentum, that is of the averages. Without bias the noise of compression vanishes with the learning rate, but
    not at a fixed one, as the nodes' gradients do not vanish at the optimum: `Diana` mends that. With a biased C this
    can diverge: `ErrorFeedbackSGD` mends that.

    Sent: each node's message to all others; where the operator is linear an average in its domain
    (`algorithms.blocks.averages.compressed_mean`). All nodes start from the mean of their parameters. W is not used.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        compressor: The compression operator C.
        momentum: Momentum of the averaged gradient, in [0, 1).
        nesterov: Use Nesterov's variant; needs momentum > 0.
        prox: A regularizer to be minimised along with the losses.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    lr: float | LearningRate = 0.1
    compressor: Compressor = field(default_factory=lambda: QSGD(levels=4))
    momentum: float = 0.0
    nesterov: bool = False
    prox: Proximal | None = None

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check_momentum(self, self.momentum, self.nesterov)
        check_prox(self, self.prox)

    def start(self, x: Tensor, network: Network) -> CompressedSGDState:
        self.compressor.check_dimension(x.shape[1])
        momentum = Momentum.start(x, self.momentum, self.nesterov)
        return CompressedSGDState(network.mean(x).repeat(len(x), 1), momentum, self.compressor.start_like(x))

    def step(self, state: CompressedSGDState, sample: Sample, network: Network) -> None:
        lr, draw = learning_rate(self.lr, state.step), network.draw("compression")
        mean = compressed_mean(sample.gradient, self.compressor, network, draw, state.remembered)
        direction = state.momentum.descend(mean.expand_as(state.x).contiguous())
        state.x = proximal_step(self.prox, add_scaled(state.x, -lr, direction), lr)
