"""What the clients that were chosen for a round deliver: drop-out, limits of time, speeds and over-selection.

Bonawitz et al., "Towards Federated Learning at Scale: System Design", MLSys 2019, arXiv 1902.01046, choose more clients
than they need (130 %) and close the round as soon as enough have reported, or at its limit of time. Li, Sahu, Zaheer,
Sanjabi, Talwalkar, Smith, MLSys 2020, arXiv 1812.06127 use what slow clients have done until then.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.checks import check, positive
from algorithms.network import Network
from algorithms.randomness import Draw, stream
from algorithms.state import Block


@dataclass
class Turnout(Block):
    """Who has been in the rounds of a run.

    Attributes:
        round: The rounds before this one.
        steps: How many local iterations each client of this round makes in it.
        chosen: Clients in all rounds that are over.
        dropped: Those of them whose work did not count.
    """

    round: int = -1
    steps: tuple[int, ...] = ()
    chosen: int = 0
    dropped: int = 0

    def close(self, clients: Sequence[int], votes: Sequence[float]) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Leave only those of the round whose work counts; the clients, and their votes."""
        counting = [place for place, vote in enumerate(votes) if vote]
        self.chosen += len(clients)
        self.dropped += len(clients) - len(counting)
        self.steps = tuple(self.steps[place] for place in counting)
        return tuple(clients[place] for place in counting), tuple(votes[place] for place in counting)

    def report(self, k: int) -> dict[str, Tensor]:
        """(k,) each: in the mean over the rounds that are over, clients and those of them whose work did not count."""
        each, rounds = torch.ones(k, dtype=torch.float64), max(1, self.round)
        return {"clients_per_round": each * (self.chosen / rounds), "dropped_per_round": each * (self.dropped / rounds)}


@dataclass(frozen=True)
class Delivery:
    """What becomes of the clients of a round; by default all of them do all that they should.

    A client finishes if it makes all its local iterations. It does not if it drops out, or if it is too slow for the
    time that a round is given. An algorithm knows no clock, so speeds are in local iterations, or gradients, that can
    be made in that time: a client of speed s makes min(floor(s), its iterations), and is ready after the share (its
    iterations / s) of that time.

    What does not count has cost what it costs: such clients got w, and computed gradients until they stopped.

    Args:
        dropout: The probability that a client drops out of a round that it is in, in [0, 1). It has then made a number
            of local iterations that is drawn uniformly from 0 up to one less than all of its own.
        unfinished: Whether the work of clients that do not finish is "lost", or "kept" and delivered at the end of the
            round, but for those that have not made a single iteration.
        speeds: Local iterations that a client can make in the time of a round, > 0: one number for each tier of speed,
            client k is in tier k mod their number; None for no limit.
        spread: In each round, the speed of each client is multiplied by a number that is drawn uniformly from
            [1 - spread, 1 + spread], in [0, 1).
        extra: Over-selection o >= 0: ceil((1 + o) M) clients are chosen where M are wanted, and the first M that finish
            count, as drawn where several finish at once. Where fewer do, unfinished work counts as well if it is kept,
            of clients that are drawn, up to M.
    """

    dropout: float = 0.0
    unfinished: Literal["lost", "kept"] = "lost"
    speeds: tuple[float, ...] | None = None
    spread: float = 0.0
    extra: float = 0.0

    def __post_init__(self) -> None:
        check(0 <= self.dropout < 1, self, "dropout", "in [0, 1)")
        check(self.unfinished in ("lost", "kept"), self, "unfinished", '"lost" or "kept"')
        valid = self.speeds is None or (len(self.speeds) > 0 and all(map(positive, self.speeds)))
        check(valid, self, "speeds", "> 0, one or more")
        check(0 <= self.spread < 1, self, "spread", "in [0, 1)")
        check(0 <= self.extra < math.inf, self, "extra", ">= 0")
        check(self.speeds is not None or not self.spread, self, "spread", "0 without speeds")
        valid = self.unfinished == "lost" or self.dropout > 0 or self.speeds is not None
        check(valid, self, "unfinished", "left out where all clients finish, without dropout and speeds")

    def chosen(self, wanted: int) -> int:
        """How many clients are chosen where so many are wanted."""
        return math.ceil(round((1 + self.extra) * wanted, 9))

    def draw(
        self, clients: NDArray[np.int64], steps: NDArray[np.int64], wanted: int, random: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(c,) each: how many local iterations the clients of a round make, and whether their work counts.

        Args:
            clients: (c,) who was chosen.
            steps: (K,) how many iterations each client should make.
            wanted: M.
            random: The round's draws, of which those of a client do not depend on who else was chosen.
        """
        planned, when = steps[clients], np.zeros(len(clients))
        leaves, far, speed, place = random.random((4, len(steps)))[:, clients]
        made = np.where(leaves < self.dropout, np.floor(far * planned), planned)
        if self.speeds is not None:
            pace = np.array(self.speeds)[clients % len(self.speeds)] * (1 + self.spread * (2 * speed - 1))
            made, when = np.minimum(made, np.floor(pace)), planned / pace
        finished = made == planned
        counts = finished | (made > 0) if self.unfinished == "kept" else finished
        if self.extra:
            # Who finishes comes first, by time; work that is not finished comes at the end of the round.
            order = np.lexsort((place, np.where(finished, when, np.inf)))
            first = order[counts[order]][:wanted]
            counts = np.isin(np.arange(len(clients)), first)
        return made.astype(np.int64), counts


def randomness(turnout: Turnout | None, purpose: str, network: Network) -> np.random.Generator:
    """The draws of a round, the same everywhere.

    With a turnout they go by its round, since one in which nobody sends anything is none of the network.
    """
    draw = network.draw(purpose)
    if turnout is not None:
        draw = Draw(draw.seed, purpose, draw.nodes, turnout.round)
    return stream(draw.key(0).common)
