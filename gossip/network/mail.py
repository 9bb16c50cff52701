"""Messages from node to node, one at a time, and how they go from process to process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from torch import Tensor


class Letter(NamedTuple):
    """What one node sends to another."""

    sender: int
    to: int
    row: Tensor
    """(1, d), as it is decoded."""
    size: int
    """Bytes that it counts as."""
    label: str
    """What the receiver is to make of it."""


class Mail(Protocol):
    """Carries letters between processes. From one rank to another they arrive in the order of sending."""

    @property
    def rank(self) -> int:
        """This process."""

    @property
    def hosted(self) -> Sequence[Sequence[int]]:
        """The nodes of each rank, in the order of its rows."""

    def send(self, rank: int, letter: Letter) -> None:
        """Send a letter to another rank, which need not wait for it yet."""

    def next(self, rank: int) -> Letter:
        """The next letter from another rank; waits for it."""

    def finish(self) -> list[Letter]:
        """Wait until all ranks are here, and all that they have sent; what has not been taken. Collective."""


class NoMail:
    """That of a single process, in which nothing has to travel.

    Args:
        n: The number of nodes.
    """

    rank = 0

    def __init__(self, n: int) -> None:
        self.hosted = [range(n)]

    def send(self, rank: int, letter: Letter) -> None:
        """There is no other rank."""
        raise AssertionError(f"a letter to rank {rank} of a single process")

    def next(self, rank: int) -> Letter:
        """There is no other rank."""
        raise AssertionError(f"a letter from rank {rank} of a single process")

    def finish(self) -> list[Letter]:
        """See `Mail`."""
        return []
