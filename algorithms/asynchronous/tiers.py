"""Tiers of clients that are about as fast: how they are found, and rounds of some clients of one of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from algorithms.asynchronous.federated import AsynchronousFederated, drawn
from algorithms.checks import check
from algorithms.numerics.sums import add_scaled
from algorithms.program import NodeContext, NodeProgram
from algorithms.state import Block


@dataclass(frozen=True, kw_only=True)
class Tiered:
    """The fields that methods with tiers have beyond those of `AsynchronousFederated`.

    Tiers are measured by profiling: at first all clients train, at the same time and `profiling` times each, and only
    the order in which they have done so counts: the first ones are the fastest tier, and so on, with numbers that
    differ by at most one. It is that of their mean latencies, and needs no clock. These answers train nothing.

    Args:
        tiers: How many, >= 1, to be measured; or (n,) the tier of each client, from 0, the fastest one.
        profiling: How many answers of each client are waited for to measure tiers, >= 1; left out where they are given.
        participation: How many clients of a tier train in each of its rounds: an integer for their number, or a share
            in (0, 1], of which the nearest number is used, at least 1. They are drawn uniformly, without replacement.
        weights: (n,) how much each client counts in its tier, > 0, in any unit; "equal"; or "examples", the numbers of
            training examples that they have, which a run knows.
    """

    tiers: int | tuple[int, ...] = 5
    profiling: int = 1
    participation: int | float = 1.0
    weights: tuple[float, ...] | Literal["equal", "examples"] = "equal"

    def check_tiers(self) -> None:
        """Refuse what cannot be."""
        number = isinstance(self.participation, int)
        valid = self.participation >= 1 if number else 0 < self.participation <= 1
        check(valid, self, "participation", "an integer >= 1, or a share in (0, 1]")
        if isinstance(self.tiers, int):
            check(self.tiers >= 1, self, "tiers", ">= 1, or the tier of each client")
        else:
            found = sorted({*self.tiers})
            check(found == list(range(len(found))) != [], self, "tiers", "numbers from 0 on, each of some client")
        check(self.profiling >= 1, self, "profiling", ">= 1")
        measured = isinstance(self.tiers, int) and self.tiers > 1
        check(self.profiling == 1 or measured, self, "profiling", "left out where no tiers are measured")
        if isinstance(self.weights, str):
            check(self.weights in ("equal", "examples"), self, "weights", 'numbers, "equal" or "examples"')
        else:
            check(all(0 < weight < math.inf for weight in self.weights), self, "weights", "> 0")

    def sizes(self, clients: int) -> list[int]:
        """How many of so many clients are in each tier.

        Raises:
            ValueError: The method is not for so many.
        """
        name = type(self).__name__
        if self.weights == "examples":
            raise ValueError(f"{name}: weights = 'examples' is for runs; give the numbers here")
        for of_each in (self.tiers, self.weights):
            if isinstance(of_each, tuple) and len(of_each) != clients:
                what = "tiers" if of_each is self.tiers else "weights"
                raise ValueError(f"{name}: there are {len(of_each)} {what} for {clients} clients; give one for each")
        if isinstance(self.tiers, int):
            sizes = [clients // self.tiers + (tier < clients % self.tiers) for tier in range(self.tiers)]
        else:
            sizes = [self.tiers.count(tier) for tier in range(max(self.tiers) + 1)]
        if min(sizes) == 0:
            raise ValueError(f"{name}: tiers = {self.tiers} of {clients} clients; there must be a client for each tier")
        if isinstance(self.participation, int) and self.participation > min(sizes):
            raise ValueError(
                f"{name}: participation = {self.participation}, but there is a tier of {min(sizes)} clients; it must "
                f"be <= these, or a share"
            )
        return sizes

    def grouped(self, clients: int) -> Tiers:
        """So many clients in their tiers, before the first of them has answered."""
        sizes = self.sizes(clients)
        measured = isinstance(self.tiers, int) and self.tiers > 1
        given = self.tiers if isinstance(self.tiers, tuple) else (0,) * clients
        return Tiers(
            sizes,
            [self._taking_part(size) for size in sizes],
            [1.0] * clients if isinstance(self.weights, str) else list(self.weights),
            [
                [client for client in range(clients) if given[client] == tier and not measured]
                for tier in range(len(sizes))
            ],
            dict.fromkeys(range(clients), self.profiling) if measured else {},
        )

    def _taking_part(self, size: int) -> int:
        """How many of a tier of this size train in a round."""
        return self.participation if isinstance(self.participation, int) else max(1, round(self.participation * size))


@dataclass
class Tiers(Block):
    """The clients by their tiers, as far as these are known.

    Attributes:
        sizes: Tier -> how many clients it has, known or not, from the fastest on; 0 if all are lost.
        taking_part: Tier -> how many of them train in a round.
        weights: Client -> how much it counts.
        members: Tier -> those of its clients that are known; in the order in which they have been measured.
        left: Client -> how many answers are waited for to measure it; nobody once tiers are known.
    """

    sizes: list[int]
    taking_part: list[int]
    weights: list[float]
    members: list[list[int]]
    left: dict[int, int]

    def of(self, client: int) -> int:
        """The tier of a client that is known."""
        return next(tier for tier, members in enumerate(self.members) if client in members)

    def answered(self, client: int) -> int | None:
        """A client has answered that is to be measured; the tier that is complete by this, if one is."""
        self.left[client] -= 1
        if self.left[client]:
            return None
        del self.left[client]
        tier = self._incomplete[0]
        self.members[tier].append(client)
        return tier if tier not in self._incomplete else None

    def lost(self, client: int) -> int | None:
        """A client is gone; the tier that is complete by this, if one is: those that are not measured are slow."""
        if self.left.pop(client, None) is None:
            tier = self.of(client)
            self.members[tier].remove(client)
            self.sizes[tier] -= 1
            return None
        tier = self._incomplete[-1]
        self.sizes[tier] -= 1
        return tier if tier not in self._incomplete else None

    @property
    def _incomplete(self) -> list[int]:
        """The tiers of which not all clients are known."""
        return [tier for tier, size in enumerate(self.sizes) if len(self.members[tier]) < size]


@dataclass
class Round(Block):
    """Some clients of a tier that train at the same time.

    Attributes:
        clients: These, ascending.
        answers: Client -> (1, d), of those that have answered.
    """

    clients: list[int]
    answers: dict[int, Tensor] = field(default_factory=dict)

    def mean(self, weights: Sequence[float]) -> Tensor:
        """(1, d): the mean of the answers, with a weight for each of all clients."""
        total = math.fsum(weights[client] for client in self.clients)
        mean = torch.zeros_like(self.answers[self.clients[0]])
        for client in self.clients:
            mean = add_scaled(mean, weights[client] / total, self.answers[client])
        return mean


@dataclass(eq=False)
class TieredServer(NodeProgram):
    """A server that measures tiers and lets some clients of a tier train together.

    Attributes:
        x: (1, d), its model w.
        tiers: The clients by their tiers.
        rounds: Tier -> its round that goes on.
        ended: Tier -> how many of its rounds have ended.
    """

    method: AsynchronousFederated
    x: Tensor
    tiers: Tiers
    rounds: dict[int, Round] = field(default_factory=dict)
    ended: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.ended = [0] * len(self.tiers.sizes)

    def on_start(self, context: NodeContext) -> None:
        if self.tiers.left:
            self._send(list(self.tiers.left), "model to measure", context)
        else:
            for tier in range(len(self.tiers.sizes)):
                self.known(tier, context)

    def on_message(self, sender: int, value: Tensor, kind: str, context: NodeContext) -> None:
        if sender not in self.tiers.left:
            tier = self.tiers.of(sender)
            self.rounds[tier].answers[sender] = value
            self._settle(tier, context)
            return
        complete = self.tiers.answered(sender)
        if complete is not None:
            self.known(complete, context)
        elif sender in self.tiers.left:
            self._send([sender], "model to measure", context)

    def on_lost(self, neighbor: int, returned: Sequence[tuple[Tensor, str]], context: NodeContext) -> None:
        known = neighbor not in self.tiers.left
        tier = self.tiers.of(neighbor) if known else None
        complete = self.tiers.lost(neighbor)
        if complete is not None:
            self.known(complete, context)
        if tier in self.rounds and neighbor not in self.rounds[tier].answers:
            clients = self.rounds[tier].clients
            clients[:] = [client for client in clients if client != neighbor]
            self._settle(tier, context)

    def known(self, tier: int, context: NodeContext) -> None:
        """All clients of a tier are known."""
        raise NotImplementedError

    def end(self, tier: int, mean: Tensor) -> None:
        """A round of a tier has ended, whose clients have this mean (1, d)."""
        raise NotImplementedError

    def go_on(self, tier: int, context: NodeContext) -> None:
        """Begin what follows a round of a tier."""
        raise NotImplementedError

    def _settle(self, tier: int, context: NodeContext) -> None:
        """End a round if nobody is waited for; it counts if anybody has answered."""
        going_on = self.rounds[tier]
        if len(going_on.answers) < len(going_on.clients):
            return
        del self.rounds[tier]
        if going_on.clients:
            self.ended[tier] += 1
            self.end(tier, going_on.mean(self.tiers.weights))
        self.go_on(tier, context)

    def begin(self, tier: int, context: NodeContext) -> None:
        """Begin a round of a tier, from the server's model."""
        draw = context.draw(f"clients of tier {tier}")
        members = self.tiers.members[tier]
        clients = drawn(members, min(self.tiers.taking_part[tier], len(members)), draw)
        self.rounds[tier] = Round(clients)
        self._send(clients, f"model for tier {tier}", context)

    @property
    def model(self) -> Tensor:
        return self.x

    def _send(self, clients: Sequence[int], purpose: str, context: NodeContext) -> None:
        value = self.method.packed(self.x, context.draw(purpose))
        for client in clients:
            context.send(client, value, "model")
