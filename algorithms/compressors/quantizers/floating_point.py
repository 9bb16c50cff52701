"""Numbers in less precision."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from algorithms.checks import NonFiniteError, check
from algorithms.compressors.compressor import Compressor
from algorithms.compressors.quantizers import rounding
from algorithms.compressors.wire import frames
from algorithms.numerics.norms import largest_magnitudes
from algorithms.randomness import Key
from algorithms.state import Block

FORMATS = {
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float8_e4m3fn": torch.float8_e4m3fn,
    "float8_e5m2": torch.float8_e5m2,
}
HIGHEST = 15  # log2 of what the largest magnitude is brought below, less in formats that end before


@dataclass(frozen=True)
class Float(Compressor):
    """C(x) = 2^e times x / 2^e in a format of fewer bits, rounded to the nearest, ties to even.

    Kalamkar et al., "A Study of BFLOAT16 for Deep Learning Training", arXiv 1905.12322; Micikevicius et al., "FP8
    Formats for Deep Learning", arXiv 2209.05433.

    One e for the vector brings its largest magnitude M to [2^14, 2^15), or [2^7, 2^8) in float8_e4m3fn, so that neither
    large nor small vectors leave the range.

    With u half the distance from 1 to the next number, and t half the smallest number divided by 2^14 (2^7), an entry
    that is a normal number of the format is wrong by at most u times itself, any other by at most t M, and M is normal:
    a contraction with alpha = 1 - u^2 - (d - 1) t^2; biased. d times the bits of the format, and 16.

        format         u      t
        bfloat16       2^-8   2^-148
        float16        2^-11  2^-39
        float8_e4m3fn  2^-4   2^-17
        float8_e5m2    2^-3   2^-31

    Payload: -e as a 16-bit integer, then the numbers.

    Args:
        format: "bfloat16", "float16", "float8_e4m3fn" or "float8_e5m2".

    Raises:
        NonFiniteError: for entries that are rounded to infinity.
    """

    on_device: ClassVar[bool] = True
    checks: ClassVar[bool] = True

    format: Literal["bfloat16", "float16", "float8_e4m3fn", "float8_e5m2"] = "bfloat16"

    def __post_init__(self) -> None:
        check(self.format in FORMATS, self, "format", f"one of {', '.join(FORMATS)}")

    def encode(self, x: Tensor, key: Key, memory: Block | None = None) -> Tensor:
        largest = rounding.in_precision(largest_magnitudes(x, len(x)), x, self)
        shift = self._highest - int(torch.frexp(largest).exponent)
        first, second = _factors(shift, x.dtype)
        if not self._back((largest * first * second).to(self._dtype), shift, x.dtype).isfinite():
            raise NonFiniteError("Float: the vector to compress holds a number that is rounded beyond its precision")
        numbers = (x * first * second).to(self._dtype)
        return torch.cat(
            [frames.as_bytes(torch.tensor([shift], dtype=torch.int16)).to(x.device), frames.as_bytes(numbers)]
        )

    def decode(self, payload: Tensor, out: Tensor) -> None:
        self.check_length(payload, 2 + len(out) * self._dtype.itemsize)
        shift = int(frames.from_bytes(payload[:2], torch.int16))
        least, most = _shifts(out.dtype, self._highest)
        if not least <= shift <= most:
            raise ValueError(f"a payload with the exponent {shift}, which must be from {least} to {most}")
        numbers = frames.from_bytes(payload[2:].to(out.device), self._dtype)
        out[:] = self._back(numbers, shift, out.dtype)
        frames.finite(out)

    def _back(self, numbers: Tensor, shift: int, dtype: torch.dtype) -> Tensor:
        first, second = _factors(-shift, dtype)
        return numbers.to(dtype) * second * first

    def alpha(self, d: int) -> float:
        info = torch.finfo(self._dtype)
        lost = info.smallest_normal * info.eps / 2 / 2 ** (self._highest - 1)
        return max(0.0, 1 - (info.eps / 2) ** 2 - (d - 1) * lost**2)

    def paper_bits(self, d: int, itemsize: int) -> float:
        return 16 + 8 * self._dtype.itemsize * d

    @property
    def _dtype(self) -> torch.dtype:
        return FORMATS[self.format]

    @property
    def _highest(self) -> int:
        return min(HIGHEST, math.floor(math.log2(torch.finfo(self._dtype).max)))


def _shifts(dtype: torch.dtype, highest: int) -> tuple[int, int]:
    """The least and the largest exponent that brings some number of this type to the highest one of a format."""
    info = torch.finfo(dtype)
    smallest = math.frexp(info.smallest_normal * info.eps)[1]  # the exponent of the least denormal number
    return highest - math.frexp(info.max)[1], highest - min(smallest, 0)


def _factors(shift: int, dtype: torch.dtype) -> tuple[float, float]:
    """Two powers of two, normal numbers, whose product is 2^shift."""
    most = 126 if dtype == torch.float32 else 1022
    first = max(-most, min(most, shift))
    return 2.0**first, 2.0 ** (shift - first)
