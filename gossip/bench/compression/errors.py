"""What compression loses: the relative squared error of an operator on vectors of some kind."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

DATA = ("Gaussian", "Laplace", "gradient")


@dataclass(frozen=True)
class ErrorRow:
    """One operator on one kind of data.

    Attributes:
        operator: The name of the operator.
        parameters: What the operator was given, as Python has it.
        data: The kind of vectors, one of `DATA`.
        bits_per_entry: Bits on the wire for an entry, header included; the mean over the vectors.
        error: |C(x) - x|^2 / |x|^2, the mean over the vectors.
        unbiased: Whether E C(x) = x.
        kind: The sort of operator, such as "sparsifiers".
    """

    operator: str
    parameters: str
    data: str
    bits_per_entry: float
    error: float
    unbiased: bool
    kind: str

    @property
    def bound(self) -> float:
        """The least error that any contraction with so many bits has at its worst vector, 4^(-bits per entry)."""
        return 4.0**-self.bits_per_entry

    def record(self) -> dict[str, Any]:
        """What other programs get."""
        return asdict(self) | {"bound": self.bound}


def relative_errors(decoded: Tensor, x: Tensor) -> Tensor:
    """(k,): |C(x) - x|^2 / |x|^2 of each row."""
    return (decoded.double() - x.double()).square().sum(1) / x.double().square().sum(1)
