"""Ranks that wake each other up by letters are found to be at rest when they are, and never before."""

from __future__ import annotations

import random
from collections import deque
from functools import partial

import pytest

from gossip.network.accord import Accord

LETTER = 0


class Crowd:
    """Ranks that are busy or at rest; who takes a letter is busy again, and may send others.

    Args:
        size: How many.
        seed: Of what happens.
        letters: How many are sent at most.
        deaths: How many ranks are lost at most.
    """

    def __init__(self, size: int, seed: int, letters: int, deaths: int) -> None:
        self.chance, self.letters, self.deaths = random.Random(seed), letters, deaths
        self.ways = {(a, b): deque[list[int]]() for a in range(size) for b in range(size) if a != b}
        self.ranks = [Accord(rank, size, partial(self.put, rank), floods=True) for rank in range(size)]
        self.rates = self.chance.choice([0.03, 0.005]), self.chance.choice([0.2, 0.02])  # of deaths, of noticing them
        self.busy = {*range(size)}
        self.left = {*range(size)}

    def put(self, sender: int, to: int, said: list[int]) -> None:
        self.ways[sender, to].append(said)

    def turn(self) -> None:
        """Let something happen to some rank."""
        rank = self.chance.choice(sorted(self.left))
        accord = self.ranks[rank]
        if self.deaths and len(self.left) > 1 and self.chance.random() < self.rates[0]:
            self.deaths -= 1
            self.die(self.chance.choice(sorted(self.left)))
            return
        if self.chance.random() < self.rates[1]:
            self.lose(rank, {*range(len(self.ranks))} - self.left)
        full = [source for (source, to), way in self.ways.items() if to == rank and way]
        if full and self.chance.random() < 0.5:
            self.take(rank, self.chance.choice(full))
        elif rank in self.busy:
            to = self.chance.choice([each for each in range(len(self.ranks)) if each != rank])
            if self.letters and to not in accord.lost and self.chance.random() < 0.5:
                self.letters -= 1
                accord.count_sent(to)
                self.put(rank, to, [LETTER])
            elif self.chance.random() < 0.5:
                self.busy.discard(rank)
        else:
            accord.over(0, False)

    def die(self, rank: int) -> None:
        """Of what it has said last, some may never arrive."""
        self.left.discard(rank)
        for (source, _), way in self.ways.items():
            for _ in range(self.chance.randrange(len(way) + 1) if source == rank else 0):
                way.pop()

    def take(self, rank: int, source: int) -> None:
        accord, said = self.ranks[rank], self.ways[source, rank].popleft()
        if said[0] == LETTER:
            accord.count_taken(source)
            self.busy.add(rank)
        else:
            before = {*accord.lost}
            accord.hear(source, said)
            if accord.lost != before:
                self.busy.add(rank)

    def lose(self, rank: int, lost: set[int]) -> None:
        if not lost <= self.ranks[rank].lost:
            self.ranks[rank].lose(lost)
            self.busy.add(rank)  # it may have something to say to others then

    def at_rest(self) -> bool:
        """Whether nobody who is left will do anything."""
        ways = (way for (source, to), way in self.ways.items() if {source, to} <= self.left)
        return not self.busy & self.left and not any(each[0] == LETTER for way in ways for each in way)


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_rest_is_found_and_never_too_early(size: int) -> None:
    for seed in range(150):
        crowd = Crowd(size, seed, letters=4 * size, deaths=0)
        for _ in range(10_000):
            crowd.turn()
            found = [accord.settled for accord in crowd.ranks]
            assert not any(found) or crowd.at_rest(), seed
            if all(found):
                break
        else:
            pytest.fail(f"seed {seed}: it is not found")


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_of_those_who_are_left(size: int) -> None:
    for seed in range(1000):
        crowd = Crowd(size, seed, letters=4 * size, deaths=seed % size)
        for _ in range(5_000):
            crowd.turn()
            left = [crowd.ranks[rank] for rank in crowd.left]
            if all(accord.is_over for accord in left):
                lost = {*range(size)} - crowd.left
                if all(accord.settled and accord.lost == lost for accord in left):
                    assert crowd.at_rest(), seed
                    break
                for accord in left:
                    accord.go_on(after_mark=False)
        else:
            pytest.fail(f"seed {seed}: it is not found")
