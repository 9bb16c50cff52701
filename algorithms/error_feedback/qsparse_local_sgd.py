"""Qsparse-local-SGD: local steps, and compressed differences with error feedback."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from algorithms.algorithm import Sample
from algorithms.blocks.error_memory import ErrorMemory
from algorithms.blocks.local_updates import LocalState, LocalUpdates
from algorithms.blocks.server import HasServer, ServerForm
from algorithms.blocks.two_way import average_at_server
from algorithms.checks import check
from algorithms.compressors import Compressor, SignTopK
from algorithms.compressors.theory import check_contraction
from algorithms.network import Network
from algorithms.optimizers import LocalOptimizer
from algorithms.schedules.learning_rate import LearningRate


@dataclass
class QsparseState(LocalState):
    """What Qsparse-local-SGD carries on; `x` are the local parameters.

    Attributes:
        common: (k, d), the parameters that all nodes had after the last exchange, in equal rows.
        error: What compression has lost of each node's differences.
    """

    common: Tensor
    error: ErrorMemory


@dataclass(frozen=True)
class QsparseLocalSGD(HasServer, LocalUpdates[QsparseState]):
    """Qsparse-local-SGD, the synchronous one: local SGD with compressed differences and error feedback.

    Basu, Data, Karakus, Diggavi, "Qsparse-local-SGD: Distributed SGD with Quantization, Sparsification, and Local
    Computations", NeurIPS 2019, arXiv 1906.02367. Its operators are `QTopK` and `SignTopK`.

    With common parameters x and the errors e_i of the m nodes, 0 at the start:

        every iteration    x_i <- x_i - lr v_i(x_i),   v_i the gradient, or by another local optimizer
        every tau-th       p_i = x - x_i + e_i;   c_i = C(p_i) goes up;   e_i <- p_i - c_i
                           x <- x - (1/m) sum_i c_i, which goes down;   x_i <- x

    So the mean of x_i - e_i moves as the mean of local SGD would with these gradients. With tau = 1 it is EF-SGD.

    Sent: every tau-th iteration a message up by each node and a dense vector down to each; at the start a dense vector
    each way, so that all start from the mean. With server = "replicated" each node's message goes to all others; where
    the operator is linear and remembers nothing, as `RandomBlock`, an average in its domain
    (`algorithms.blocks.averages.compressed_mean`). What is evaluated and returned is each node's x_i. Momentum is not
    averaged. W is not used.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        period: Iterations from one exchange to the next, tau >= 1.
        compressor: The compression operator C, a contraction.
        momentum: Momentum of the local direction, in [0, 1).
        nesterov: Use Nesterov's variant; needs momentum > 0.
        optimizer: The local update rule, instead of SGD with this momentum.
        server: Whether the server is a "node" of its own, after the others, or "replicated" at all of them.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    lr: float | LearningRate = 0.1
    period: int = 8
    compressor: Compressor = field(default_factory=lambda: SignTopK(fraction=0.01))
    momentum: float = 0.0
    nesterov: bool = False
    optimizer: LocalOptimizer | None = None
    server: ServerForm = field(default="node", kw_only=True)

    def __post_init__(self) -> None:
        self.check_updates()
        check(isinstance(self.period, int), self, "period", "an integer")
        self.check_server()

    def start(self, x: Tensor, network: Network) -> QsparseState:
        check_contraction(self, self.compressor, x.shape[1])
        common = average_at_server(x, network, self.server)
        return QsparseState(common.clone(), *self.start_updates(x), common, ErrorMemory.start(x, self.compressor))

    def step(self, state: QsparseState, sample: Sample, network: Network) -> None:
        state.x = self.updated(state, sample, network)
        if self.ends_period(state, sample, network):
            state.common = state.common - self._average(state, network)
            state.x = state.common.clone()

    def _average(self, state: QsparseState, network: Network) -> Tensor:
        """(k, d), in equal rows: (1/m) sum_i c_i; what the nodes lose is kept."""
        difference, draw = state.common - state.x, network.draw("compression")
        # An operator that remembers makes something else of vectors that it compresses one by one.
        if self.server == "replicated" and state.error.remembered is None:
            return state.error.average(difference, self.compressor, network, draw).repeat(len(difference), 1)
        return average_at_server(state.error.compress(difference, self.compressor, draw), network, self.server)
