"""Logistic regression: formulas, stability, optimum, splits, bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import binary_cross_entropy_with_logits

from gossip.workloads import ByLabel, Dirichlet, LogisticRegression


def per_node(n=3, m=8, d=4, seed=0, l2=0.1):
    draw = np.random.default_rng(seed)
    return LogisticRegression(draw.standard_normal((n, m, d)), draw.integers(0, 2, (n, m)), l2=l2)


def pooled(m=100, d=4, **options):
    draw = np.random.default_rng(0)
    features = draw.standard_normal((m, d))
    return LogisticRegression(features, (features[:, 0] + draw.standard_normal(m) > 0) * 2 - 1, **options)


def autograd(A, y, x, l2):
    """Loss and gradient at x (d,) by torch's own loss; labels y are 0 and 1."""
    x = torch.from_numpy(x).clone().requires_grad_()
    loss = binary_cross_entropy_with_logits(torch.tensor(A) @ x, torch.tensor(y, dtype=torch.float64))
    loss = loss + l2 / 2 * x @ x
    loss.backward()
    return loss.item(), x.grad.numpy()


@pytest.mark.parametrize("compiled", [False, True])
def test_gradients_and_losses_are_those_of_autograd(compiled):
    data = per_node()
    workload = data.shard(3, seed=0)
    workload._compiled = compiled
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((2, 4)))
    nodes = [2, 0]
    for examples in (None, torch.tensor([[1, 6, 1], [0, 5, 3]])):
        sample = workload.gradient(x, nodes, examples)
        for row, node in enumerate(nodes):
            rows = slice(None) if examples is None else examples[row].numpy()
            loss, gradient = autograd(data.features[node][rows], data.labels[node][rows], x[row].numpy(), 0.1)
            assert float(sample.loss[row]) == pytest.approx(loss, rel=1e-12)
            np.testing.assert_allclose(sample.gradient[row].numpy(), gradient, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("compiled", [False, True])
def test_large_margins_overflow_nowhere(compiled):
    workload = LogisticRegression([[[1.0], [1.0]]], [[0, 1]], l2=0.0).shard(1, seed=0)
    workload._compiled = compiled
    for x in (-1000.0, 1000.0):
        sample = workload.gradient(torch.tensor([[x]], dtype=torch.float64), [0])
        assert sample.loss.tolist() == [500.0]  # one example is off by 1000, the other one is right
        assert sample.gradient.tolist() == [[np.sign(x) / 2]]
    right = workload.gradient(torch.full((1, 1), 40.0).double(), [0], torch.tensor([[1]]))
    assert float(right.loss[0]) == pytest.approx(np.exp(-40), rel=1e-12)  # no cancellation
    assert float(right.gradient[0, 0]) == pytest.approx(-np.exp(-40), rel=1e-12)
    assert workload.gradient(torch.full((1, 1), torch.nan).double(), [0]).loss.isnan().all()
    assert not workload.gradient(torch.full((1, 1), torch.inf).double(), [0]).loss.isfinite().any()


@given(
    st.integers(5, 150),
    st.integers(1, 30),
    st.integers(0, 2**32),
    st.sampled_from([None, Dirichlet(0.3), ByLabel()]),
    st.booleans(),
    st.booleans(),
    st.data(),
)
@settings(max_examples=200, deadline=None)
def test_bits_do_not_depend_on_the_other_nodes(m, d, seed, split, minibatch, compiled, data):
    draw = np.random.default_rng(seed)
    features, labels = draw.standard_normal((m, d)), draw.integers(0, 2, m)
    n = data.draw(st.integers(1, min(m - m // 5, 12)))
    options = {} if split is None else {"split": split}
    workload = LogisticRegression(features, labels, **options).shard(n, seed)
    workload._compiled = compiled
    x = torch.from_numpy(3 * draw.standard_normal((n, d)))
    sizes = np.array([workload.examples(node) for node in range(n)])
    assert sizes.sum() == m - m // 5
    examples = torch.from_numpy(draw.integers(0, sizes[:, None], (n, 3))) if minibatch else None
    together = workload.gradient(x, range(n), examples)
    nodes = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=n))
    for part in (nodes, [nodes[0]], range(nodes[0], n)):
        rows = torch.tensor(part)
        some = workload.gradient(x[rows], part, None if examples is None else examples[rows])
        assert torch.equal(some.gradient, together.gradient[rows])
        assert torch.equal(some.loss, together.loss[rows])


@pytest.mark.parametrize("compiled", [False, True])
def test_bits_do_not_depend_on_the_threads(compiled):
    workload = per_node(6, 300, 90).shard(6, seed=0)
    workload._compiled = compiled
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((6, 90)))
    threads = torch.get_num_threads()
    samples, evaluations = [], []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            samples.append(workload.gradient(x, range(6)))
            evaluations.append(workload.evaluate(x[0]))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(samples[0].gradient, samples[1].gradient)
    assert torch.equal(samples[0].loss, samples[1].loss)
    assert evaluations[0] == evaluations[1]


@pytest.mark.parametrize("split", [ByLabel(), Dirichlet(0.3)])
def test_splits_deal_out_the_training_examples_with_their_labels(split):
    data = pooled(split=split)
    workload = data.shard(5, seed=3)
    x = np.random.default_rng(2).standard_normal(4)
    sample = workload.gradient(torch.from_numpy(x).expand(5, -1), range(5))
    sizes = np.array([workload.examples(node) for node in range(5)])
    # Weighted by the sizes the shards make up the training set; what is left of the data is the test set.
    train = float(sample.loss @ torch.from_numpy(sizes / 80))
    test = workload.evaluate(torch.from_numpy(x))["test_loss"]
    loss, _ = autograd(data.features, data.labels > 0, x, 1e-3)
    assert sizes.sum() == 80
    assert 0.8 * train + 0.2 * test == pytest.approx(loss, rel=1e-12)
    # The labels lie with their features: the gradient of one example at a time, over all nodes.
    alone = [
        workload.gradient(torch.zeros(1, 4).double(), [node], torch.tensor([[e]])).gradient[0].tolist()
        for node in range(5)
        for e in range(sizes[node])
    ]
    expected = (-0.5 * data.labels[:, None] * data.features).tolist()
    assert len(alone) == 80 and all(row in expected for row in alone)


@pytest.mark.parametrize("n", [1, 7])
def test_optimum_has_gradient_zero(n):
    for workload in (LogisticRegression().shard(n, seed=0), pooled(l2=0.0).shard(n, seed=0)):
        x = workload.optimum
        gradient = workload.gradient(x.expand(n, -1), range(n)).gradient.mean(0)
        assert torch.linalg.vector_norm(gradient) < 1e-10
        assert x.abs().max() > 0.1


def test_optimum_where_full_newton_steps_diverge():
    features = [[[0.013, 10.329], [-1.421, 0.208], [14.247, -0.163], [0.652, 0.034]]]
    workload = LogisticRegression(features, [[-1, -1, 1, -1]], l2=1e-4).shard(1, seed=0)
    assert torch.linalg.vector_norm(workload.gradient(workload.optimum[None], [0]).gradient) < 1e-10


def test_without_a_minimiser_there_is_no_optimum():
    features, labels = np.array([[[1.0], [2.0], [-1.0]]]), [[1, 1, 0]]
    with pytest.raises(ArithmeticError, match=r"^a plane separates the classes, so .* without l2 > 0$"):
        _ = LogisticRegression(features, labels, l2=0.0).shard(1, seed=0).optimum
    assert LogisticRegression(features, labels, l2=1e-3).shard(1, seed=0).optimum.shape == (1,)


def test_an_optimum_out_of_reach_is_an_error():
    # At this scale rounding errors alone make a gradient larger than the tolerance.
    draw = np.random.default_rng(0)
    features = 1e9 * draw.standard_normal((1, 50, 3))
    with pytest.raises(ArithmeticError, match=r"^Newton's method stopped at a gradient norm of \S+$"):
        _ = LogisticRegression(features, draw.integers(0, 2, (1, 50))).shard(1, seed=0).optimum


def test_evaluate_by_hand():
    data = per_node()
    workload = data.shard(3, seed=0)
    x = np.array([0.5, -1.0, 0.0, 2.0])
    A, y = data.features.reshape(-1, 4), data.labels.reshape(-1)
    metrics = workload.evaluate(torch.from_numpy(x))
    assert metrics["test_loss"] == pytest.approx(autograd(A, y, x, 0.1)[0], rel=1e-12)
    assert metrics["test_accuracy"] == np.mean((A @ x > 0) == (y == 1))
    assert workload.evaluate(workload.initial())["test_loss"] == pytest.approx(np.log(2))


def test_labels_of_either_kind_are_the_same():
    data = per_node()
    other = LogisticRegression(torch.from_numpy(data.features), torch.from_numpy(2 * data.labels - 1), l2=0.1)
    x = torch.ones(3, 4, dtype=torch.float64)
    samples = [workload.shard(3, seed=0).gradient(x, range(3)) for workload in (data, other)]
    assert torch.equal(samples[0].gradient, samples[1].gradient)


def test_breast_cancer_is_read_once_standardised_and_split():
    calls = []

    def read(function):
        calls.append(function())
        return calls[-1]

    workload = LogisticRegression().shard(4, seed=0, read=read)
    assert len(calls) == 1
    assert calls[0]["features"].shape == (569, 30)
    assert workload.layout.d == 31
    assert [workload.examples(node) for node in range(4)] == [114] * 4
    A = workload._features
    np.testing.assert_allclose(A[:, :30].mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(A[:, :30].std(0), 1, rtol=1e-12)
    assert np.all(A[:, 30] == 1)
    # 357 benign (label 1) and 212 malignant cases in all
    test_labels = workload._test[1]
    assert len(test_labels) == 113
    assert np.sum(workload._targets == 1) + np.sum(test_labels == 1) == 357
    assert workload.evaluate(workload.optimum)["test_accuracy"] > 0.95


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": np.ones((2, 2))}, "must be given together"),
        ({"labels": np.ones(2)}, "must be given together"),
        ({"features": np.ones((2, 2)), "labels": np.ones(3)}, r"they are \(2, 2\) and \(3,\)"),
        ({"features": np.ones(2), "labels": np.ones(())}, r"they are \(2,\) and \(\)"),
        ({"features": np.ones((0, 2)), "labels": np.ones(0)}, "none of them 0"),
        ({"features": np.full((2, 2), np.inf), "labels": np.ones(2)}, "features must be finite"),
        ({"features": np.ones((2, 2)), "labels": [1, 2]}, r"labels must be 0 and 1, or -1 and \+1"),
        ({"features": np.ones((3, 2)), "labels": [-1, 0, 1]}, "labels must be"),
        ({"features": np.ones((2, 2)), "labels": [1, np.nan]}, "labels must be"),
        ({"l2": -1.0}, "l2 = -1.0 is not allowed; it must be >= 0"),
    ],
)
def test_errors_are_one_line(arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        LogisticRegression(**arguments)
    assert "\n" not in str(error.value) and str(error.value).startswith("LogisticRegression: ")


def test_data_for_another_number_of_nodes():
    with pytest.raises(ValueError, match=r"^LogisticRegression: the data are for 3 nodes, the topology has 5$"):
        per_node(3).shard(5, seed=0)
