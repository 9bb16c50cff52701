"""Numbers of all nodes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.network import Network


def losses_of_all(losses: Tensor, network: Network) -> NDArray[np.float64]:
    """(n,) of the losses (k,) of the local nodes, on every rank, in their precision; infinity in place of NaN.

    Sent: n numbers up and down a binary tree over the nodes.
    """
    diagonal = torch.zeros(len(losses), network.n, dtype=losses.dtype, device=losses.device)
    for row, node in enumerate(network.nodes):
        diagonal[row, node] = losses[row].nan_to_num(nan=np.inf, posinf=np.inf)
    return network.sum(diagonal).cpu().numpy().astype(np.float64)
