"""What processes that send letters to each other agree on without waiting: whether there are enough gradients, and
whether all is over. How it travels is not known here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gossip.network.mail import State

COUNT, ENOUGH, TOKEN, OVER = range(1, 5)  # the first number of what is said
COUNTING = 1e-3  # seconds, times the number of ranks, between two times that a rank says how many gradients it has


@dataclass
class Token:
    """Goes around the ranks that have nothing to do before the next mark."""

    mark: int
    """Which one that is, by the number of times that all was over."""

    maker: int
    """Tells it from those of other makers, and of the same one when it knew of fewer losses."""

    count: int
    """What has been sent and not taken, by the ranks that it has met."""

    disturbed: bool
    """Whether one of them had taken something since the last time, or knew of other losses."""

    more: bool
    """Whether one of them has something to do after the mark."""

    lost: list[int]
    """Of each rank, whether it is lost."""

    gradients: list[int]
    """Those of each rank."""

    def numbers(self) -> list[int]:
        """All of it."""
        return [self.mark, self.maker, self.count, self.disturbed, self.more, *self.lost, *self.gradients]

    @classmethod
    def of(cls, numbers: list[int]) -> Token:
        """What had these numbers."""
        mark, maker, count, disturbed, more, *others = numbers
        size = len(others) // 2
        return cls(mark, maker, count, bool(disturbed), bool(more), others[:size], others[size:])


class Accord:
    """This rank's part in it.

    All is over when no rank has anything to do and nothing is under way. The token counts what has been sent and not
    taken until it has met nobody who has taken anything since it was there (Safra's algorithm: Dijkstra, EWD 998,
    1987). Ranks may be lost: then all that went to them or came from them does not count, and the first rank that is
    left makes another token. It counts only if all whom it meets know of the same losses.

    Args:
        rank: This one.
        size: How many there are.
        say: Sends some numbers to a rank, which hears them in the order of sending.
        floods: Whether each rank passes on that all is over, so that all hear of it who are left.

    Attributes:
        sent: To each rank, how many letters and other things that count.
        taken: The same from each rank.
        state: That of all at the last mark.
        lost: The ranks that are known to be lost.
    """

    def __init__(self, rank: int, size: int, say: Callable[[int, list[int]], None], *, floods: bool = False) -> None:
        self.sent, self.taken = [0] * size, [0] * size
        self.state, self.lost = State(0, True), set[int]()
        self._rank, self._size, self._say, self._floods = rank, size, say, floods
        self._gradients, self._before = [0] * size, 0  # as far as they are known here; those of ranks no longer counted
        self._told, self._told_at = -1, 0.0
        self._mark = 0
        self._announced = self._is_enough = False
        self._begin()

    def _begin(self) -> None:
        self._token: Token | None = None
        self._outcome: Token | None = None  # when all is over
        self._away = self._disturbed = False

    @property
    def gradients(self) -> int:
        """Those of all ranks, as far as they are known here."""
        return self._before + sum(self._gradients)

    @property
    def is_over(self) -> bool:
        """Whether all was over, as far as is known here."""
        return self._outcome is not None

    @property
    def settled(self) -> bool:
        """Whether no loss is known here of which the others did not know when all was over."""
        return self._outcome is not None and self._outcome.lost == self._losses()

    def go_on(self, after_mark: bool) -> None:
        """All was over, and all go on from there; or do so before the mark, as there are new losses."""
        self._mark += 1
        self._begin()
        if after_mark:
            self._announced = self._is_enough = False

    def without(self, gone: Sequence[int], rank: int) -> Accord:
        """That of the other ranks, at a mark, when they have got new numbers and this one has this.

        Args:
            gone: The ranks that are lost.
            rank: The new number of this one.
        """
        left = [each for each in range(self._size) if each not in gone]
        after = Accord(rank, len(left), self._say, floods=self._floods)
        after.state, after._before = self.state, self._before + sum(self._gradients[each] for each in gone)
        after._gradients = [self._gradients[each] for each in left]
        return after

    def count_sent(self, rank: int) -> None:
        """A letter goes there."""
        self.sent[rank] += 1

    def count_taken(self, rank: int) -> None:
        """A letter from there is here."""
        self.taken[rank] += 1
        self._disturbed = True

    def lose(self, ranks: Iterable[int]) -> None:
        """These are lost."""
        new = {*ranks} - self.lost
        if new:
            self.lost |= new
            self._away, self._disturbed = False, True
            self._told = -1  # there may be another first rank

    def enough(self, own: int, wanted: int) -> bool:
        """See `LiveMail`."""
        self._gradients[self._rank] = own
        if self._rank == self._first():
            self._is_enough = self._is_enough or self.gradients >= wanted
            if self._is_enough and not self._announced:
                self._announced = True
                for other in self._others():
                    self._say_counted(other, ENOUGH)
        elif not self._is_enough and time.perf_counter() - self._told_at > COUNTING * self._size:
            self._tell()
        return self._is_enough

    def over(self, own: int, more: bool) -> bool:
        """See `LiveMail`."""
        self._gradients[self._rank] = own
        if self._outcome is not None:
            return True
        if len(self.lost) == self._size - 1:
            self._conclude(self._fresh(more))
            return True
        first = self._rank == self._first()
        if not first:
            self._tell()
        if self._token is not None:
            token, self._token = self._token, None
            self._sign(token, more)
            if not first:
                self._say(self._following(), [TOKEN, *token.numbers()])
            elif token.count or token.disturbed:
                self._away = False
            else:
                self._conclude(token)
                return True
        if first and not self._away:
            self._away, self._disturbed = True, False
            self._say(self._following(), [TOKEN, *self._fresh(False).numbers()])
        return False

    def hear(self, source: int, said: list[int]) -> None:
        """Another rank has said this."""
        kind, *numbers = said
        if kind == COUNT:
            self.count_taken(source)
            self._gradients[source] = max(self._gradients[source], numbers[0])
        elif kind == ENOUGH:
            self.count_taken(source)
            self._is_enough = True
        else:
            token = Token.of(numbers)
            if token.mark == self._mark:
                self.lose(rank for rank, lost in enumerate(token.lost) if lost)
                if kind == OVER:
                    self._conclude(token)
                elif self._rank == self._first():
                    self._token = token if token.maker == self._maker() else self._token
                elif self._token is None or token.maker >= self._token.maker:
                    self._token = token

    def _sign(self, token: Token, more: bool) -> None:
        """Add to the token what this rank knows."""
        left = [rank for rank in range(self._size) if rank not in self.lost]
        token.count += sum(self.sent[rank] - self.taken[rank] for rank in left)
        token.disturbed |= self._disturbed or token.lost != self._losses()
        token.more |= more
        token.lost = self._losses()
        token.gradients = [max(pair) for pair in zip(token.gradients, self._gradients, strict=True)]
        self._disturbed = False

    def _conclude(self, token: Token) -> None:
        """All is over."""
        if self._outcome is not None:
            return
        self._outcome = token
        self._gradients = [max(pair) for pair in zip(token.gradients, self._gradients, strict=True)]
        self.state = State(self.gradients, token.more)
        if self._floods or self._rank == self._first():
            for other in self._others():
                self._say(other, [OVER, *token.numbers()])

    def _fresh(self, more: bool) -> Token:
        return Token(self._mark, self._maker(), 0, False, more, self._losses(), list(self._gradients))

    def _maker(self) -> int:
        return len(self.lost) * self._size + self._rank

    def _losses(self) -> list[int]:
        return [int(rank in self.lost) for rank in range(self._size)]

    def _first(self) -> int:
        return next(rank for rank in range(self._size) if rank not in self.lost)

    def _others(self) -> list[int]:
        return [rank for rank in range(self._size) if rank not in self.lost and rank != self._rank]

    def _following(self) -> int:
        places = ((self._rank + step) % self._size for step in range(1, self._size))
        return next(rank for rank in places if rank not in self.lost)

    def _tell(self) -> None:
        """Tell the first rank how many gradients there are here, if that is new."""
        own = self._gradients[self._rank]
        if own > self._told:
            self._told, self._told_at = own, time.perf_counter()
            self._say_counted(self._first(), COUNT, own)

    def _say_counted(self, rank: int, *numbers: int) -> None:
        self.sent[rank] += 1
        self._say(rank, [*numbers])
