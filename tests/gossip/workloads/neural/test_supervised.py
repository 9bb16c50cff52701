"""Torch models in memory: gradients one by one and together, evaluation, batch normalisation."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from algorithms import Layout
from gossip.errors import UsageError
from gossip.workloads import Supervised

SIZES = (12, 12, 12, 9)


def data(m=60, features=6, classes=4):
    draw = torch.Generator().manual_seed(0)
    return torch.randn(m, features, generator=draw), torch.randint(0, classes, (m,), generator=draw)


def shards():
    order = np.random.default_rng(0).permutation(sum(SIZES))
    return np.split(order, np.cumsum(SIZES)[:-1])


def build(model, loss=cross_entropy, classification=True, targets=None):
    inputs, labels = data()
    targets = labels if targets is None else targets
    return Supervised(
        model,
        loss,
        inputs[:45],
        targets[:45],
        test_inputs=inputs[45:],
        test_targets=targets[45:],
        shards=shards(),
        classification=classification,
    )


def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4))


def plain(model, loss, x, inputs, targets):
    """Loss and gradient by a fresh copy of the model and `backward`."""
    model = copy.deepcopy(model).train()
    nn.utils.vector_to_parameters(x, model.parameters())
    value = loss(model(inputs), targets)
    value.backward()
    return value.detach(), torch.cat([p.grad.reshape(-1) for p in model.parameters()])


class Branching(nn.Module):
    """Control flow that depends on the data."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 4)

    def forward(self, inputs):
        outputs = self.linear(inputs)
        return outputs if outputs.sum() > 0 else 2 * outputs


class Tied(nn.Module):
    """One tensor used twice, which is one parameter."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 6, bias=False)
        self.second = nn.Linear(6, 6, bias=False)
        self.second.weight = self.first.weight

    def forward(self, inputs):
        return self.second(torch.tanh(self.first(inputs)))


def convolutional():
    return nn.Sequential(nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4))


def points(workload, k):
    noise = torch.randn(k, workload.layout.d, generator=torch.Generator().manual_seed(1))
    return workload.initial() + 0.1 * noise


@pytest.mark.parametrize("build_model", [mlp, Tied, convolutional, Branching])
@pytest.mark.parametrize("nodes", [[0], [0, 1, 2], [2, 0], [3, 1, 0, 2]])
@pytest.mark.parametrize("batch", [None, 5])
def test_gradients_are_those_of_plain_autograd(build_model, nodes, batch):
    torch.manual_seed(0)
    model = build_model()
    workload = build(model)
    x = points(workload, len(nodes))
    draw = torch.Generator().manual_seed(2)
    examples = None if batch is None else torch.randint(0, 9, (len(nodes), batch), generator=draw)
    sample = workload.gradient(x, nodes, examples)
    assert sample.gradient.shape == x.shape
    assert sample.loss.shape == (len(nodes),)
    assert not sample.gradient.requires_grad and not sample.loss.requires_grad
    inputs, targets = data()
    for row, node in enumerate(nodes):
        mine = torch.from_numpy(shards()[node])
        if examples is not None:
            mine = mine[examples[row]]
        loss, gradient = plain(model, cross_entropy, x[row], inputs[mine], targets[mine])
        torch.testing.assert_close(sample.gradient[row], gradient, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(sample.loss[row], loss, rtol=1e-5, atol=1e-6)


def test_an_error_of_the_model_is_not_hidden():
    with pytest.raises(UsageError, match=r"the model Linear .* shapes cannot be multiplied") as raised:
        build(nn.Linear(7, 4))
    assert isinstance(raised.value.__cause__, RuntimeError)


def test_the_point_given_and_the_model_given_stay_as_they_are():
    model = mlp()
    before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    workload = build(model)
    x = points(workload, 2)
    kept = x.clone()
    first = workload.gradient(x, [0, 1])
    workload.gradient(x[:1], [0])
    workload.evaluate(x[1])
    assert torch.equal(x, kept)
    assert torch.equal(workload.gradient(x, [0, 1]).gradient, first.gradient)
    assert torch.equal(workload.initial(), before)
    workload.initial().zero_()
    assert torch.equal(workload.initial(), before)
    assert torch.equal(nn.utils.parameters_to_vector(model.parameters()), before)
    assert workload.layout == Layout.of(model)
    assert workload.layout.d == len(before)


def test_works_inside_no_grad_and_on_parameters_that_require_gradients():
    workload = build(mlp())
    x = points(workload, 3)
    expected = workload.gradient(x, [0, 1, 2]).gradient
    with torch.no_grad():
        assert torch.equal(workload.gradient(x, [0, 1, 2]).gradient, expected)
        single = workload.gradient(x[:1], [0]).gradient
    torch.testing.assert_close(single[0], expected[0], rtol=1e-5, atol=1e-6)
    assert torch.equal(workload.gradient(x.requires_grad_(), [0, 1, 2]).gradient, expected)


@pytest.mark.parametrize("k", [1, 3])
def test_float64_points_get_float64_gradients(k):
    workload = build(mlp())
    x = points(workload, k)
    sample = workload.gradient(x.double(), range(k))
    assert sample.gradient.dtype == sample.loss.dtype == torch.float64
    assert torch.equal(sample.gradient.float(), workload.gradient(x, range(k)).gradient)


def test_frozen_and_unused_parameters():
    model = mlp()
    model[0].weight.requires_grad_(False)
    model.register_parameter("unused", nn.Parameter(torch.ones(3)))
    workload = build(model)
    for nodes in ([0], [0, 1]):
        gradient = workload.gradient(workload.initial().repeat(len(nodes), 1), nodes).gradient
        named = workload.layout.unflatten(gradient[0])
        assert set(named) == {"unused", "0.bias", "2.weight", "2.bias"}
        assert torch.count_nonzero(named["0.bias"]) > 0
        assert torch.count_nonzero(named["unused"]) == 0


@pytest.mark.parametrize("k", [1, 2])
def test_batch_normalisation_uses_the_statistics_of_the_batch(k):
    torch.manual_seed(0)
    workload = build(nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 4)))
    x = points(workload, k)
    first = workload.gradient(x, range(k))
    assert torch.equal(workload.gradient(x, range(k)).gradient, first.gradient)  # no running statistics
    w = {name: t[0] for name, t in workload.layout.unflatten(x).items()}

    def by_hand(inputs, targets):
        hidden = inputs @ w["0.weight"].T + w["0.bias"]
        hidden = (hidden - hidden.mean(0)) / (hidden.var(0, unbiased=False) + 1e-5).sqrt()
        hidden = torch.relu(hidden * w["1.weight"] + w["1.bias"])
        return cross_entropy(hidden @ w["3.weight"].T + w["3.bias"], targets)

    inputs, targets = (tensor[torch.from_numpy(shards()[0])] for tensor in data())
    torch.testing.assert_close(first.loss[0], by_hand(inputs, targets), rtol=1e-5, atol=1e-6)
    test_inputs, test_targets = (tensor[45:] for tensor in data())
    expected = by_hand(test_inputs, test_targets)
    assert workload.evaluate(x[0])["test_loss"] == pytest.approx(float(expected), rel=1e-5)


def test_evaluate_by_hand_in_chunks(monkeypatch):
    monkeypatch.setattr("gossip.workloads.neural.trial.EVALUATED_AT_ONCE", 4)  # 15 examples: the last chunk has 3
    model = mlp()
    workload = build(model)
    x = points(workload, 1)[0]
    nn.utils.vector_to_parameters(x, model.parameters())
    inputs, targets = (tensor[45:] for tensor in data())
    scores = model(inputs).detach().double().numpy()
    losses = np.log(np.exp(scores).sum(1)) - scores[np.arange(15), targets]
    metrics = workload.evaluate(x)
    assert metrics["test_loss"] == pytest.approx(losses.mean(), rel=1e-5)
    assert metrics["test_accuracy"] == np.mean(scores.argmax(1) == targets.numpy())
    assert 0 < metrics["test_accuracy"] < 1


def test_dropout_acts_in_the_gradient_and_not_in_the_evaluation():
    workload = build(nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 4)))
    x = workload.initial()
    assert workload.evaluate(x) == workload.evaluate(x)
    with torch.random.fork_rng():
        for k in (1, 2):
            first, second = (workload.gradient(x.repeat(k, 1), range(k)).gradient for _ in range(2))
            assert not torch.equal(first, second)
    assert workload.evaluate(x) == workload.evaluate(x)


def test_regression_reports_no_accuracy():
    targets = torch.linspace(0, 1, 60, dtype=torch.float64)[:, None]
    workload = build(nn.Linear(6, 1), mse_loss, classification=False, targets=targets)
    x = workload.initial()
    inputs = data()[0][45:].numpy()
    predictions = inputs @ x[:6].numpy() + x[6].numpy()
    assert workload.evaluate(x) == {"test_loss": pytest.approx(np.mean((predictions - targets[45:, 0].numpy()) ** 2))}
    assert workload.gradient(x[None], [0]).gradient.dtype == torch.float32


def test_examples_are_counted_and_checked():
    workload = build(mlp())
    assert tuple(workload.examples(node) for node in range(4)) == SIZES
    x = points(workload, 2)
    for nodes in ([0], [0, 1]):
        with pytest.raises(IndexError):
            workload.gradient(x[: len(nodes)], nodes, torch.full((len(nodes), 1), 12))


def normalised():
    return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.GELU(), nn.LayerNorm(5), nn.Linear(5, 4))


@pytest.mark.parametrize("build_model", [mlp, Tied, convolutional, Branching, normalised])
@pytest.mark.parametrize("batch", [None, 5])
def test_bits_depend_on_neither_the_other_nodes_nor_threads_nor_memory(build_model, batch):
    torch.manual_seed(0)
    model = build_model()
    workload = build(model)
    x = points(workload, 4)
    examples = None if batch is None else torch.randint(0, 9, (4, batch), generator=torch.Generator().manual_seed(2))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = workload.gradient(x, range(4), examples)
        for number in (1, 2, 3):
            for nodes in ([0], [1], [3], [0, 1], [2, 0], [1, 3, 2], [0, 1, 2, 3]):
                torch.set_num_threads(number)
                rows = torch.tensor(nodes)
                shifted = torch.empty(len(nodes) * workload.layout.d + 5)[5:].view(len(nodes), -1).copy_(x[rows])
                part = None if examples is None else examples[rows]
                sample = (workload if number == 1 else build(model)).gradient(shifted, nodes, part)
                assert torch.equal(sample.gradient, expected.gradient[rows])
                assert torch.equal(sample.loss, expected.loss[rows])
                assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(threads)


def test_many_nodes_are_those_of_one_at_a_time():
    # More than are computed at once, of a size at which products of several nodes in one call differ.
    draw = torch.Generator().manual_seed(0)
    inputs, labels = torch.randn(400, 1000, generator=draw), torch.randint(0, 10, (400,), generator=draw)
    model = nn.Sequential(nn.Linear(1000, 33), nn.ReLU(), nn.Linear(33, 10))
    shards = np.split(np.arange(400), 100)
    held_out = {"test_inputs": inputs[:9], "test_targets": labels[:9]}
    workload = Supervised(model, cross_entropy, inputs, labels, **held_out, shards=shards, classification=True)
    x = workload.initial() + 0.1 * torch.randn(100, workload.layout.d, generator=draw)
    examples = torch.randint(0, 4, (100, 33), generator=draw)
    together = workload.gradient(x, range(100), examples)
    for node in (0, 1, 31, 50, 99):
        alone = workload.gradient(x[node : node + 1], [node], examples[node : node + 1])
        assert torch.equal(alone.gradient[0], together.gradient[node])
        assert torch.equal(alone.loss[0], together.loss[node])


def test_evaluation_does_not_depend_on_the_threads(monkeypatch):
    monkeypatch.setattr("gossip.workloads.neural.trial.EVALUATED_AT_ONCE", 4)
    workload = build(mlp())
    x = points(workload, 1)[0]
    threads = torch.get_num_threads()
    try:
        metrics = []
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            metrics.append(workload.evaluate(x))
    finally:
        torch.set_num_threads(threads)
    assert metrics[0] == metrics[1] == metrics[2]


def test_random_draws_are_the_same_in_every_run_of_a_process():
    workload = build(nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 4)))
    x = workload.initial().repeat(4, 1)
    with torch.random.fork_rng():
        gradients = []
        for _ in range(5):
            torch.manual_seed(3)
            gradients.append(workload.gradient(x, range(4), torch.zeros(4, 3, dtype=torch.int64)).gradient)
    assert all(torch.equal(gradient, gradients[0]) for gradient in gradients)
