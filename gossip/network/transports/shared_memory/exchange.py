"""Exchanges with other ranks of the host, whose stacks are read where they lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from algorithms.compressors import Message
from gossip.network.plans.halo import HaloPlan
from gossip.network.sums.mixing import Sums
from gossip.network.transport import Rows, columns_of
from gossip.network.transports.shared_memory.board import Board
from gossip.network.transports.shared_memory.stacks import Place, SharedStacks


@dataclass(frozen=True)
class Publication:
    """That all ranks of a host have published something."""

    lane: int
    """Where on the board."""

    number: int
    """As which publication of that lane."""

    ranks: Sequence[int]
    """The ranks that this one reads from."""


class SharedExchange:
    """An `Exchange` with other ranks of the host, and one `Link` of an exchange with others too.

    Args:
        plan: Who reads what.
        sums: How it is summed.
        own: (k, d), the local rows.
        publication: Where the others tell what they have published.
        board: Where they do.
        stacks: What they have published.
    """

    def __init__(
        self, plan: HaloPlan, sums: Sums, own: Rows, publication: Publication, board: Board, stacks: SharedStacks
    ) -> None:
        self.plan = plan
        self.sums = sums
        self.sources: list[Rows] = [own]
        self.columns = self.segment = columns_of(own)
        self._publication = publication
        self._board = board
        self._stacks = stacks

    def wait(self, stop: int) -> None:
        """See `Exchange`."""
        publication = self._publication
        for rank in publication.ranks[len(self.sources) - 1 :]:
            place = self._board.place(rank, publication.lane, publication.number)
            self.sources.append(self._rows_at(rank, place))

    def finish(self) -> None:
        """See `Exchange`."""
        publication = self._publication
        if len(self.sources) <= len(publication.ranks):
            self.wait(self.columns)
        self._board.finish(publication.lane, publication.number, publication.ranks)

    @property
    def rows(self) -> Mapping[int, Rows]:
        """Source rank -> (rows, d), as `Link` has it."""
        return dict(zip(self._publication.ranks, self.sources[1:], strict=True))

    def _rows_at(self, rank: int, place: Place) -> Rows:
        own = self.sources[0]
        if isinstance(own, Message):
            return own.of(self._stacks.packed(rank, place, self.plan.receive[rank].tolist()))
        return self._stacks.view(rank, place, self.columns, own.dtype)
