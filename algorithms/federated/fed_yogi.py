"""FedYogi: FedAvg whose server takes steps of Yogi.

Reddi, Charles, Zaheer, Garrett, Rush, Konecny, Kumar, McMahan, "Adaptive Federated Optimization", ICLR 2021,
arXiv 2003.00295; Zaheer, Reddi, Sachan, Kale, Kumar, "Adaptive Methods for Nonconvex Optimization", NeurIPS 2018.

FedAdam with another second moment, which changes by no more than (1 - beta2) D^2 in a round:

    v <- v - (1 - beta2) D^2 sign(v - D^2)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.federated.fed_adam import FedAdam
from algorithms.numerics.sums import add_scaled


@dataclass(frozen=True)
class FedYogi(FedAdam):
    """Federated averaging with Yogi; for its options see `FedAdam`."""

    def next_second(self, second: Tensor, square: Tensor) -> Tensor:
        return add_scaled(second, self.beta2 - 1, square * torch.sign(second - square))
