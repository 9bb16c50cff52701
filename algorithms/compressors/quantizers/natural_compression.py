"""Natural compression: powers of two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from algorithms.checks import NonFiniteError
from algorithms.compressors.compressor import Compressor
from algorithms.compressors.loops import reference
from algorithms.compressors.quantizers import rounding
from algorithms.compressors.wire import frames, symbols
from algorithms.numerics.compiled import compiles
from algorithms.numerics.norms import largest_magnitudes
from algorithms.randomness import Key
from algorithms.state import Block


class _Format(NamedTuple):
    """What rounding needs to know of a precision."""

    digit: int  # bits of sign and exponent above the lowest byte
    shift: int  # log2 of what small vectors are multiplied by
    largest: float  # the largest power of two
    small: float  # all entries of a small vector are below it

    @property
    def per_word(self) -> int:
        """Digits in a word."""
        return symbols.WORD // self.digit

    def digits_bytes(self, d: int) -> int:
        """Bytes that the digits of d entries take."""
        return symbols.length(d, 1 << self.digit)


def _format(dtype: torch.dtype) -> _Format:
    if dtype == torch.float32:
        return _Format(1, 96, 2.0**127, 2.0**-63)
    return _Format(4, 600, 2.0**1023, 2.0**-511)


@dataclass(frozen=True)
class NaturalCompression(Compressor):
    """C(x)_i = sign(x_i) 2^a with probability (2^(a+1) - |x_i|) / 2^a, else sign(x_i) 2^(a+1), for 2^a <= |x_i| <
    2^(a+1); C(x)_i = x_i for zero.

    Horváth, Ho, Horváth, Sahu, Canini, Richtárik, "Natural Compression for Distributed Deep Learning", MSML 2022,
    arXiv 1905.10988.

    Unbiased, omega = 1/8, attained at |x_i| = 4/3 2^a. Powers of two stay. 9 bits an entry in single precision, 12 in
    double: sign and exponent.

    Denormal numbers: a vector whose entries are all below 2^-63 (2^-511 in double precision) is multiplied by 2^96
    (2^600) before and divided by it after, which makes all its entries normal numbers. In other vectors those below
    2^-126 (2^-1022) become 0 or that number, unbiased, which adds less than d 2^-128 |x|^2 to the variance.

    Payload: the digits above the lowest bytes of sign and exponent, as bits of words (see `wire.symbols`;
    one bit, the sign, in single precision, and four in double), these bytes, and a byte that is 1 if they are of a
    multiplied vector, else 0.

    Raises:
        NonFiniteError: for entries beyond the largest power of two, which might be rounded to infinity.

    >>> import torch
    >>> from algorithms.randomness import Draw
    >>> NaturalCompression().compress(torch.tensor([[1.0, -0.5, 8.0, 0.0]]), Draw(0, "example", [0], 0)).dense()
    tensor([[ 1.0000, -0.5000,  8.0000,  0.0000]])
    >>> found = NaturalCompression().compress(torch.full((1, 100), 3.0), Draw(0, "example", [0], 0)).dense()
    >>> set(found.flatten().tolist()) == {2.0, 4.0}
    True
    """

    random: ClassVar[bool] = True
    on_device: ClassVar[bool] = True
    checks: ClassVar[bool] = True

    def encode(self, x: Tensor, key: Key, memory: Block | None = None) -> Tensor:
        form, d = _format(x.dtype), len(x)
        largest = float(largest_magnitudes(x, d)[0])
        if not largest <= form.largest:
            raise NonFiniteError(
                f"{type(self).__name__}: the vector to compress holds NaN, infinity, or a number beyond the largest "
                f"power of two"
            )
        small = 0 < largest < form.small
        packed = torch.empty(form.digits_bytes(d) + d + 1, dtype=torch.uint8, device=x.device)
        packed[-1] = small
        self._pack(x * 2.0**form.shift if small else x, form, key, packed)
        return packed

    def decode(self, payload: Tensor, out: Tensor) -> None:
        self._decode(payload, out, None)

    def accumulate(self, payload: Tensor, weight: float, out: Tensor) -> None:
        self._decode(payload, out, weight)

    def _pack(self, x: Tensor, form: _Format, key: Key, packed: Tensor) -> None:
        """Write digits and bytes of the codes of x to a payload."""
        size = form.digits_bytes(len(x))
        words, rest = divmod(len(x), form.per_word)
        whole, last = packed[: 8 * words].view(torch.int64), torch.zeros(1, dtype=torch.int64, device=x.device)
        if compiles(x):
            from algorithms.compressors.loops.powers import power_packer

            pack = power_packer(x.itemsize == 8)
            bits, low = x.numpy().view(np.uint64 if x.itemsize == 8 else np.uint32), packed[size:-1].numpy()
            halves = rounding.halves(key)
            pack(bits, 0, halves, (form.digit, form.per_word), (low, whole.numpy().view(np.uint64)))
            if rest:
                pack(bits, len(x) - rest, halves, (form.digit, rest), (low, last.numpy().view(np.uint64)))
        else:
            codes = reference.to_powers(x, *(int(half) for half in rounding.halves(key)))
            packed[size:-1] = codes & 0xFF
            digits = codes >> 8
            whole[:] = reference.pack(digits[: len(x) - rest], 1 << form.digit, form.per_word)
            if rest:
                last[:] = reference.pack(digits[len(x) - rest :], 1 << form.digit, rest)
        packed[8 * words : size] = last.view(torch.uint8)[: size - 8 * words]

    def _decode(self, payload: Tensor, out: Tensor, weight: float | None) -> None:
        form, d = _format(out.dtype), len(out)
        self.check_length(payload, form.digits_bytes(d) + d + 1)
        rounding.expect(int(payload[-1]) <= 1)
        down = 2.0**-form.shift if payload[-1] else 1.0
        if not compiles(out):
            values = reference.from_powers(self._codes(payload, d, form).to(out.device), out.dtype) * down
            frames.finite(values)
            if weight is None:
                out[:] = values
            else:
                out += weight * values
            return
        from algorithms.compressors.loops.powers import power_unpacker

        array = out.numpy()
        unpack = power_unpacker(out.itemsize == 8, weight is not None)
        low = payload[form.digits_bytes(d) : -1].numpy()
        whole, last = rounding.words_of(payload[: form.digits_bytes(d)], d, 1 << form.digit)
        factors = array.dtype.type(down), array.dtype.type(0 if weight is None else weight)
        for words, origin, count in ((whole, 0, form.per_word), (last, len(whole) * form.per_word, d % form.per_word)):
            digits = words.numpy().view(np.uint64)
            rounding.expect(not (digits[-1:] > symbols.bounds(1 << form.digit, count or 1).largest).any())
            rounding.expect(unpack((low, digits), origin, (form.digit, count), factors, array))

    def _codes(self, payload: Tensor, d: int, form: _Format) -> Tensor:
        """(d,) int64: sign and exponent of each entry."""
        size = form.digits_bytes(d)
        return rounding.symbols_of(payload[:size], d, 1 << form.digit) << 8 | payload[size:-1].long()

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
