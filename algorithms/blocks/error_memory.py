"""Error feedback: what compression has lost is added to what is compressed next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from algorithms.blocks.averages import compressed_mean_and_own
from algorithms.compressors import Compressor, Message
from algorithms.network import Network
from algorithms.randomness import Draw
from algorithms.state import Block


@dataclass
class ErrorMemory(Block):
    """What compression has lost so far at each local node, e below; 0 at the start.

    Seide, Fu, Droppo, Li, Yu, "1-bit Stochastic Gradient Descent", Interspeech 2014; Stich, Cordonnier, Jaggi,
    "Sparsified SGD with Memory", NeurIPS 2018, arXiv 1809.07599. With v what a node wants to send:

        p = v + e;  sent: C(p);  e+ = p - C(p)

    What has been sent so far plus e is always the sum of all v. Whether v has the learning rate in it, and so e the
    units of the model, is up to the algorithm.

    Attributes:
        lost: (k, d), the errors e.
        remembered: What the compressor remembers of the vectors p; None if it does not.
    """

    lost: Tensor
    remembered: Block | None = None

    @classmethod
    def start(cls, x: Tensor, compressor: Compressor) -> Self:
        """Nothing lost so far, of vectors like those in the stack x (k, d), for messages of this operator."""
        return cls(torch.zeros_like(x), compressor.start_like(x))

    def compress(self, value: Tensor, compressor: Compressor, draw: Draw, *, sent: Tensor | None = None) -> Message:
        """The message of a stack v (k, d) plus what was lost before; what is lost now is kept.

        Args:
            value: v.
            compressor: The operator C.
            draw: Its random streams.
            sent: (k,) bool, the rows that are sent, all by default; what others have is kept.
        """
        corrected = value + self.lost
        message = compressor.compress(corrected, draw, self.remembered, sent=sent)
        self.lost = corrected - message.dense()
        return message

    def average(self, value: Tensor, compressor: Compressor, network: Network, draw: Draw) -> Tensor:
        """(1/n) sum_i C(v_i + e_i), (d,), the same on every rank; what each node has lost now is kept.

        Args:
            value: v, (k, d).
            compressor: The operator C, see `algorithms.blocks.averages.compressed_mean`.
            network: Averages.
            draw: The operator's random streams.
        """
        corrected = value + self.lost
        mean, own = compressed_mean_and_own(corrected, compressor, network, draw, self.remembered)
        self.lost = corrected - own
        return mean
