"""Noise of prefix sums by tree aggregation.

Dwork, Naor, Pitassi, Rothblum, STOC 2010; Chan, Shi, Song, 2011, arXiv 1009.0328. Every vertex of a binary tree over
the steps has noise of its own, and the prefix of t steps has that of the vertices that cover 1, ..., t: one for each
bit of t that is 1. So what is told of T prefixes holds a step's vector in at most floor(log2 T) + 1 noisy sums.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from algorithms.randomness import generator


def cover(t: int) -> Iterator[tuple[int, int]]:
    """The vertices (level, index) that cover the steps 1, ..., t: at level l, from 2^l index + 1, 2^l steps."""
    end = t
    while end:
        level = (end & -end).bit_length() - 1
        yield level, (end >> level) - 1
        end &= end - 1


def prefix_noise(t: int, size: int, seed: int, tree: int) -> NDArray[np.float64]:
    """(size,): the noise of the prefix of t steps, a sum of standard normal vectors; 0 for t = 0.

    Args:
        t: How many steps.
        size: d.
        seed: What the noise follows from.
        tree: The number of the tree.
    """
    noise = np.zeros(size)
    for level, index in sorted(cover(t)):
        noise += generator(seed, "tree noise", tree, level, index).standard_normal(size)
    return noise
