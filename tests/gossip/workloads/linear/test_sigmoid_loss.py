"""The sigmoid loss: formulas, single examples, smoothness, what is reported."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gossip.workloads import LeastSquares, LogisticRegression, SigmoidLoss


def data(n=3, m=8, d=70):
    draw = np.random.default_rng(0)
    return draw.standard_normal((n, m, d)), draw.integers(0, 2, (n, m))


def autograd(A, y, x, l2):
    x = torch.tensor(x, requires_grad=True)
    margins = torch.tensor((2.0 * y - 1)[:, None] * A) @ x
    loss = (1 / (1 + margins.exp())).mean()
    loss = loss + l2 / 2 * x @ x
    loss.backward()
    return loss.item(), x.grad.numpy()


@pytest.mark.parametrize("compiled", [False, True])
def test_gradients_and_losses_are_those_of_autograd(compiled):
    A, y = data()
    workload = SigmoidLoss(A, y, l2=0.1).shard(3, 0)
    workload._compiled = compiled
    x = np.random.default_rng(1).standard_normal((2, 70)) / 5
    for examples in (None, torch.tensor([[1, 6, 1], [0, 5, 3]])):
        sample = workload.gradient(torch.tensor(x), [2, 0], examples)
        for row, node in enumerate((2, 0)):
            rows = slice(None) if examples is None else examples[row].numpy()
            loss, gradient = autograd(A[node][rows], y[node][rows], x[row], 0.1)
            assert float(sample.loss[row]) == pytest.approx(loss, rel=1e-12)
            np.testing.assert_allclose(sample.gradient[row], gradient, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("compiled", [False, True])
def test_large_margins_overflow_nowhere(compiled):
    workload = SigmoidLoss([[[1.0], [1.0]]], [[0, 1]]).shard(1, seed=0)
    workload._compiled = compiled
    for x in (-1000.0, 1000.0):
        sample = workload.gradient(torch.tensor([[x]], dtype=torch.float64), [0])
        assert sample.loss.tolist() == [0.5] and sample.gradient.tolist() == [[0.0]]
    right = workload.gradient(torch.full((1, 1), 40.0).double(), [0], torch.tensor([[1]]))
    assert float(right.loss[0]) == pytest.approx(np.exp(-40), rel=1e-12)
    assert float(right.gradient[0, 0]) == pytest.approx(-np.exp(-40), rel=1e-12)


def linear(kind):
    A, y = data()
    if kind == "least squares":
        return LeastSquares(A, y, l2=0.1)
    return (SigmoidLoss if kind == "sigmoid" else LogisticRegression)(A, y, l2=0.1).shard(3, 0)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("kind", ["sigmoid", "logistic", "least squares"])
def test_single_examples(kind, compiled):
    """Losses, slopes and combinations agree with the gradients of batches of one, and rows do not see each other."""
    workload = linear(kind)
    getattr(workload, "_model", workload)._compiled = compiled
    draw = np.random.default_rng(2)
    x, nodes = torch.tensor(draw.standard_normal((4, 70)) / 5), [2, 0, 2, 1]
    examples = torch.tensor(draw.integers(0, 8, (4, 5)))
    losses, slopes = workload.slopes(x, nodes, examples)
    assert torch.equal(losses, workload.losses(x, nodes, examples))
    for j in range(5):
        alone = workload.gradient(x, nodes, examples[:, j : j + 1])
        np.testing.assert_allclose(losses[:, j], alone.loss, rtol=1e-12)
        one = workload.combine(slopes[:, j : j + 1], nodes, examples[:, j : j + 1]) + workload.l2 * x
        np.testing.assert_allclose(one, alone.gradient, rtol=1e-11, atol=1e-14)
    mean = workload.combine(slopes, nodes, examples)
    np.testing.assert_allclose(mean + 0.1 * x, workload.gradient(x, nodes, examples).gradient, rtol=1e-11, atol=1e-14)
    for part in ([1], [3, 0]):
        where = [nodes[row] for row in part]
        some = workload.slopes(x[part], where, examples[part])
        assert torch.equal(some[0], losses[part]) and torch.equal(some[1], slopes[part])
        assert torch.equal(workload.combine(slopes[part], where, examples[part]), mean[part])
    with pytest.raises(IndexError):
        workload.losses(x, nodes, examples + 8)


def test_smoothness_bounds_the_curvature():
    """And is reached: by the second derivative of the loss along an example."""
    z = np.linspace(-6, 6, 100_001)
    second = {
        "sigmoid": np.abs(np.gradient(np.gradient(1 / (1 + np.exp(z)), z), z)).max(),
        "logistic": np.abs(np.gradient(np.gradient(np.log1p(np.exp(-z)), z), z)).max(),
        "least squares": 1.0,
    }
    A, _ = data()
    for kind, curvature in second.items():
        constants = linear(kind).smoothness(1).numpy()
        np.testing.assert_allclose(constants, curvature * (A[1] ** 2).sum(axis=1) + 0.1, rtol=1e-4)


def test_what_is_reported():
    A, y = data()
    workload = SigmoidLoss(A, y, l1=0.3, l2=0.1).shard(3, 0)
    x = np.random.default_rng(1).standard_normal(70) / 5
    loss, _ = autograd(A.reshape(-1, 70), y.reshape(-1), x, 0.1)
    reported = workload.evaluate(torch.tensor(x))
    assert reported["test_loss"] == pytest.approx(loss + 0.3 * np.abs(x).sum(), rel=1e-12)
    assert reported["objective"] == pytest.approx(reported["test_loss"], rel=1e-12)  # nothing is held out
    assert reported["test_accuracy"] == np.mean((A.reshape(-1, 70) @ x > 0) == (y.reshape(-1) == 1))
    cancer = SigmoidLoss().shard(4, 0)
    assert cancer.layout.d == 31 and sum(map(cancer.examples, range(4))) == 456
    assert cancer.evaluate(cancer.initial())["objective"] == 0.5


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"l1": -1.0}, "SigmoidLoss: l1 = -1.0"),
        ({"l2": -1.0}, "SigmoidLoss: l2 = -1.0"),
        ({"features": np.ones((3, 2))}, "SigmoidLoss: features and labels must be given together"),
        ({"features": np.ones((3, 2)), "labels": [1, 2, 3]}, "SigmoidLoss: labels must be"),
    ],
)
def test_refused(options, says):
    with pytest.raises(ValueError, match=says):
        SigmoidLoss(**options)
