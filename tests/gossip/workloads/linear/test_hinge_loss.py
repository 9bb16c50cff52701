"""The hinge loss: formulas, in both ways of computing, the kink, and what it does not have."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algorithms import Saga
from gossip.workloads import HingeLoss


@pytest.mark.parametrize("compiled", [False, True])
def test_losses_and_gradients(compiled: bool) -> None:
    draw = np.random.default_rng(0)
    A, y = draw.standard_normal((3, 8, 70)), draw.integers(0, 2, (3, 8))
    workload = HingeLoss(A, y, l2=0.1).shard(3, 0)
    workload._compiled = compiled
    x = draw.standard_normal((2, 70)) / 5
    for examples in (None, torch.tensor([[1, 6, 1], [0, 5, 3]])):
        sample = workload.gradient(torch.tensor(x), [2, 0], examples)
        for row, node in enumerate((2, 0)):
            chosen = slice(None) if examples is None else examples[row].numpy()
            signs, features = 2.0 * y[node][chosen] - 1, A[node][chosen]
            margins = signs * (features @ x[row])
            loss = np.maximum(0, 1 - margins).mean() + 0.05 * x[row] @ x[row]
            gradient = -((margins < 1) * signs) @ features / len(signs) + 0.1 * x[row]
            assert float(sample.loss[row]) == pytest.approx(loss, rel=1e-12)
            np.testing.assert_allclose(sample.gradient[row], gradient, rtol=1e-11, atol=1e-15)
    examples = torch.tensor([[0, 3], [7, 7]])
    losses, slopes = workload.slopes(torch.tensor(x), [1, 1], examples)
    margins = (2.0 * y[1] - 1) * (A[1] @ x.T).T
    wanted = np.maximum(0, 1 - np.take_along_axis(margins, examples.numpy(), 1)) + 0.05 * (x**2).sum(1)[:, None]
    np.testing.assert_allclose(losses, wanted, rtol=1e-12)
    assert set(np.unique(slopes)) <= {-1.0, 0.0, 1.0}


@pytest.mark.parametrize("compiled", [False, True])
def test_at_the_kink_nothing_pulls(compiled: bool) -> None:
    workload = HingeLoss([[[1.0], [1.0]]], [[0, 1]], l2=0.0).shard(1, seed=0)
    workload._compiled = compiled
    losses, slopes = workload.slopes(torch.ones(1, 1).double(), [0], torch.tensor([[0, 1]]))
    assert losses.tolist() == [[2.0, 0.0]] and slopes.tolist() == [[1.0, 0.0]]


def test_what_is_reported_and_what_there_is_not() -> None:
    cancer = HingeLoss().shard(4, 0)
    metrics = cancer.evaluate(cancer.initial())
    assert metrics == {"test_loss": 1.0, "test_accuracy": 0.0}
    with pytest.raises(ValueError, match="the hinge loss has a kink"):
        Saga(3, sampling="importance").start(cancer, torch.zeros(4, 31).double(), range(4), 0)
    with pytest.raises(ValueError, match=r"HingeLoss: l2 = -1.0 is not allowed"):
        HingeLoss(l2=-1.0)
