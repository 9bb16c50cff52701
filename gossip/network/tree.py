"""Sums along a fixed binary tree over the node numbers, so that they do not depend on who hosts whom.

A subtree is a range of nodes; its left child is the largest power of two of them that leaves the right child at
least one. Summing neighbours (0, 1), (2, 3), ... level by level, an odd one out passing up as it is, walks the
same tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def split(nodes: range) -> tuple[range, range]:
    """The two children of a subtree of at least two nodes."""
    middle = nodes.start + (1 << ((len(nodes) - 1).bit_length() - 1))
    return range(nodes.start, middle), range(middle, nodes.stop)


def fold(rows: Tensor) -> Tensor:
    """The sum of a whole subtree's rows: (m, d) -> (d,)."""
    while len(rows) > 1:
        even = len(rows) - len(rows) % 2
        rows = torch.cat([rows[0:even:2] + rows[1:even:2], rows[even:]])
    return rows[0]


class Total:
    """The sum of a stack over all nodes, from the moment it is begun. This one is for nodes that share a process.

    Args:
        value: (k, d), the local rows.
    """

    def __init__(self, value: Tensor) -> None:
        self._value = value

    def wait(self) -> Tensor:
        """(d,), once it is there."""
        return fold(self._value)


@dataclass(frozen=True)
class Join:
    """An inner node of the tree whose two subtrees are not both on one rank: total[left] += total[right]."""

    left: int  # first node of the left subtree, which also names the joined one
    right: int  # first node of the right subtree
    left_rank: int
    right_rank: int


@dataclass(frozen=True)
class TreePlan:
    """How ranks that host contiguous blocks of nodes sum over all nodes and share the total.

    Attributes:
        subtrees: The largest subtrees that one rank owns whole, for each rank.
        joins: How the subtrees are summed up, children before parents.
        shares: (from, to) rank pairs that carry the total back down the tree, in order.
    """

    subtrees: Sequence[Sequence[range]]
    joins: Sequence[Join]
    shares: Sequence[tuple[int, int]]

    def sends(self, rank: int) -> int:
        """How many vectors a rank sends to others."""
        up = sum(join.right_rank == rank != join.left_rank for join in self.joins)
        return up + sum(source == rank for source, _ in self.shares)

    @classmethod
    def build(cls, blocks: Sequence[range]) -> TreePlan:
        """The plan when rank r hosts the nodes `blocks[r]`."""
        starts = [block.start for block in blocks]
        subtrees: list[list[range]] = [[] for _ in blocks]
        joins: list[Join] = []

        def owner(node: int) -> int:
            return int(np.searchsorted(starts, node, side="right")) - 1

        def visit(nodes: range) -> None:
            rank = owner(nodes.start)
            if nodes.stop <= blocks[rank].stop:
                subtrees[rank].append(nodes)
                return
            left, right = split(nodes)
            visit(left)
            visit(right)
            joins.append(Join(left.start, right.start, rank, owner(right.start)))

        visit(range(blocks[0].start, blocks[-1].stop))
        informed = {0}
        shares = []
        for join in reversed(joins):
            if join.right_rank not in informed:
                informed.add(join.right_rank)
                shares.append((join.left_rank, join.right_rank))
        return cls(subtrees, joins, shares)


def messages_per_node(n: int) -> NDArray[np.int64]:
    """(n,): vectors that each node sends in one sum over all nodes, with every node on its own.

    A node sends its subtree's sum up once, unless it is node 0, and the total down to each right child.
    """
    sent = np.ones(n, np.int64)
    sent[0] = 0
    stack = [range(n)]
    while stack:
        nodes = stack.pop()
        if len(nodes) > 1:
            sent[nodes.start] += 1
            stack += split(nodes)
    return sent
