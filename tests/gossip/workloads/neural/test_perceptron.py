"""Perceptrons without autograd: the same numbers, and the same bits whichever nodes are computed together."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss, nll_loss

from gossip.workloads import Digits, Mnist
from gossip.workloads.neural.perceptron import Perceptron

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


def problem(widths: list[int], activation: str, bias: bool, loss: Callable[..., Tensor], k: int, batch: int, seed: int):
    """A model, points (k, d), inputs and targets."""
    draw = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs, bias=bias), ACTIVATIONS[activation]()]
    model = nn.Sequential(*layers[:-1])
    d = sum(parameter.numel() for parameter in model.parameters())
    x, inputs = torch.randn(k, d, generator=draw) / 4, torch.randn(k, batch, 1, widths[0], generator=draw)
    if loss is cross_entropy:
        targets = torch.randint(0, widths[-1], (k, batch), generator=draw)
    else:
        targets = torch.randn(k, batch, widths[-1], generator=draw)
    return model, x, inputs, targets


def by_autograd(model: nn.Module, loss: Callable[..., Tensor], x: Tensor, inputs: Tensor, targets: Tensor):
    """Loss and gradient of one node, in float64."""
    model = copy.deepcopy(model).double()
    nn.utils.vector_to_parameters(x.double(), model.parameters())
    value = loss(model(inputs.double()), targets if loss is cross_entropy else targets.double())
    value.backward()
    return value.detach(), torch.cat([parameter.grad.reshape(-1) for parameter in model.parameters()])


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


cases = given(
    st.lists(st.sampled_from([1, 2, 3, 7, 10, 33, 64, 100, 1000]), min_size=2, max_size=4),
    st.sampled_from(["relu", "tanh"]),
    st.booleans(),
    st.sampled_from([cross_entropy, mse_loss]),
    st.sampled_from([1, 2, 5, 16, 33, 64]),
    st.integers(0, 2**32),
)


@cases
@settings(max_examples=40, deadline=None)
def test_losses_and_gradients_are_those_of_autograd(widths, activation, bias, loss, batch, seed):
    widths = widths if np.prod(widths) <= 1e6 else widths[:2]
    model, x, inputs, targets = problem(widths, activation, bias, loss, 2, batch, seed)
    perceptron = Perceptron.of(model, loss, inputs[0], targets.flatten(0, 1))
    losses, gradients = perceptron.losses_and_gradients(x, inputs, targets)
    for row in range(2):
        expected, gradient = by_autograd(model, loss, x[row], inputs[row], targets[row])
        torch.testing.assert_close(losses[row].double(), expected, rtol=1e-5, atol=1e-6)
        scale = float(gradient.abs().max()) + 1e-3
        torch.testing.assert_close(gradients[row].double() / scale, gradient / scale, rtol=0, atol=2e-5)


@cases
@settings(max_examples=40, deadline=None)
def test_bits_depend_neither_on_the_other_nodes_nor_on_memory(widths, activation, bias, loss, batch, seed):
    # A batched product of all nodes fails this for many shapes.
    widths = widths if np.prod(widths) <= 1e6 else widths[:2]
    k = 7
    model, x, inputs, targets = problem(widths, activation, bias, loss, k, batch, seed)
    perceptron = Perceptron.of(model, loss, inputs[0], targets.flatten(0, 1))
    losses, gradients = perceptron.losses_and_gradients(x, inputs, targets)
    draw = np.random.default_rng(seed)
    for part in ([seed % k], range(3, k), draw.choice(k, 4, replace=False), range(k)):
        rows = torch.tensor(np.array(part))
        shifted = torch.empty(len(rows) * x.shape[1] + 5)[5:].view(len(rows), -1).copy_(x[rows])
        other = perceptron.losses_and_gradients(shifted, inputs[rows].contiguous(), targets[rows])
        assert torch.equal(other[0], losses[rows])
        assert torch.equal(other[1], gradients[rows])


def hooked() -> nn.Module:
    model = nn.Sequential(nn.Linear(6, 4))
    model[0].register_forward_hook(lambda _, __, output: 2 * output)
    return model


def with_a_parameter() -> nn.Module:
    model = nn.Sequential(nn.Linear(6, 4))
    model.register_parameter("unused", nn.Parameter(torch.ones(3)))
    return model


class Doubling(nn.Sequential):
    def forward(self, inputs: Tensor) -> Tensor:
        return 2 * super().forward(inputs)


LAYER = nn.Linear(6, 6)
INPUTS, LABELS = torch.ones(3, 6), torch.tensor([0, 3, 1])


@pytest.mark.parametrize(
    ("model", "loss", "inputs", "targets"),
    [
        (hooked(), cross_entropy, INPUTS, LABELS),
        (with_a_parameter(), cross_entropy, INPUTS, LABELS),
        (Doubling(nn.Linear(6, 4)), cross_entropy, INPUTS, LABELS),
        (nn.Sequential(LAYER, nn.ReLU(), LAYER), cross_entropy, INPUTS, LABELS),
        (nn.Sequential(nn.Linear(6, 4), nn.ReLU()), cross_entropy, INPUTS, LABELS),
        (nn.Sequential(nn.ReLU(), nn.Linear(6, 4)), cross_entropy, INPUTS, LABELS),
        (nn.Sequential(nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 4)), cross_entropy, INPUTS, LABELS),
        (nn.Sequential(nn.Linear(6, 5), nn.Dropout(), nn.Linear(5, 4)), cross_entropy, INPUTS, LABELS),
        (nn.Sequential(nn.Linear(7, 4)), cross_entropy, INPUTS, LABELS),
        (nn.Sequential(), cross_entropy, INPUTS, LABELS),
        (nn.Sequential(nn.Linear(6, 4)), nll_loss, INPUTS, LABELS),
        (nn.Sequential(nn.Linear(6, 4)), cross_entropy, INPUTS, torch.tensor([0, -100, 1])),  # -100: left out
        (nn.Sequential(nn.Linear(6, 4)), cross_entropy, INPUTS, torch.tensor([0, 4, 1])),
        (nn.Sequential(nn.Linear(6, 4)), cross_entropy, INPUTS, torch.full((3, 4), 0.25)),
        (nn.Sequential(nn.Linear(6, 4)), mse_loss, INPUTS, torch.ones(3)),
        (nn.Sequential(nn.Linear(6, 4)), mse_loss, INPUTS, torch.ones(3, 1)),
        (nn.Sequential(nn.Linear(6, 4)), cross_entropy, INPUTS[:, None], LABELS),
        (nn.Sequential(nn.Linear(6, 4)), cross_entropy, INPUTS.long(), LABELS),
    ],
)
def test_other_models_are_left_to_autograd(model, loss, inputs, targets):
    assert Perceptron.of(model, loss, inputs, targets) is None


def test_an_activation_may_be_used_twice():
    relu = nn.ReLU()
    model = nn.Sequential(nn.Linear(6, 5), relu, nn.Linear(5, 5), relu, nn.Linear(5, 4))
    x = nn.utils.parameters_to_vector(model.parameters()).detach()
    perceptron = Perceptron.of(model, cross_entropy, INPUTS, LABELS)
    _, gradients = perceptron.losses_and_gradients(x[None], INPUTS[None], LABELS[None])
    _, expected = by_autograd(model, cross_entropy, x, INPUTS, LABELS)
    torch.testing.assert_close(gradients[0].double(), expected, rtol=1e-4, atol=1e-6)


def test_the_default_workloads_are_perceptrons():
    assert Mnist().shard(2, seed=0)._perceptron and Digits().shard(2, seed=0)._perceptron
