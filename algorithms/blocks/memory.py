"""Error feedback: what compression has lost is added to what is compressed next.

Seide, Fu, Droppo, Li, Yu, "1-bit Stochastic Gradient Descent", Interspeech 2014; Stich, Cordonnier, Jaggi, "Sparsified
SGD with Memory", NeurIPS 2018, arXiv 1809.07599.

With e the memory and v what a node wants to send:

    p = v + e;  sent: C(p);  e+ = p - C(p)

What has been sent so far plus e is always the sum of all v. Whether v has the learning rate in it, and so e the units
of the model, is up to the algorithm.
"""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms.compressors import Compressor, Message
from algorithms.randomness import Draw
from algorithms.state import State


def start_memory(state: State) -> None:
    """Add the memory, (k, d), of nothing lost so far."""
    state.memory = torch.zeros_like(state.x)


def compress_with_memory(state: State, value: Tensor, compressor: Compressor, draw: Draw) -> Message:
    """Compress a stack (k, d) plus what was lost before, and keep what is lost now."""
    corrected = value + state.memory
    message = compressor.compress(corrected, draw)
    state.memory = corrected - message.dense()
    return message
