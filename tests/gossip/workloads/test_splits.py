"""Splits: every example on exactly one node, and the skew that each rule promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossip.workloads import ByLabel, Dirichlet, DirichletSizes, Iid, LabelsEach, LabelShards, WithReplacement
from gossip.workloads.splits import Split, held_out

rules = st.one_of(
    st.just(Iid()),
    st.just(ByLabel()),
    st.sampled_from([1e-8, 1e-3, 0.1, 0.5, 1.0, 100.0, 1e6]).map(Dirichlet),
    st.sampled_from([1e-8, 0.1, 1.0, 1e6]).map(DirichletSizes),
    st.just(LabelShards(1)),
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
    if not isinstance(rule, Dirichlet | DirichletSizes):
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


@pytest.mark.parametrize(
    "rule",
    [Iid(), Dirichlet(0.5), ByLabel(), WithReplacement(9), DirichletSizes(), LabelShards(), LabelsEach()],
    ids=str,
)
def test_the_seed_alone_decides(rule):
    labels = np.arange(200) % 7
    first, again, other = (rule.assign(labels, 6, seed) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize(
    "rule", [Iid(), Dirichlet(0.5), ByLabel(), DirichletSizes(), LabelShards(), LabelsEach()], ids=str
)
@pytest.mark.parametrize("n", [0, 11])
def test_too_few_examples_are_an_error_of_one_line(rule, n):
    with pytest.raises(ValueError, match=f"^10 training examples cannot be split over {n} nodes, at least one each$"):
        rule.assign(np.zeros(10), n, 0)


@pytest.mark.parametrize("rule", [Dirichlet(0.5), ByLabel(), LabelShards(), LabelsEach()], ids=str)
def test_rules_that_use_labels_refuse_targets_of_several_numbers(rule):
    with pytest.raises(ValueError, match=r"^\w+ needs one label per example, the targets have shape \(10, 2\)$"):
        rule.assign(np.zeros((10, 2)), 2, 0)
    assert len(Iid().assign(np.zeros((10, 2)), 2, 0)) == 2


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("rule", [Dirichlet, DirichletSizes])
def test_alpha_is_positive(rule, alpha):
    with pytest.raises(ValueError, match=rf"^{rule.__name__}: alpha = .* is not allowed; it must be > 0$"):
        rule(alpha)


def test_dirichlet_sizes_have_the_variance_of_the_distribution_and_labels_alike():
    n, m, alpha = 5, 4000, 0.7
    labels = np.arange(m) % 2
    shards = [DirichletSizes(alpha).assign(labels, n, seed) for seed in range(200)]
    shares = np.array([[len(shard) for shard in each] for each in shards]) / m
    assert shares.var() == pytest.approx((1 / n) * (1 - 1 / n) / (n * alpha + 1), rel=0.12)
    large = max(shards[0], key=len)
    assert labels[large].mean() == pytest.approx(0.5, abs=0.06)


def test_shards_are_parts_of_what_is_sorted_by_label():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 60))  # as McMahan's, 20 shards of 30
    shards = LabelShards(2).assign(labels, 10, 0)
    assert {len(shard) for shard in shards} == {60}
    halves = [np.unique(labels[half]) for shard in shards for half in np.split(shard, 2)]
    assert all(len(half) == 1 for half in halves)
    assert [int(sum(half)) for half in halves] != sorted(int(sum(half)) for half in halves)  # by lot
    assert np.array_equal(np.sort(np.concatenate(shards)), np.arange(600))
    with pytest.raises(ValueError, match=r"^LabelShards: 10 examples cannot be cut into 3 shards for 4 nodes$"):
        LabelShards(3).assign(np.zeros(10), 4, 0)


@given(st.integers(1, 8), st.integers(1, 12), st.integers(0, 99), st.data())
@settings(max_examples=150, deadline=None)
def test_each_node_has_exactly_k_labels_and_all_are_held_alike(kinds, n, seed, data):
    k = data.draw(st.integers(-(-kinds // n), kinds))
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(kinds) + 3, 12 + seed % 5))
    shards = LabelsEach(k).assign(labels, n, seed)
    assert np.array_equal(np.sort(np.concatenate(shards)), np.arange(len(labels)))
    held = np.array([[(labels[shard] == label).sum() for label in range(3, kinds + 3)] for shard in shards])
    assert ((held > 0).sum(axis=1) == k).all()
    holders = (held > 0).sum(axis=0)
    assert holders.min() >= 1 and holders.max() - holders.min() <= 1
    for column in held.T:
        assert np.ptp(column[column > 0]) <= 1


@pytest.mark.parametrize(
    ("k", "n", "says"),
    [
        (4, 6, r"labels = 4 is not allowed; with 3 labels and 6 nodes it must be in \[1, 3\], so that all are held"),
        (1, 2, r"labels = 1 is not allowed; with 3 labels and 2 nodes it must be in \[2, 3\], so that all are held"),
        (3, 8, "label 2 has 1 examples, too few for the 8 nodes that would hold it; take fewer labels each"),
        (0, 8, "labels = 0 is not allowed; it must be >= 1"),
    ],
)
def test_labels_that_cannot_be_held_are_refused(k, n, says):
    labels = np.array([0] * 10 + [1] * 10 + [2])
    with pytest.raises(ValueError, match=f"^LabelsEach: {says}"):
        LabelsEach(k).assign(labels, n, 0)


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
