"""Availability of clients by a file of who was there when."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from algorithms import Availability, TraceAvailability
from gossip.errors import DataError


@dataclass(frozen=True)
class AvailabilityFile(Availability):
    """A table of who can be chosen when: a row for each client, a column for each round, 1 where it is there, else 0.

    It begins anew after the last round. See `algorithms.TraceAvailability`.

    Args:
        file: A NumPy array (*.npy), or text with commas or blanks between the numbers.

    Raises:
        DataError: It cannot be read, or is no such table.
    """

    file: str = ""
    clients: int = field(init=False)
    trace: TraceAvailability = field(init=False)

    def __post_init__(self) -> None:
        table = _read(Path(self.file))
        rounds = tuple(tuple(np.flatnonzero(column).tolist()) for column in table.T)
        object.__setattr__(self, "clients", len(table))  # the dataclass is frozen
        object.__setattr__(self, "trace", TraceAvailability(rounds))

    def available(self, round: int, clients: int, random: np.random.Generator) -> NDArray[np.bool_]:
        if clients != self.clients:
            raise ValueError(f"AvailabilityFile: {self.file} has rows for {self.clients} clients, there are {clients}")
        return self.trace.available(round, clients, random)


def _read(path: Path) -> NDArray:
    """(K, rounds) of zeros and ones."""
    allowed = "a table of 0 and 1, a row for each client and a column for each round"
    try:
        if path.suffix == ".npy":
            table = np.load(path, allow_pickle=False)
        else:
            lines = path.read_text(encoding="utf-8").replace(",", " ").splitlines()
            table = np.array([line.split() for line in lines if line.strip()], np.float64)
    except OSError as error:
        raise DataError(f"AvailabilityFile: cannot read {str(path)!r} ({error.strerror or error})") from error
    except (ValueError, EOFError) as error:
        raise DataError(f"AvailabilityFile: {path} is not {allowed}") from error
    if table.ndim != 2 or not table.size or not np.isin(table, (0, 1)).all():
        raise DataError(f"AvailabilityFile: {path} is not {allowed}")
    return table
