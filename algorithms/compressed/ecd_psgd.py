"""ECD-PSGD: extrapolation compression."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.replica import exchange
from algorithms.compressors import Compressor, Identity
from algorithms.compressors.theory import check_unbiased
from algorithms.network import Network
from algorithms.numerics.sums import add_scaled
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import Block, State


@dataclass
class EcdState(State):
    """What ECD-PSGD carries on.

    Attributes:
        mixed: (k, d), sum_j w_ij h_j of the public copies h. Of h itself no step makes use.
        remembered: What the compressor remembers.
    """

    mixed: Tensor
    remembered: Block | None


@dataclass(frozen=True)
class EcdPSGD(Algorithm[EcdState]):
    """ECD-PSGD: extrapolation compression.

    Tang, Gan, Zhang, Zhang, Liu, "Communication Compression for Decentralized Training", NeurIPS 2018, arXiv
    1803.06443.

    With an unbiased operator Q and public copies h_i, which are x_i at the start, in iteration t = 1, 2, ...:

        y_i = sum_j w_ij h_j - lr g_i(x_i)
        q_i = Q((1 - t/2) x_i + (t/2) y_i)
        h_i <- (1 - 2/t) h_i + (2/t) q_i;    x_i <- y_i

    The errors of h_i then decay like 1/t, for an operator whose variance is bounded. A node keeps s_i = sum_j w_ij h_j
    by taking up sum_j w_ij q_j in the same way, so W must be the same in all rounds. Without compression h_i = x_i and
    this is D-PSGD, the consensus order.

    Sent: one compressed vector to each out-neighbour, per round, and at the start the uncompressed model, of which the
    paper assumes that it is the same everywhere.

    What is compressed grows like t: for operators whose variance is relative to it, as for most, h_i stays noisy.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        compressor: The compression operator Q, unbiased.
    """

    needs: ClassVar[tuple[str, ...]] = ("static", "doubly_stochastic")

    lr: float | LearningRate = 0.1
    compressor: Compressor = field(default_factory=Identity)

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)

    def start(self, x: Tensor, network: Network) -> EcdState:
        check_unbiased(self, self.compressor, x.shape[1])
        x, mixed = exchange(x, Identity(), network)
        return EcdState(x.clone(), mixed, self.compressor.start_like(x))

    def step(self, state: EcdState, sample: Sample, network: Network) -> None:
        t = state.step + 1
        y = add_scaled(state.mixed, -learning_rate(self.lr, state.step), sample.gradient)
        _, mixed_q = exchange((1 - t / 2) * state.x + (t / 2) * y, self.compressor, network, memory=state.remembered)
        state.mixed = (1 - 2 / t) * state.mixed + (2 / t) * mixed_q
        state.x = y
