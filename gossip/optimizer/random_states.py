"""Where the global random number generators stand, in the form of what torch saves."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def random_states() -> dict[str, Any]:
    """Those of torch, of all GPUs that are in use, of NumPy and of Python."""
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    version, numbers, normal = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        "numpy": [str(kind), torch.from_numpy(np.array(keys).astype(np.int64)), position, has_gauss, gauss],
        "python": [version, torch.tensor(numbers, dtype=torch.int64), normal],
    }


def set_random_states(states: dict[str, Any]) -> None:
    """Let them go on from there; that of a GPU that is not there is left out."""
    torch.set_rng_state(states["torch"])
    for device, state in enumerate(states["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(state, device)
    kind, keys, position, has_gauss, gauss = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    version, numbers, normal = states["python"]
    random.setstate((version, tuple(numbers.tolist()), normal))
