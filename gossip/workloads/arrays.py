"""Arrays of float64, which the workloads that compute without torch share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
ignoring_overflow = np.errstate(over="ignore", invalid="ignore")
"""Decorates what may overflow where a run diverges, which is the driver's to notice."""


def as_array(values: object) -> Array:
    """A float64 array of its own, from a NumPy array, a tensor, or nested lists."""
    return np.array(values.detach().cpu().numpy() if isinstance(values, Tensor) else values, dtype=np.float64)
