"""Sums along a fixed binary tree over the node numbers, so that they do not depend on who hosts whom.

A subtree is a range of nodes; its left child is the largest power of two of them that leaves the right child at
least one. Summing neighbours (0, 1), (2, 3), ... level by level, an odd one out passing up as it is, walks the
same tree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
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


def fold_each(row: Callable[[int], Tensor], nodes: range) -> Tensor:
    """What `fold` gives for a subtree's rows (d,), each of which is made when it is added: few exist at a time."""
    if len(nodes) == 1:
        return row(nodes.start)
    left, right = split(nodes)
    total = fold_each(row, left)
    return total + fold_each(row, right)


def tree_sum(rows: Mapping[int, Tensor], n: int) -> Tensor:
    """The sum of some nodes' rows with the bits of `fold` over all n nodes, of which the others have zeros.

    Args:
        rows: Node -> (d,), of at least one node.
        n: The number of all nodes.

    Raises:
        ValueError: there are no rows, whose length would be that of the sum.
    """
    if not rows:
        raise ValueError("the sum of no rows has no length")
    width, level = n, dict(rows)
    while width > 1:
        above: dict[int, Tensor] = {}
        for place, row in level.items():
            beside = place ^ 1
            if beside in level:
                if place < beside:
                    above[place // 2] = row + level[beside]
            else:
                # What is added is 0, which matters to the sign of a zero; an odd one out passes up as it is.
                above[place // 2] = row + 0.0 if beside < width else row
        width, level = (width + 1) // 2, above
    (total,) = level.values()
    return total
