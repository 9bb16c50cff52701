"""Counter-based randomness: a draw depends on (seed, purpose, node, round) and on nothing else.

Never on the hosting rank or on the order of calls, so a run is the same on any number of ranks.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray

WORD = (1 << 64) - 1
PURPOSES = 1024  # of draws of which what all rounds have in common is kept


def generator(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """An independent stream for this seed, purpose (any text) and these non-negative counters."""
    return np.random.default_rng([seed, purpose_word(purpose), *counters])


def purpose_word(purpose: str) -> int:
    """The 32 bits that stand for a purpose."""
    return zlib.crc32(purpose.encode())


class _Words(ISeedSequence):
    """Seeds a bit generator with these words as they are, which the operating system need not be asked for."""

    def __init__(self, *words: int) -> None:
        self._words = words

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> NDArray[Any]:
        return np.array(self._words, dtype)


def stream(key: int) -> np.random.Generator:
    """The random numbers that follow from 64 bits: those of `Philox(key=key)`, which takes three times as long."""
    return np.random.Generator(np.random.Philox(_Words(key, 0)))  # type: ignore[arg-type]


def random_bits(*counters: int) -> int:
    """64 bits that follow from integers: SplitMix64's output function (Steele, Lea, Flood 2014), one after another."""
    word = 0
    for counter in counters:
        word = _mixed(word, counter)
    return word


def _mixed(word: int, counter: int) -> int:
    """The random bits of the counters that a word comes from and of one more."""
    word = (word ^ counter & WORD) + 0x9E3779B97F4A7C15 & WORD
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & WORD
    word = (word ^ word >> 27) * 0x94D049BB133111EB & WORD
    return word ^ word >> 31


@lru_cache(maxsize=PURPOSES)
def _begun(seed: int, purpose: str) -> int:
    """What all rounds have in common."""
    return random_bits(seed, purpose_word(purpose))


class Key(NamedTuple):
    """What one row's draws of one round follow from."""

    own: int
    """64 random bits of this node."""
    common: int
    """64 random bits that all nodes have in this round."""
    node: int
    """The node itself."""

    def part(self, i: int) -> Key:
        """The key of the i-th part of something, independent of the other parts' and of this one."""
        return Key(random_bits(self.own, i), random_bits(self.common, i), self.node)


@dataclass(slots=True)
class Draw:
    """The random streams of one round, one per row of a stack; not to be changed."""

    # Not frozen, and no cached property: asynchronous runs make one for each thing that happens.
    seed: int
    purpose: str
    nodes: Sequence[int]
    round: int
    _common: int | None = field(default=None, init=False, repr=False, compare=False)

    def generator(self, row: int) -> np.random.Generator:
        """The stream of the node that lives in this row."""
        return generator(self.seed, self.purpose, self.nodes[row], self.round)

    def key(self, row: int) -> Key:
        """The key of the node that lives in this row."""
        node, common = self.nodes[row], self.common
        return Key(_mixed(_mixed(0, common), node), common, node)

    @property
    def common(self) -> int:
        """64 random bits that all nodes have in this round."""
        if self._common is None:
            self._common = _mixed(_begun(self.seed, self.purpose), self.round)
        return self._common
