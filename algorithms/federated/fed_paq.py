"""FedPAQ: FedAvg whose clients send quantised updates."""

from __future__ import annotations

from dataclasses import dataclass, field

from algorithms.checks import check
from algorithms.compressors import QSGD, Compressor
from algorithms.federated.federated import Federated, FederatedState


@dataclass(frozen=True)
class FedPAQ(Federated[FederatedState]):
    """Federated averaging with periodic averaging and quantisation; for rounds and the options see `Federated`.

        w <- w + server_lr sum_k p_k Q(u_k - w)        u_k: client k's parameters after `local_steps` iterations from w

    Q is unbiased, so nothing of what it loses is kept: error_feedback is False, and the noise of Q stays as large as
    the steps of a round are. With a Q that changes nothing it is `FedAvg`.

    Reisizadeh, Mokhtari, Hassani, Jadbabaie, Pedarsani, "FedPAQ: A Communication-Efficient Federated Learning Method
    with Periodic Averaging and Quantization", AISTATS 2020, arXiv 1909.13014, Algorithm 1, whose server_lr is 1.
    """

    compressor: Compressor | None = field(default_factory=QSGD, kw_only=True)
    error_feedback: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        check(self.compressor is not None, self, "compressor", "an operator, as QSGD; FedAvg sends vectors")
        super().__post_init__()
