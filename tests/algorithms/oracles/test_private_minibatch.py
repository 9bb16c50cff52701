"""DP-SGD: clipping against loops over examples, noise against its law, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from algorithms import PrivateMinibatch, ShardedWorkload
from gossip.workloads import Digits, HingeLoss, LeastSquares, LogisticRegression
from gossip.workloads.neural.supervised import Supervised

CLIP = 0.7


def convolutional() -> Supervised:
    """A small model that is no perceptron, and has a frozen parameter."""
    random = torch.Generator().manual_seed(3)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 2, 3), nn.GroupNorm(1, 2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3)
    )
    model[5].bias.requires_grad_(False)
    inputs, labels = torch.randn(20, 16, generator=random), torch.randint(0, 3, (20,), generator=random)
    return Supervised(
        model,
        cross_entropy,
        inputs,
        labels,
        test_inputs=inputs,
        test_targets=labels,
        shards=[np.arange(8), np.arange(8, 20)],
        classification=True,
    )


def of_numbers() -> Supervised:
    random = torch.Generator().manual_seed(3)
    inputs, targets = torch.randn(20, 5, generator=random), torch.randn(20, 2, generator=random)
    torch.manual_seed(0)
    return Supervised(
        nn.Sequential(nn.Linear(5, 4, bias=False), nn.Tanh(), nn.Linear(4, 2)),
        mse_loss,
        inputs,
        targets,
        test_inputs=inputs,
        test_targets=targets,
        shards=[np.arange(8), np.arange(8, 20)],
        classification=False,
    )


def squares() -> ShardedWorkload:
    random = np.random.default_rng(0)
    return LeastSquares(random.normal(size=(2, 9, 5)), random.normal(size=(2, 9)), l2=0.3).shard(2, 0)


WORKLOADS = {
    "logistic": lambda: LogisticRegression(l2=0.2).shard(2, 0),
    "hinge": lambda: HingeLoss(l2=0.0).shard(2, 0),
    "squares": squares,
    "perceptron": lambda: Digits(hidden=5).shard(2, 0),
    "numbers": of_numbers,
    "convolutional": convolutional,
}


@pytest.mark.parametrize("name", WORKLOADS)
def test_clipped_gradients_are_those_of_a_loop_over_examples(name: str) -> None:
    workload = WORKLOADS[name]()
    start = workload.initial()
    x = torch.stack([start, start + 0.5]) + 0.3
    examples = torch.tensor([[1, 4, 6, 1], [0, 7, 2, 3]])
    found = workload.clipped_gradient(x, [0, 1], examples, CLIP)
    tolerance, clipped = 1e-10 if x.dtype == torch.float64 else 1e-6, []
    for row in range(2):
        naive, losses = torch.zeros(x.shape[1], dtype=torch.float64), []
        for example in examples[row].tolist():
            alone = workload.gradient(x[row : row + 1], [row], torch.tensor([[example]]))
            norm = float(alone.gradient.double().norm())
            naive += alone.gradient[0].double() * min(1, CLIP / norm) / 4
            losses.append(float(alone.loss))
            clipped.append(norm > CLIP)
        assert torch.allclose(found.gradient[row].double(), naive, atol=tolerance, rtol=0)
        assert float(found.loss[row]) == pytest.approx(np.mean(losses), rel=1e-5)
    assert any(clipped)
    alone = workload.clipped_gradient(x[1:], [1], examples[1:], CLIP)
    assert torch.equal(alone.gradient[0], found.gradient[1])  # whichever nodes are computed with it


@pytest.mark.parametrize("sampling", ["poisson", "without replacement"])
def test_noise_and_clipped_sum(sampling: str) -> None:
    workload = LogisticRegression().shard(3, 0)
    x, nodes = workload.initial().repeat(2, 1) + 0.1, [0, 2]
    oracle = PrivateMinibatch(8, CLIP, 0.0, sampling=sampling)  # type: ignore[arg-type]
    noisy = PrivateMinibatch(8, CLIP, 2.5, sampling=sampling)  # type: ignore[arg-type]
    state, noise, sizes = oracle.start(workload, x, nodes, seed=5), [], []
    for step in range(300):
        plain = oracle.sample(state, workload, x, nodes, step, seed=5)
        noise.append(noisy.sample(state, workload, x, nodes, step, seed=5).gradient - plain.gradient)
        chosen = oracle.examples(workload.examples(2), 2, step, seed=5)
        sizes.append(len(chosen))
        if step < 3:
            wanted = workload.clipped_gradient(x[1:], [2], torch.from_numpy(chosen)[None], CLIP).gradient[0]
            assert torch.allclose(plain.gradient[1], wanted * len(chosen) / 8, atol=1e-12)
    assert state.gradients.tolist() == [2 * 300 * 8] * 2
    values = torch.stack(noise).numpy() / (2.5 * CLIP / 8)
    assert abs(np.mean(values**2) - 1) < 5 * np.sqrt(2 / values.size)
    assert abs(np.mean(values)) < 5 / np.sqrt(values.size)
    assert abs(np.mean(values[:, 0] * values[:, 1])) < 5 / np.sqrt(values[:, 0].size)  # each node's is its own
    rate = 8 / workload.examples(2)
    if sampling == "poisson":
        error = np.sqrt(workload.examples(2) * rate * (1 - rate) / 300)
        assert abs(np.mean(sizes) - 8) < 5 * error and len(set(sizes)) > 5
    else:
        assert set(sizes) == {8}


def test_an_empty_sample_is_noise_alone() -> None:
    workload = LogisticRegression().shard(3, 0)
    x, oracle = workload.initial().repeat(1, 1), PrivateMinibatch(1, 1.0, 0.0)
    state = oracle.start(workload, x, [0], 0)
    empty = next(step for step in range(100) if not len(oracle.examples(workload.examples(0), 0, step, 0)))
    assert not oracle.sample(state, workload, x, [0], empty, 0).gradient.any()


def test_what_is_refused() -> None:
    for given, message in (
        ({"batch": 0}, "batch = 0"),
        ({"clip": 0.0}, "clip = 0.0 .* finite where there is noise"),
        ({"clip": float("inf")}, "clip = inf"),
        ({"noise_multiplier": -1.0}, "noise_multiplier = -1.0"),
        ({"delta": 1.0}, "delta = 1.0"),
        ({"sampling": "shuffled"}, "sampling = 'shuffled' .* not known how much they amplify"),
    ):
        with pytest.raises(ValueError, match=f"^PrivateMinibatch: {message}"):
            PrivateMinibatch(**given)  # type: ignore[arg-type]
    few = convolutional()
    with pytest.raises(ValueError, match="batch = 9 is not allowed; it must be at most 8"):
        PrivateMinibatch(9).start(few, few.initial()[None], [0], 0)
