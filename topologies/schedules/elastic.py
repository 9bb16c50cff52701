"""Elastic averaging by turns on the levels of a tree."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from topologies.graphs.arguments import count
from topologies.schedule import Schedule
from topologies.topology import Topology

__all__ = ["elastic_averaging_tree"]


def elastic_averaging_tree(
    n: int, groups: int | None = None, alpha: float | None = None, root_alpha: float | None = None, root_every: int = 2
) -> Schedule:
    """Elastic averaging on a tree of two levels: each group of leaves has an anchor, and the anchors have a root.

    The first n - groups - 1 nodes are the leaves, in groups of neighbouring numbers whose sizes differ by at most 1;
    then come the anchors of the groups, and the root is last. Nodes a and b at the ends of an edge pull each other by
    moving averages, x_a <- x_a + alpha (x_b - x_a) and likewise x_b, all at the same time: in the last of every
    `root_every` rounds along the edges at the root, with root_alpha, in the others along those of the leaves.

    A round is W = I - alpha L, with L the Laplacian of stars: with m leaves one has the eigenvalues 1, 1 - alpha
    (m - 1 times) and 1 - (m + 1) alpha, which all are above -1 for alpha < 2 / (m + 1); 2 / (m + 2) contracts fastest.

    Source: EASGD Tree of S. Zhang, "Distributed stochastic optimization for deep learning", PhD thesis, New York
    University 2016, arXiv 1605.02216, where nodes do this asynchronously. Its two periods of communication are those
    of the two levels.

    Args:
        n: number of nodes, anchors and root included, at least 3.
        groups: number of groups, at least 1 and at most the number of leaves, (n - 1) / 2; by default the one nearest
            to the square root of n - 1 from below, but for that limit.
        alpha: between leaves and their anchors, in (0, 2 / (m + 1)) with m the leaves of the largest group;
            2 / (m + 2) by default.
        root_alpha: between anchors and root, in (0, 2 / (groups + 1)); 2 / (groups + 2) by default.
        root_every: rounds from one use of the edges at the root to the next, at least 2.

    Raises:
        ValueError: a number is out of range.
    """
    name = "elastic_averaging_tree"
    if count(name, n) < 3:
        raise ValueError(f"{name} needs a leaf, an anchor and a root, so n of at least 3, got {n}")
    groups = min(math.isqrt(n - 1), (n - 1) // 2) if groups is None else count(name, groups, "groups")
    leaves = n - groups - 1
    if groups > leaves:
        raise ValueError(f"{name} needs groups to be at most (n - 1) / 2 = {(n - 1) // 2}, got {groups}")
    count(name, root_every, "root_every", 2)
    parts = np.array_split(np.arange(leaves), groups)
    of_leaves = _elastic(n, name, "alpha", alpha, dict(zip(range(leaves, n - 1), parts, strict=True)))
    of_root = _elastic(n, name, "root_alpha", root_alpha, {n - 1: np.arange(leaves, n - 1)})
    return Schedule([of_leaves] * (root_every - 1) + [of_root], name=name)


def _elastic(n: int, name: str, option: str, alpha: float | None, stars: dict[int, NDArray[np.int64]]) -> Topology:
    """W = I - alpha L, with L the Laplacian of stars: hub -> the nodes around it."""
    most = max(len(around) for around in stars.values())
    alpha = 2 / (most + 2) if alpha is None else alpha
    if not 0 < alpha < 2 / (most + 1):
        raise ValueError(f"{name} needs {option} in (0, {2 / (most + 1):.4g}), got {alpha!r}")
    W = np.eye(n)
    for hub, around in stars.items():
        W[around, around] = 1 - alpha
        W[around, hub] = W[hub, around] = alpha
        W[hub, hub] = 1 - len(around) * alpha
    return Topology.from_matrix(W, name=name, connected=False)
