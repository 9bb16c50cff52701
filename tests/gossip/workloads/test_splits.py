"""Splits: every example on exactly one node, and the skew that each rule promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossip.workloads import ByLabel, Dirichlet, Iid, WithReplacement
from gossip.workloads.splits import Split, held_out

rules = st.one_of(
    st.just(Iid()),
    st.just(ByLabel()),
    st.sampled_from([1e-8, 1e-3, 0.1, 0.5, 1.0, 100.0, 1e6]).map(Dirichlet),
)


@given(rules, st.integers(1, 120), st.integers(1, 12), st.integers(0, 2**32), st.data())
@settings(max_examples=300, deadline=None)
def test_every_example_is_on_exactly_one_node_and_no_node_is_empty(rule, m, classes, seed, data):
    n = data.draw(st.integers(1, m))
    labels = np.random.default_rng(seed).integers(0, classes, m)
    shards = rule.assign(labels, n, seed)
    assert len(shards) == n
    assert all(shard.dtype == np.int64 and len(shard) >= 1 for shard in shards)
    assert np.array_equal(np.sort(np.concatenate(shards)), np.arange(m))
    if not isinstance(rule, Dirichlet):
        assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_with_replacement_nodes_have_as_many_examples_as_they_ask_for():
    labels = np.zeros(50)
    shards = WithReplacement(40).assign(labels, 300, seed=1)
    counts = np.bincount(np.concatenate(shards), minlength=50)
    assert {len(shard) for shard in shards} == {40} and len(counts) == 50
    assert np.abs(counts - 240).max() < 5 * np.sqrt(240)
    assert min(len(np.unique(shard)) for shard in shards) < 40  # as often as 50 things can be drawn
    assert all(map(np.array_equal, WithReplacement(40).assign(labels, 3, seed=1), shards))
    with pytest.raises(ValueError, match=r"^WithReplacement: examples = 0 is not allowed; it must be >= 1$"):
        WithReplacement(0)


@pytest.mark.parametrize("rule", [Iid(), Dirichlet(0.5), ByLabel(), WithReplacement(9)])
def test_the_seed_alone_decides(rule):
    labels = np.arange(200) % 7
    first, again, other = (rule.assign(labels, 6, seed) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("rule", [Iid(), Dirichlet(0.5), ByLabel()])
@pytest.mark.parametrize("n", [0, 11])
def test_too_few_examples_are_an_error_of_one_line(rule, n):
    with pytest.raises(ValueError, match=f"^10 training examples cannot be split over {n} nodes, at least one each$"):
        rule.assign(np.zeros(10), n, 0)


@pytest.mark.parametrize("rule", [Dirichlet(0.5), ByLabel()])
def test_rules_that_use_labels_refuse_targets_of_several_numbers(rule):
    with pytest.raises(ValueError, match=r"^\w+ needs one label per example, the targets have shape \(10, 2\)$"):
        rule.assign(np.zeros((10, 2)), 2, 0)
    assert len(Iid().assign(np.zeros((10, 2)), 2, 0)) == 2


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan"), float("inf")])
def test_alpha_is_positive(alpha):
    with pytest.raises(ValueError, match=r"^Dirichlet: alpha = .* is not allowed; it must be > 0$"):
        Dirichlet(alpha)


def test_by_label_is_sorted_with_examples_of_a_label_in_random_order():
    labels = np.random.default_rng(0).integers(0, 5, 1000)
    order = np.concatenate(ByLabel().assign(labels, 8, 0))
    assert np.all(np.diff(labels[order]) >= 0)
    first = order[labels[order] == 0]
    assert not np.array_equal(first, np.sort(first))


def test_iid_is_random_and_balanced():
    labels = np.repeat(np.arange(4), 1000)
    for shard in Iid().assign(labels, 4, 0):
        # 250 of each expected, deviation about 12
        assert np.all(np.abs(np.bincount(labels[shard], minlength=4) - 250) < 70)


def test_dirichlet_proportions_have_the_variance_of_the_distribution():
    classes, each, n, alpha = 400, 500, 5, 0.7
    labels = np.repeat(np.arange(classes), each)
    counts = [np.bincount(labels[s], minlength=classes) for s in Dirichlet(alpha).assign(labels, n, 1)]
    shares = np.array(counts) / each
    expected = (1 / n) * (1 - 1 / n) / (n * alpha + 1)  # of a component of Dir(alpha, ..., alpha)
    assert shares.mean(axis=1) == pytest.approx(np.full(n, 1 / n), abs=0.06)
    assert shares.var() == pytest.approx(expected, rel=0.12)


def test_dirichlet_moves_examples_from_the_largest_node_to_empty_ones():
    # One class that goes to a single node: all the others are empty before the repair.
    shards = Dirichlet(1e-8).assign(np.zeros(20), 6, 0)
    assert sorted(map(len, shards)) == [1, 1, 1, 1, 1, 15]


def test_held_out_is_a_fixed_random_fifth():
    train, test = held_out(1003)
    assert (len(train), len(test)) == (803, 200)
    assert np.array_equal(np.sort(np.concatenate([train, test])), np.arange(1003))
    assert abs(test.mean() - 501) < 100  # from all over the data
    # The very choice: another one would change every result on the built-in data.
    assert held_out(20)[1].tolist() == [19, 5, 12, 4]
    with pytest.raises(ValueError, match=r"^a fifth .* 4 are too few, 5 is the least$"):
        held_out(4)


def test_the_base_class_has_no_rule():
    with pytest.raises(NotImplementedError):
        Split().assign(np.zeros(3), 1, 0)
