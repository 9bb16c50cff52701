"""Sums along the fixed binary tree."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from algorithms.numerics.tree_sum import fold, split, tree_sum
from gossip.network.plans.tree import NodeTree, TreePlan
from topologies.placement import blocks


def recursive_sum(rows: Tensor, nodes: range) -> Tensor:
    """The definition: a subtree's sum is that of its left child plus that of its right one."""
    if len(nodes) == 1:
        return rows[nodes.start]
    left, right = split(nodes)
    return recursive_sum(rows, left) + recursive_sum(rows, right)


def run(plan: TreePlan, ranks: int, rows: Tensor) -> tuple[list[Tensor], int]:
    """All ranks of a plan in one process: each rank's total, and how many vectors were sent."""
    sums = [{part.start: fold(rows[part.start : part.stop]) for part in plan.subtrees[rank]} for rank in range(ranks)]
    sent = 0
    for join in plan.joins:
        right = sums[join.right_rank].pop(join.right)
        sent += join.left_rank != join.right_rank
        sums[join.left_rank][join.left] = sums[join.left_rank][join.left] + right
    totals: dict[int, Tensor] = {plan.root: sums[plan.root][0]}
    for source, target in plan.shares:
        assert target not in totals
        totals[target] = totals[source]
        sent += 1
    return [totals[rank] for rank in range(ranks)], sent


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 10))
def test_total_is_the_same_bits_for_any_number_of_ranks(n: int, ranks: int, seed: int) -> None:
    ranks = min(n, ranks)
    rows = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed)) * 10.0 ** random.Random(seed).randint(-3, 3)
    expected = recursive_sum(rows, range(n))
    assert torch.equal(fold(rows), expected)

    parts = blocks(n, ranks)
    order = random.Random(seed).sample(range(n), n)
    for hosted in (parts, [sorted(order[node] for node in part) for part in parts]):
        totals, sent = run(TreePlan.build(hosted), ranks, rows)
        assert all(torch.equal(total, expected) for total in totals)
        if ranks == n:
            assert sent == NodeTree.build(n).messages.sum() == 2 * (n - 1)


@settings(deadline=None)
@given(st.integers(1, 40))
def test_messages_of_each_node(n: int) -> None:
    """With a node per rank, a node sends as often as it appears as a sender in the plan."""
    plan = TreePlan.build(blocks(n, n))
    senders = [join.right_rank for join in plan.joins] + [source for source, _ in plan.shares]
    assert NodeTree.build(n).messages.tolist() == [senders.count(node) for node in range(n)]


@pytest.mark.parametrize("n", [*range(1, 18), 100])
def test_a_sum_over_some_nodes_is_that_of_all_with_zeros_for_the_others(n: int) -> None:
    random = torch.Generator().manual_seed(n)
    for count in {1, 2, n // 2, n} & set(range(1, n + 1)):
        nodes = torch.randperm(n, generator=random)[:count].tolist()
        everyone = torch.zeros(n, 4)
        everyone[nodes] = torch.randn(count, 4, generator=random)
        everyone[nodes, 0] = -0.0
        found = tree_sum({node: everyone[node] for node in nodes}, n)
        assert torch.equal(found, fold(everyone))
        assert torch.equal(found.signbit(), fold(everyone).signbit())
