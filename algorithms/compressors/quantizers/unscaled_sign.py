"""Signs without a scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.compressors.compressor import Compressor
from algorithms.compressors.quantizers import rounding
from algorithms.compressors.quantizers.rounding import Rule
from algorithms.compressors.wire import symbols
from algorithms.randomness import Key
from algorithms.state import Block


@dataclass(frozen=True)
class Sign(Compressor):
    """C(x) = sign(x), entry by entry, with sign(0) = 1: a vote of each entry, for `SignSGD`.

    Bernstein, Wang, Azizzadenesheli, Anandkumar, "signSGD: Compressed Optimisation for Non-Convex Problems", ICML 2018,
    arXiv 1802.04434.

    The magnitudes are lost, so it is no contraction and biased; methods that need either refuse it, and `ScaledSign` is
    the one for them. d bits.

    Payload: the signs, 1 where negative (`algorithms.compressors.wire.symbols`).

    >>> import torch
    >>> from algorithms.randomness import Draw
    >>> Sign().compress(torch.tensor([[3.0, -5.0, 0.1, 0.0]]), Draw(0, "example", [0], 0)).dense()
    tensor([[ 1., -1.,  1.,  1.]])
    """

    on_device: ClassVar[bool] = True

    def encode(self, x: Tensor, key: Key, memory: Block | None = None) -> Tensor:
        return rounding.encode(x, _rule(x))

    def decode(self, payload: Tensor, out: Tensor) -> None:
        rounding.decode(payload, _rule(out), out)

    def accumulate(self, payload: Tensor, weight: float, out: Tensor) -> None:
        rounding.decode(payload, _rule(out), out, weight)

    def payload_bytes(self, d: int, itemsize: int) -> int:
        return symbols.length(d, 2)

    def paper_bits(self, d: int, itemsize: int) -> float:
        return d

    def entropy_bits(self, payload: Tensor, d: int, itemsize: int) -> float:
        return symbols.entropy(rounding.symbols_of(payload, d, 2), 2)


def _rule(x: Tensor) -> Rule:
    """Plus or minus 1 for all entries of a vector like x (d,)."""
    return Rule.signs(torch.ones(1, dtype=x.dtype, device=x.device), len(x))
