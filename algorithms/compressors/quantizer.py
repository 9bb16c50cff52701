"""What quantizers share that send a few numbers for each bucket and a symbol for each entry."""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms.checks import check
from algorithms.compressors import quantize, symbols, wire
from algorithms.compressors.buckets import count_of, read_norms
from algorithms.compressors.message import Compressor
from algorithms.compressors.quantize import Rule
from algorithms.compressors.symbols import Coding
from algorithms.randomness import Key


class Quantizer(Compressor):
    """Quantizes vectors by a rule that follows from some numbers of each bucket.

    Payload: these numbers, then the symbols.

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

    def encode(self, x: Tensor, key: Key) -> Tensor:
        bucket = self.bucket or len(x)
        numbers = quantize.in_precision(self.numbers(x, bucket), x, self).view(-1, self.each)
        return self.joined(numbers, quantize.encode(x, self.rule(numbers, bucket), key, self.coding))

    def joined(self, numbers: Tensor, packed: Tensor) -> Tensor:
        """The payload."""
        return torch.cat([wire.as_bytes(numbers.flatten()), packed.to(numbers.device)])

    def decode(self, payload: Tensor, out: Tensor) -> None:
        self._decode(payload, out, None)

    def accumulate(self, payload: Tensor, weight: float, out: Tensor) -> None:
        self._decode(payload, out, weight)

    def _decode(self, payload: Tensor, out: Tensor, weight: float | None) -> None:
        bucket = self.bucket or len(out)
        numbers, packed = read_norms(payload, out, bucket, self.each)
        quantize.decode(packed, self.rule(numbers.view(-1, self.each), bucket), out, weight, self.coding)

    def entropy_bits(self, payload: Tensor, d: int, itemsize: int) -> float:
        size = itemsize * self.each * count_of(d, self.bucket)
        found = quantize.symbols_of(payload[size:], d, self.alphabet, self.coding)
        return 8 * size + symbols.entropy(found, self.alphabet)

    def payload_bytes(self, d: int, itemsize: int) -> int | None:
        if self.coding == "entropy":
            return None
        return itemsize * self.each * count_of(d, self.bucket) + symbols.length(d, self.alphabet)

    def check_bucket(self) -> None:
        """Refuse sizes of buckets that are no sizes."""
        check(self.bucket is None or self.bucket >= 1, self, "bucket", ">= 1")

    def size(self, d: int) -> int:
        """Entries of the largest bucket."""
        return min(d, self.bucket or d)
