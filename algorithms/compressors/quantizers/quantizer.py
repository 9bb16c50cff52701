"""What quantizers share that send a few numbers for each bucket and a symbol for each entry."""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor

from algorithms.checks import check
from algorithms.compressors.compressor import Compressor
from algorithms.compressors.quantizers import rounding
from algorithms.compressors.quantizers.buckets import count_of
from algorithms.compressors.quantizers.rounding import Rule
from algorithms.compressors.wire import frames, symbols
from algorithms.compressors.wire.entropy_coding import LARGEST_BASE
from algorithms.compressors.wire.symbols import Coding
from algorithms.randomness import Key
from algorithms.state import Block


class Quantizer(Compressor):
    """Quantizes vectors by a rule that follows from some numbers of each bucket.

    Payload: the symbols (`algorithms.compressors.wire.symbols`), then these numbers.

    Attributes:
        each: How many numbers of a bucket travel.
    """

    bucket: int | None
    coding: Coding = "digits"

    def numbers(self, x: Tensor, bucket: int) -> Tensor:
        """(buckets,) or (buckets, each): what the receiver must know of the buckets of x (d,)."""
        raise NotImplementedError

    def rule(self, numbers: Tensor, bucket: int) -> Rule:
        """How entries become symbols and back, given these numbers (buckets, each)."""
        raise NotImplementedError

    @property
    def each(self) -> int:
        return 1

    @property
    def alphabet(self) -> int:
        """Number of symbols."""
        raise NotImplementedError

    def encode(self, x: Tensor, key: Key, memory: Block | None = None) -> Tensor:
        bucket = self.bucket or len(x)
        numbers = rounding.in_precision(self.numbers(x, bucket), x, self).view(-1, self.each)
        return self.joined(numbers, rounding.encode(x, self.rule(numbers, bucket), key, self.coding))

    def joined(self, numbers: Tensor, packed: Tensor) -> Tensor:
        """The payload: what is packed in words comes first, so that it begins where a word may."""
        return torch.cat([packed.to(numbers.device), frames.as_bytes(numbers.flatten())])

    def decode(self, payload: Tensor, out: Tensor) -> None:
        self._decode(payload, out, None)

    def accumulate(self, payload: Tensor, weight: float, out: Tensor) -> None:
        self._decode(payload, out, weight)

    def _decode(self, payload: Tensor, out: Tensor, weight: float | None) -> None:
        bucket = self.bucket or len(out)
        packed, numbers = self._split(payload, len(out), out.itemsize)
        found = frames.finite(frames.from_bytes(numbers, out.dtype)).to(out.device).view(-1, self.each)
        rounding.decode(packed, self.rule(found, bucket), out, weight, self.coding)

    def entropy_bits(self, payload: Tensor, d: int, itemsize: int) -> float:
        packed, numbers = self._split(payload, d, itemsize)
        found = rounding.symbols_of(packed, d, self.alphabet, self.coding)
        return 8 * len(numbers) + symbols.entropy(found, self.alphabet)

    def payload_bytes(self, d: int, itemsize: int) -> int | None:
        if self.coding == "entropy":
            return None
        return symbols.length(d, self.alphabet) + self._numbers_bytes(d, itemsize)

    def _split(self, payload: Tensor, d: int, itemsize: int) -> tuple[Tensor, Tensor]:
        """(the symbols, the numbers) of a payload."""
        size = self._numbers_bytes(d, itemsize)
        if len(payload) < size:
            raise ValueError(
                f"a payload of {len(payload)} bytes, of which the numbers of the buckets alone take {size}"
            )
        return payload[: len(payload) - size], payload[len(payload) - size :]

    def _numbers_bytes(self, d: int, itemsize: int) -> int:
        return itemsize * self.each * count_of(d, self.bucket)

    def check_bucket(self) -> None:
        """Refuse sizes of buckets that are no sizes."""
        check(self.bucket is None or self.bucket >= 1, self, "bucket", ">= 1")

    def check_coding(self) -> None:
        """Refuse a coding that is unknown or does not suit so many symbols."""
        check(self.coding in get_args(Coding), self, "coding", f"one of {', '.join(get_args(Coding))}")
        few = self.coding == "digits" or self.alphabet <= LARGEST_BASE
        check(few, self, "coding", f"digits for {self.alphabet} symbols")

    def size(self, d: int) -> int:
        """Entries of the largest bucket."""
        return min(d, self.bucket or d)
