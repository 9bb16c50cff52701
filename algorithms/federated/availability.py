"""Which clients can be chosen in a round: devices that are charging, idle and connected at that time.

Federated learning's clients come and go, often by the time of the day, and who is there may depend on what data they
have: Kairouz, McMahan, et al., "Advances and Open Problems in Federated Learning", 2021, arXiv 1912.04977; Eichner,
Koren, McMahan, Srebro, Talwar, "Semi-Cyclic Stochastic Gradient Descent", ICML 2019, arXiv 1904.10120. An algorithm
knows no clock: time is counted in rounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from algorithms.checks import check, positive

Available = NDArray[np.bool_]


@dataclass(frozen=True)
class Availability:
    """A rule of which clients can be chosen in which round. Its fields are its parameters."""

    def available(self, round: int, clients: int, random: np.random.Generator) -> Available:
        """(K,): whether each client can be chosen.

        Args:
            round: The rounds before this one.
            clients: K, how many there are.
            random: The draws of this round, the same on every rank.

        Raises:
            ValueError: The rule is for another number of clients.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class AlwaysAvailable(Availability):
    """All clients, in every round."""

    def available(self, round: int, clients: int, random: np.random.Generator) -> Available:
        return np.ones(clients, bool)


@dataclass(frozen=True)
class SineAvailability(Availability):
    """Days and nights: in round r client k can be chosen with probability share + swing sin(2 pi (r / period + a_k)).

    The phase is a_k = zones k / K: with zones = 0 all clients have night at the same time, with zones = 1 they lie
    around the world, in the order of their numbers. What there is to learn depends on the hour then if data go by the
    numbers of the clients, as with the split `ByLabel`.

    Args:
        share: The average share of the clients that are available, in (0, 1].
        swing: How far it goes up and down, >= 0, such that probabilities stay in [0, 1].
        period: Rounds of a day, > 0.
        zones: How much of a day lies between the first and the last client, in [0, 1].
    """

    share: float = 0.5
    swing: float = 0.5
    period: float = 24.0
    zones: float = 1.0

    def __post_init__(self) -> None:
        check(0 < self.share <= 1, self, "share", "in (0, 1]")
        most = min(self.share, 1 - self.share)
        check(0 <= self.swing <= most, self, "swing", f"in [0, {most:g}], so that probabilities stay in [0, 1]")
        check(positive(self.period), self, "period", "> 0")
        check(0 <= self.zones <= 1, self, "zones", "in [0, 1]")

    def available(self, round: int, clients: int, random: np.random.Generator) -> Available:
        turns = [round / self.period + self.zones * client / clients for client in range(clients)]
        chances = [self.share + self.swing * math.sin(2 * math.pi * turn) for turn in turns]
        return random.random(clients) < np.array(chances)


@dataclass(frozen=True)
class TraceAvailability(Availability):
    """A record of who was there: the clients that can be chosen in each round, which begins anew after the last.

    `gossip.AvailabilityFile` reads one from a file.

    Args:
        rounds: For each round the numbers of these clients, each once; () if there was nobody.
    """

    rounds: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        check(len(self.rounds) > 0, self, "rounds", "one or more rounds, each with the numbers of its clients")
        valid = all(len(set(here)) == len(here) and min(here, default=0) >= 0 for here in self.rounds)
        check(valid, self, "rounds", "the numbers of clients, from 0 on and each once in a round")

    def available(self, round: int, clients: int, random: np.random.Generator) -> Available:
        last = max((max(here, default=0) for here in self.rounds), default=0)
        if last >= clients:
            raise ValueError(f"TraceAvailability: rounds has client {last}, there are 0 to {clients - 1}")
        found = np.zeros(clients, bool)
        found[list(self.rounds[round % len(self.rounds)])] = True
        return found
