"""A post between processes that are all in this one: letters take any time, and ranks may be lost at any."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

from gossip.drivers.mail import MailDriver
from gossip.network.accord import Accord
from gossip.network.mail import Letter, State

T = TypeVar("T")


class SlowPost:
    """What is under way between ranks. From one to another it arrives in the order of sending.

    Args:
        hosted: The nodes of each rank.
        chance: Decides what happens next.
        patience: How often a rank looks, on average, until something comes that is there.
        losing: What share of the letters is lost.
    """

    def __init__(
        self, hosted: Sequence[Sequence[int]], chance: random.Random, patience: float, losing: float = 0.0
    ) -> None:
        self.hosted, self.chance, self.patience, self.losing = hosted, chance, patience, losing
        size = len(hosted)
        self.ways = {(a, b): deque[Letter | list[int]]() for a in range(size) for b in range(size) if a != b}
        self.dead = set[int]()
        self.ranks = [PostBox(self, rank) for rank in range(size)]
        self.most = 0  # letters of one rank under way
        self.late: list[Letter] = []  # what has come from nodes of which it had been said that they are lost

    @property
    def under_way(self) -> list[Letter]:
        """All that nobody has taken."""
        return [each for way in self.ways.values() for each in way if isinstance(each, Letter)]

    def letters(self, sender: int) -> int:
        """Those of this rank that nobody has taken."""
        mine = [way for (source, _), way in self.ways.items() if source == sender]
        return sum(isinstance(each, Letter) for way in mine for each in way)

    def advance(self, drivers: Sequence[MailDriver], gradients: int | None, limit: int = 100_000) -> None:
        """As `MailDriver.advance` of all ranks, who take turns as it happens, if it ends after so many turns."""
        for driver in drivers:
            driver.begin(gradients)
        over = False
        while not over:
            running = {rank: driver.pieces() for rank, driver in enumerate(drivers) if rank not in self.dead}
            while running:
                limit -= 1
                assert limit, "it does not end"
                rank = self.chance.choice([*running])
                if rank in self.dead or next(running[rank], None) is None:
                    del running[rank]
            left = [each.accord for rank, each in enumerate(self.ranks) if rank not in self.dead]
            over = all(each.settled and each.lost == self.dead for each in left)
            for each in left:
                each.go_on(after_mark=over)
        for rank, driver in enumerate(drivers):
            if rank not in self.dead:
                driver.end()


class PostBox:
    """That of one rank; a `LiveMail`."""

    def __init__(self, post: SlowPost, rank: int) -> None:
        self.post, self.rank, self.hosted = post, rank, post.hosted
        self.accord = Accord(rank, len(post.hosted), self._say, floods=True)
        self._lost: list[int] = []
        self._returned: list[Letter] = []
        self._told = set[int]()

    @property
    def outstanding(self) -> tuple[int, int]:
        return self.post.letters(self.rank), 0

    @property
    def state(self) -> State:
        return self.accord.state

    def send(self, rank: int, letter: Letter) -> None:
        if rank in self.accord.lost:
            self._returned.append(letter)
            return
        if self.post.chance.random() < self.post.losing:
            return
        self.accord.count_sent(rank)
        self.post.ways[self.rank, rank].append(letter)
        self.post.most = max(self.post.most, self.post.letters(self.rank))

    def _say(self, rank: int, said: list[int]) -> None:
        self.post.ways[self.rank, rank].append(said)

    def waiting(self) -> bool:
        raise AssertionError("nobody waits here")

    def arrived(self) -> Letter | None:
        post = self.post
        if self.accord.lost != post.dead and post.chance.random() < 0.1:
            self._notice(post.dead - self.accord.lost)
        while post.chance.random() * post.patience < 1:
            full = [
                source for source in range(len(self.hosted)) if source != self.rank and post.ways[source, self.rank]
            ]
            if not full:
                return None
            source = post.chance.choice(full)
            what = post.ways[source, self.rank].popleft()
            if isinstance(what, Letter):
                self.accord.count_taken(source)
                post.late += [what] if what.sender in self._told else []
                return what
            before = {*self.accord.lost}
            self.accord.hear(source, what)
            self._notice(self.accord.lost - before)
        return None

    def _notice(self, ranks: set[int]) -> None:
        self.accord.lose(ranks)
        for rank in sorted(ranks):
            self._lost += self.hosted[rank]
            way = self.post.ways[self.rank, rank]
            self._returned += [each for each in way if isinstance(each, Letter)]
            way.clear()

    def losses(self) -> list[int]:
        lost, self._lost = self._lost, []
        self._told.update(lost)
        return lost

    def returned(self) -> list[Letter]:
        returned, self._returned = self._returned, []
        return returned

    def enough(self, own: int, wanted: int) -> bool:
        return self.accord.enough(own, wanted)

    def over(self, own: int, more: bool) -> bool:
        return not self._lost and self.accord.over(own, more)

    def mark(self) -> bool:
        raise AssertionError("the post sees to that")

    def recover(self) -> bool:
        raise AssertionError("nothing else fails here")

    def wait(self, done: Callable[[], bool]) -> None:
        raise AssertionError("nobody waits here")

    def gather(self, value: T) -> list[T]:
        raise AssertionError("there is one process")
