"""What methods share that compress on the way to a server and on the way back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

from torch import Tensor

from algorithms.algorithm import Algorithm
from algorithms.blocks.server import HasServer, ServerForm
from algorithms.blocks.two_way import TwoWay, average_at_server
from algorithms.compressors import Compressor, ScaledSign
from algorithms.compressors.theory import check_contraction
from algorithms.network import Network
from algorithms.schedules.learning_rate import LearningRate, check_learning_rate
from algorithms.state import State


@dataclass
class TwoWayState(State):
    """The state of such a method.

    Attributes:
        exchange: The errors of the nodes and of the server.
    """

    exchange: TwoWay


S = TypeVar("S", bound=TwoWayState)


@dataclass(frozen=True)
class TwoWayMethod(HasServer, Algorithm[S]):
    """A method whose nodes send compressed vectors to a server, which answers with a compressed average.

    All nodes start from the mean of their parameters, which is sent up and down uncompressed. W is not used. With
    server = "replicated" each node's message goes to all others instead, and each of them does what the server would:
    the models are the same bits.

    Args:
        lr: Learning rate, > 0, or a schedule of it.
        compressor: The compression operator C of the nodes, a contraction.
        server_compressor: That of the server; the same by default.
        server: Whether the server is a "node" of its own, after the others, or "replicated" at all of them.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    lr: float | LearningRate = 0.1
    compressor: Compressor = field(default_factory=ScaledSign)
    server_compressor: Compressor | None = None
    server: ServerForm = field(default="node", kw_only=True)

    def __post_init__(self) -> None:
        check_learning_rate(self, self.lr)
        self.check_server()

    @property
    def operators(self) -> tuple[Compressor, Compressor]:
        """C and the server's."""
        return self.compressor, self.server_compressor or self.compressor

    def start_exchange(self, x: Tensor, network: Network) -> tuple[Tensor, TwoWay]:
        """(the mean of what the nodes start from, (k, d) in equal rows; no errors so far)."""
        for operator in self.operators:
            check_contraction(self, operator, x.shape[1])
        return average_at_server(x, network, self.server), TwoWay.start(x, *self.operators, self.server)
