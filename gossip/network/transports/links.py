"""Ways in which rows come from some of the other ranks, and the exchange over one or more of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from gossip.network.plans.halo import HaloPlan, Indices
from gossip.network.sums.mixing import Sums
from gossip.network.transport import Rows, Transport, columns_of

WHOLE = 1 << 62  # the segment of a link on which all columns come at once


class Link(Protocol):
    """One way in which rows come from some of the other ranks, in one exchange."""

    @property
    def rows(self) -> Mapping[int, Rows]:
        """Source rank -> (rows, d), the rows that it sends, complete up to the columns waited for."""

    @property
    def segment(self) -> int:
        """How many columns arrive at a time."""

    def wait(self, stop: int) -> None:
        """Wait until the columns before `stop` are there."""

    def finish(self) -> None:
        """`rows` will not be read again; wait until what was sent may be changed."""


class LinkingTransport(Transport, Protocol):
    """A transport that can also be one of several that an exchange goes over."""

    def link(self, value: Rows, send: Mapping[int, Indices], receive: Mapping[int, Indices], posted: bool) -> Link:
        """Send what these ranks need of the value and get ready for what these others send.

        Args:
            value: The local rows, (k, d).
            send: rank -> the local rows that it needs, ascending; the same object in all exchanges of a plan.
            receive: rank -> the rows of its stack that it sends, ascending; likewise.
            posted: As in `begin`.
        """


class LinkedExchange:
    """An `Exchange` with other processes, over one or more links.

    Args:
        plan: Who reads what.
        sums: How it is summed.
        own: (k, d), the local rows.
        links: Bring what `plan.sources` send.
    """

    def __init__(self, plan: HaloPlan, sums: Sums, own: Rows, links: Sequence[Link]) -> None:
        self.plan = plan
        self.sums = sums
        self.sources: Sequence[Rows] = [own]
        self.columns = columns_of(own)
        self.segment = min([self.columns, *(link.segment for link in links)])
        self._own = own
        self._links = links

    def wait(self, stop: int) -> None:
        """See `Exchange`."""
        rows: dict[int, Rows] = {}
        for link in self._links:
            link.wait(stop)
            rows.update(link.rows)
        self.sources = [self._own, *[rows[source] for source in self.plan.sources]]

    def finish(self) -> None:
        """See `Exchange`."""
        for link in self._links:
            link.finish()
