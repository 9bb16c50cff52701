"""How ranks sum along the fixed binary tree over the nodes of `algorithms.numerics.tree_sum`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from algorithms.numerics.tree_sum import split
from gossip.network.plans.halo import Indices, owners_of


@dataclass(frozen=True)
class Join:
    """An inner node of the tree whose two subtrees are not both on one rank: total[left] += total[right]."""

    left: int
    """First node of the left subtree, which also names the joined one."""

    right: int
    """First node of the right subtree."""

    stop: int
    """The node after the last of the right subtree."""

    left_rank: int
    """The rank that has the left subtree, and then the joined one."""

    right_rank: int
    """The rank that has the right subtree."""


@dataclass(frozen=True)
class TreePlan:
    """How ranks sum over all nodes, each over those that it hosts, and share the total.

    Attributes:
        hosted: The nodes of each rank.
        subtrees: The largest subtrees that one rank owns whole, for each rank.
        joins: How the subtrees are summed up, children before parents.
        shares: (from, to) rank pairs that carry the total back down the tree, in order.
        root: The rank that has the total first: the one that hosts node 0.
    """

    hosted: Sequence[Sequence[int]]
    subtrees: Sequence[Sequence[range]]
    joins: Sequence[Join]
    shares: Sequence[tuple[int, int]]
    root: int

    def sends(self, rank: int) -> int:
        """How many vectors a rank sends to others."""
        up = sum(join.right_rank == rank != join.left_rank for join in self.joins)
        return up + sum(source == rank for source, _ in self.shares)

    def lacking(self, rank: int) -> NDArray[np.bool_]:
        """(n,): the nodes that a rank has heard nothing of when it has summed all that it sums on the way up."""
        lacking = np.ones(sum(map(len, self.hosted)), bool)
        lacking[list(self.hosted[rank])] = False
        for join in self.joins:
            if join.left_rank == rank:
                lacking[join.right : join.stop] = False
        return lacking

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
            joins.append(Join(left.start, right.start, right.stop, ranks[left.start], ranks[right.start]))

        visit(range(len(ranks)))
        informed = {ranks[0]}
        shares = []
        for join in reversed(joins):
            if join.right_rank not in informed:
                informed.add(join.right_rank)
                shares.append((join.left_rank, join.right_rank))
        return cls(hosted, subtrees, joins, shares, ranks[0])


@dataclass(frozen=True)
class NodeTree:
    """The tree as it is when every node is on its own: what is counted.

    Each node v but 0 is the first one of a right subtree. It sends that subtree's part to the node that the subtree to
    its left begins with, and hears the rest from there.
    """

    parent: Indices
    """(n - 1,): to whom nodes 1, 2, ... send."""

    stop: Indices
    """(n - 1,): the node after the last of their subtrees."""

    @classmethod
    def build(cls, n: int) -> NodeTree:
        """The tree over n nodes."""
        parent, stop = np.zeros(n, np.int64), np.zeros(n, np.int64)
        waiting = [range(n)]
        while waiting:
            nodes = waiting.pop()
            if len(nodes) > 1:
                left, right = split(nodes)
                parent[right.start], stop[right.start] = left.start, right.stop
                waiting += left, right
        return cls(parent[1:], stop[1:])

    @cached_property
    def messages(self) -> Indices:
        """(n,): the vectors that each node sends in a sum: its part up, and the total down to each right child."""
        return np.bincount(self.parent, minlength=len(self.parent) + 1) + (np.arange(len(self.parent) + 1) > 0)

    def gathering(self, sizes: Indices, nodes: Indices) -> tuple[Indices, Indices]:
        """What each node sends so that all have the rows of some: (bytes, messages), (n,) each.

        Args:
            sizes: (n,), bytes of each node's row.
            nodes: Those whose rows are wanted, each once.
        """
        sent, messages = np.zeros(len(sizes), np.int64), np.zeros(len(sizes), np.int64)
        wanted = np.zeros(len(sizes), np.int64)
        wanted[nodes] = 1
        children = np.arange(1, len(sizes))
        for counts, per_row in ((sent, wanted * sizes), (messages, wanted)):
            before = np.concatenate([[0], np.cumsum(per_row)])
            up = before[self.stop] - before[children]
            down = before[-1] - up
            if counts is messages:  # one for all rows, if there are any
                up, down = np.minimum(up, 1), np.minimum(down, 1)
            counts[1:] += up
            np.add.at(counts, self.parent, down)
        return sent, messages
