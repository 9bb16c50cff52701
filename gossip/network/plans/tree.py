"""How ranks sum along the fixed binary tree over the nodes of `algorithms.numerics.tree_sum`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from algorithms.numerics.tree_sum import fold, split
from gossip.network.plans.halo import owners_of


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
    """How ranks sum over all nodes, each over those that it hosts, and share the total.

    Attributes:
        subtrees: The largest subtrees that one rank owns whole, for each rank.
        joins: How the subtrees are summed up, children before parents.
        shares: (from, to) rank pairs that carry the total back down the tree, in order.
        root: The rank that has the total first: the one that hosts node 0.
    """

    subtrees: Sequence[Sequence[range]]
    joins: Sequence[Join]
    shares: Sequence[tuple[int, int]]
    root: int

    def sends(self, rank: int) -> int:
        """How many vectors a rank sends to others."""
        up = sum(join.right_rank == rank != join.left_rank for join in self.joins)
        return up + sum(source == rank for source, _ in self.shares)

    @classmethod
    def build(cls, hosted: Sequence[Sequence[int]]) -> TreePlan:
        """The plan when rank r hosts the nodes `hosted[r]`."""
        ranks = owners_of(hosted).tolist()
        ends = list(range(1, len(ranks) + 1))  # of the nodes from here on that are on the same rank
        for node in reversed(range(len(ranks) - 1)):
            if ranks[node] == ranks[node + 1]:
                ends[node] = ends[node + 1]
        subtrees: list[list[range]] = [[] for _ in hosted]
        joins: list[Join] = []

        def visit(nodes: range) -> None:
            if nodes.stop <= ends[nodes.start]:
                subtrees[ranks[nodes.start]].append(nodes)
                return
            left, right = split(nodes)
            visit(left)
            visit(right)
            joins.append(Join(left.start, right.start, ranks[left.start], ranks[right.start]))

        visit(range(len(ranks)))
        informed = {ranks[0]}
        shares = []
        for join in reversed(joins):
            if join.right_rank not in informed:
                informed.add(join.right_rank)
                shares.append((join.left_rank, join.right_rank))
        return cls(subtrees, joins, shares, ranks[0])


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
