"""Real vectors as integers modulo 2^b, whose sums are exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.checks import NonFiniteError, check, positive

WIDTHS = (16, 32, 64)


@dataclass(frozen=True)
class Ring:
    """Numbers in [-clip, clip] as integers from -levels to levels, modulo 2^bits.

    Args:
        bits: b, 16, 32 or 64: how many of them each number takes when it travels.
        levels: Integers on either side of 0, >= 1, below 2^52, which double precision holds.
        clip: What `levels` stands for, > 0; larger numbers are clipped to it.
    """

    bits: int = 32
    levels: int = 2**15 - 1
    clip: float = 1.0

    def __post_init__(self) -> None:
        check(self.bits in WIDTHS, self, "bits", f"one of {', '.join(map(str, WIDTHS))}")
        check(1 <= self.levels < 2**52, self, "levels", "in [1, 2^52)")
        check(positive(self.clip), self, "clip", "> 0")

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of a vector of the ring: unsigned, whose sums wrap around at 2^bits."""
        return np.dtype(f"u{self.bits // 8}")

    def check_room(self, clients: int) -> None:
        """Refuse a sum of so many vectors if it could leave [-2^(bits - 1), 2^(bits - 1)).

        Raises:
            ValueError: It could.
        """
        most = (2 ** (self.bits - 1) - 1) // clients
        if self.levels > most:
            raise ValueError(
                f"Ring: levels = {self.levels} is not allowed; {clients} clients times levels must be below "
                f"2^(bits - 1) = 2^{self.bits - 1}, or their sum would overflow: take levels <= {most}, or more bits"
            )

    def encode(self, value: NDArray[np.floating[Any]], uniform: NDArray[np.float64] | None = None) -> NDArray[Any]:
        """The integers of a vector (d,), in the ring.

        Args:
            value: The vector.
            uniform: (d,) in [0, 1), of randomised rounding, whose expectation is the clipped vector; None for the
                nearest integers.

        Raises:
            NonFiniteError: It holds NaN or infinity, for which there is no integer.
        """
        wide = np.asarray(value, np.float64)
        if not np.isfinite(wide).all():
            raise NonFiniteError("secure aggregation: the vector to mask holds NaN or infinity")
        scaled = np.clip(wide / self.clip, -1.0, 1.0) * self.levels
        rounded = np.rint(scaled) if uniform is None else np.floor(scaled + uniform)
        return np.clip(rounded, -self.levels, self.levels).astype(np.int64).astype(self.dtype)

    def decode(self, total: NDArray[Any]) -> NDArray[np.float64]:
        """(d,): the real numbers that a sum in the ring stands for."""
        return total.view(f"i{self.bits // 8}").astype(np.float64) * (self.clip / self.levels)
