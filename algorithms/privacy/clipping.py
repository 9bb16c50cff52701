"""Clipping to a norm, which bounds how much one unit's data can change a sum."""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms.numerics.sums import squared_norms


def clip_factors(norms: Tensor, clip: float) -> Tensor:
    """min(1, clip / norm) of each norm, 1 where it is 0; flat clipping (Abadi et al. 2016, 1607.00133)."""
    return torch.where(norms > clip, clip / norms, torch.ones_like(norms))


def clipped(rows: Tensor, clip: float) -> Tensor:
    """The rows (k, d), each scaled down to a norm of at most `clip`; in float32 up to rounding."""
    return rows * clip_factors(squared_norms(rows).sqrt(), clip).to(rows)[:, None]
