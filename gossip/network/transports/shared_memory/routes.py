"""Which part of a plan goes through shared memory, and which between hosts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gossip.network.plans.halo import HaloPlan, Indices
from gossip.network.sums.mixing import Sums


@dataclass(frozen=True, eq=False)
class Routes:
    """The ways that the rows of a plan take, and how they are summed."""

    local_send: Mapping[int, Indices]
    """Rank of this host -> the local rows that it reads."""

    local_receive: Mapping[int, Indices]
    """Rank of this host -> the rows of its stack that are read here."""

    remote_send: Mapping[int, Indices]
    """Rank of another host -> the local rows that it needs."""

    remote_receive: Mapping[int, Indices]
    """Rank of another host -> the rows that it sends."""

    sums: Sums
    """Of stacks, which ranks of this host provide whole, and others only what is needed of them."""

    sums_of_packed: Sums
    """Of messages, of which everybody provides what is needed."""

    @classmethod
    def build(cls, plan: HaloPlan, host: Collection[int]) -> Routes:
        """The routes of a plan.

        Args:
            plan: Who reads what.
            host: The ranks of this host.
        """
        local = np.array([True, *(source in host for source in plan.sources)])

        def part(ranks: Mapping[int, Indices], here: bool) -> dict[int, Indices]:
            return {rank: needed for rank, needed in ranks.items() if (rank in host) == here}

        return cls(
            local_send=part(plan.send, True),
            local_receive=part(plan.receive, True),
            remote_send=part(plan.send, False),
            remote_receive=part(plan.receive, False),
            sums=Sums(plan, np.where(local[plan.owners], plan.rows, plan.places)),
            sums_of_packed=Sums(plan, plan.places),
        )

    @cached_property
    def readers(self) -> list[int]:
        """The ranks that read this one's shared memory."""
        return list(self.local_send)

    @cached_property
    def read(self) -> list[int]:
        """The ranks whose shared memory this one reads."""
        return list(self.local_receive)

    @cached_property
    def remote(self) -> bool:
        """Whether anything goes between hosts."""
        return bool(self.remote_send or self.remote_receive)

    @cached_property
    def local_rows(self) -> int:
        """How many rows the readers read."""
        return sum(map(len, self.local_send.values()))
