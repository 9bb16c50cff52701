"""Natural compression: powers of two.

Horváth, Ho, Horváth, Sahu, Canini, Richtárik, "Natural Compression for Distributed Deep Learning", MSML 2022,
arXiv 1905.10988.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from algorithms.checks import NonFiniteError
from algorithms.compressors import quantize, symbols
from algorithms.compressors.message import Compressor
from algorithms.randomness import Key


class _Format(NamedTuple):
    """What rounding needs to know of a precision."""

    mantissa: int  # bits
    digit: int  # bits of sign and exponent above the lowest byte
    shift: int  # log2 of what small vectors are multiplied by
    largest: int  # the largest power of two,
    small: int  # and the one below which all entries of a small vector are, both as integers

    @property
    def per_word(self) -> int:
        return symbols.WORD // self.digit


def _format(dtype: torch.dtype) -> _Format:
    if dtype == torch.float32:
        return _Format(23, 1, 96, 254 << 23, 64 << 23)
    return _Format(52, 4, 600, 2046 << 52, 512 << 52)


@dataclass(frozen=True)
class NaturalCompression(Compressor):
    """C(x)_i = sign(x_i) 2^a with probability (2^(a+1) - |x_i|) / 2^a, else sign(x_i) 2^(a+1), for 2^a <= |x_i| <
    2^(a+1); C(x)_i = x_i for zero.

    Unbiased, omega = 1/8, attained at |x_i| = 4/3 2^a. Powers of two stay. 9 bits an entry in single precision, 12 in
    double: sign and exponent.

    Denormal numbers: a vector whose entries are all below 2^-63 (2^-511 in double precision) is multiplied by 2^96
    (2^600) before and divided by it after, which makes all its entries normal numbers. In other vectors those below
    2^-126 (2^-1022) become 0 or that number, unbiased, which adds less than d 2^-128 |x|^2 to the variance.

    Payload: the digits above the lowest bytes of sign and exponent, as bits of words (`algorithms.compressors.symbols`;
    one bit, the sign, in single precision, and four in double), these bytes, and a byte that is 1 if they are of a
    multiplied vector, else 0.

    Raises:
        NonFiniteError: for entries beyond the largest power of two, which might be rounded to infinity.
    """

    random: ClassVar[bool] = True
    on_device: ClassVar[bool] = True
    checks: ClassVar[bool] = True

    def encode(self, x: Tensor, key: Key) -> Tensor:
        form, d = _format(x.dtype), len(x)
        size = symbols.length(d, 1 << form.digit)
        packed = torch.empty(size + d + 1, dtype=torch.uint8, device=x.device)
        largest = self._pack(x, 1.0, form, key, packed[:size], packed[size:-1])
        if largest > form.largest:
            raise NonFiniteError(
                f"{type(self).__name__}: the vector to compress holds NaN, infinity, or a number beyond the largest "
                f"power of two"
            )
        packed[-1] = small = 0 < largest < form.small
        if small:
            self._pack(x, 2.0**form.shift, form, key, packed[:size], packed[size:-1])
        return packed

    def decode(self, payload: Tensor, out: Tensor) -> None:
        self._decode(payload, out, None)

    def accumulate(self, payload: Tensor, weight: float, out: Tensor) -> None:
        self._decode(payload, out, weight)

    def _pack(self, x: Tensor, up: float, form: _Format, key: Key, digits: Tensor, low: Tensor) -> int:
        """Write both parts of the codes of x times `up`; gives the largest magnitude of these numbers' bits."""
        from algorithms.compressors import kernels, reference

        count = form.per_word
        words = len(x) // count
        whole = digits[: 8 * words].view(torch.int64)
        if x.is_cpu:
            rest = np.empty(len(x) - words * count, np.uint8)
            numbers = [count, low.numpy(), whole.numpy().view(np.uint64), rest, *_buffer(x.dtype)]
            array = x.numpy()
            largest = int(kernels.to_powers(array, array.dtype.type(up), *quantize.halves(key), *numbers))
            left = rest.tolist()
        else:
            lifted = x * up
            codes = reference.to_powers(lifted, *(int(half) for half in quantize.halves(key)))
            low[:] = codes & 0xFF
            whole[:] = reference.pack(codes[: words * count] >> 8, 1 << form.digit, count)
            left = (codes[words * count :] >> 8).tolist()
            bits = lifted.abs().view(torch.int32 if x.dtype == torch.float32 else torch.int64)
            largest = int(bits.max()) if len(x) else 0
        digits[8 * words :] = quantize.number_of(left, 1 << form.digit, 1 << form.digit).to(x.device)
        return largest

    def _decode(self, payload: Tensor, out: Tensor, weight: float | None) -> None:
        from algorithms.compressors import kernels, reference

        form, d = _format(out.dtype), len(out)
        size = symbols.length(d, 1 << form.digit)
        self.check_length(payload, size + d + 1)
        down = 2.0**-form.shift if payload[-1] else 1.0
        if not out.is_cpu:
            values = reference.from_powers(self._codes(payload, d, form).to(out.device), out.dtype) * down
            if weight is None:
                out[:] = values
            else:
                out += weight * values
            return
        words = d // form.per_word
        rest = quantize.digits_of(payload[8 * words : size], d - words * form.per_word, 1 << form.digit)
        array = out.numpy()
        kernels.from_powers(
            payload[size:-1].numpy(),
            payload[: 8 * words].numpy().view(np.uint64),
            rest.numpy().astype(np.uint8),
            array.dtype.type(down),
            form.per_word,
            weight is not None,
            array.dtype.type(weight or 0),
            array,
            *_buffer(out.dtype),
        )

    def _codes(self, payload: Tensor, d: int, form: _Format) -> Tensor:
        """(d,) int64: sign and exponent of each entry."""
        size = symbols.length(d, 1 << form.digit)
        digits = quantize.symbols_of(payload[:size], d, 1 << form.digit)
        return digits << 8 | payload[size:-1].long()

    @property
    def biased(self) -> bool:
        return False

    def omega(self, d: int) -> float:
        return 1 / 8

    def paper_bits(self, d: int, itemsize: int) -> float:
        return (9 if itemsize == 4 else 12) * d

    def entropy_bits(self, payload: Tensor, d: int, itemsize: int) -> float:
        form = _format(torch.float32 if itemsize == 4 else torch.float64)
        return 8 + symbols.entropy(self._codes(payload, d, form), 1 << (8 + form.digit))


def _buffer(dtype: torch.dtype) -> tuple[Any, Any]:
    """Room for some numbers, and the same memory as unsigned integers."""
    values = np.empty(symbols.STRIPE, np.float32 if dtype == torch.float32 else np.float64)
    return values, values.view(np.uint32 if dtype == torch.float32 else np.uint64)
