"""SGD with error feedback: what compression has lost is sent later."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from torch import Tensor

from algorithms.algorithm import Algorithm, Sample
from algorithms.blocks.error_memory import ErrorMemory
from algorithms.blocks.momentum import Momentum, check_momentum
from algorithms.checks import check
from algorithms.compressors import Compressor, ScaledSign
from algorithms.compressors.theory import check_contraction
from algorithms.network import Network
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate, learning_rate
from algorithms.state import State


@dataclass
class ErrorFeedbackState(State):
    """What error feedback carries on; all rows of `x` are equal.

    Attributes:
        error: What compression has lost of each node's updates, in the units of the model.
        momentum: Of each node's gradients, or of the averages with equal rows.
    """

    past: ClassVar[tuple[str, ...]] = ("momentum",)

    error: ErrorMemory
    momentum: Momentum


@dataclass(frozen=True)
class ErrorFeedbackSGD(Algorithm[ErrorFeedbackState]):
    """EF-SGD and EF-signSGD: parallel SGD with compressed updates and error feedback, learning rate in the memory.

    Stich, Cordonnier, Jaggi, "Sparsified SGD with Memory", NeurIPS 2018, arXiv 1809.07599; Karimireddy, Rebjock, Stich,
    Jaggi, "Error Feedback Fixes SignSGD and other Gradient Compression Schemes", ICML 2019, arXiv 1901.09847; with many
    nodes Beznosikov, Horváth, Richtárik, Safaryan, "On Biased Compression for Distributed Learning", arXiv 2002.12410.

    With the error e_i, 0 at the start:

        p_i = lr g_i(x) + e_i;   c_i = C(p_i);   e_i <- p_i - c_i;   x <- x - (1/n) sum_i c_i

    So x - (1/n) sum_i e_i moves as SGD would with these gradients. With momentum v, 0 at the start, acting on the
    "gradient" it is v_i <- momentum v_i + g_i that takes the place of g_i, as in the code of EF-signSGD; acting on the
    "average", as in PowerSGD, v <- momentum v + (1/n) sum_i c_i is what x moves by.

    Sent: each node's message to all others; where the operator is linear an average in its domain
    (`algorithms.blocks.averages.compressed_mean`). With `PowerSGD` these are the averages of its two factors, and what
    a node has lost is the difference to the common result, as in its paper. All nodes start from the mean of their
    parameters. W is not used.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        compressor: The compression operator C, a contraction.
        momentum: The momentum, in [0, 1).
        nesterov: Use Nesterov's variant; needs momentum > 0.
        momentum_of: What has momentum: each node's "gradient", before compression, or the "average", after it.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    lr: float | LearningRate = 0.1
    compressor: Compressor = field(default_factory=ScaledSign)
    momentum: float = 0.0
    nesterov: bool = False
    momentum_of: Literal["gradient", "average"] = "gradient"

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        check_momentum(self, self.momentum, self.nesterov)
        check(self.momentum_of in ("gradient", "average"), self, "momentum_of", '"gradient" or "average"')

    def start(self, x: Tensor, network: Network) -> ErrorFeedbackState:
        check_contraction(self, self.compressor, x.shape[1])
        momentum = Momentum.start(x, self.momentum, self.nesterov)
        return ErrorFeedbackState(network.mean(x).repeat(len(x), 1), ErrorMemory.start(x, self.compressor), momentum)

    def step(self, state: ErrorFeedbackState, sample: Sample, network: Network) -> None:
        before = self.momentum_of == "gradient"
        direction = state.momentum.descend(sample.gradient) if before else sample.gradient
        update = learning_rate(self.lr, state.step) * direction
        mean = state.error.average(update, self.compressor, network, network.draw("compression"))
        moved = mean.expand_as(state.x).contiguous()
        state.x = state.x - (moved if before else state.momentum.descend(moved))
