"""Any model on any dataset by import path."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from gossip.workloads import ByLabel, TorchWorkload
from gossip.workloads.splits import held_out


class Pairs(Dataset):
    """`m` random inputs of 3 numbers, drawn from torch's global generator."""

    def __init__(self, m=50, kind="class"):
        self.inputs = torch.randn(m, 3)
        labels = torch.arange(m) % 4
        self.targets = {
            "class": labels.int(),
            "number": labels.double() / 3,
            "vector": labels[:, None].float(),
        }[kind]

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, i):
        return self.inputs[i], self.targets[i]


class Plain:
    """No torch in it: NumPy inputs and Python numbers."""

    def __len__(self):
        return 20

    def __getitem__(self, i):
        return np.full((2, 2), i, np.uint8), i % 3


class Listed:
    """The items that are given."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


class Flat(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, inputs):
        return self.linear(inputs.float().flatten(1))


def squares(outputs, targets):
    return ((outputs[:, 0] - targets) ** 2).mean()


HERE = "classes_of_the_user"
LINEAR = {"model": "torch.nn.Linear", "model_args": {"in_features": 3, "out_features": 4}}


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Lets these classes be imported, whatever the name under which pytest runs this file."""
    monkeypatch.setitem(sys.modules, HERE, sys.modules[__name__])


def test_classification_with_a_fixed_fifth_held_out():
    state = torch.random.get_rng_state()
    workload = TorchWorkload(dataset=f"{HERE}.Pairs", **LINEAR)
    sharded = workload.shard(4, seed=1)
    other = workload.shard(4, seed=2)
    assert torch.equal(torch.random.get_rng_state(), state)
    train, test = held_out(50)
    assert sum(sharded.examples(node) for node in range(4)) == len(train)
    assert sharded._test_targets.tolist() == (test % 4).tolist()
    # The seed of the run decides the parameters, not the data.
    assert torch.equal(sharded._test_inputs, other._test_inputs)
    assert not torch.equal(sharded.initial(), other.initial())
    assert torch.equal(sharded.initial(), workload.shard(2, seed=1).initial())
    x = sharded.initial()
    weight, bias = x[:12].view(4, 3), x[12:]
    scores = sharded._test_inputs @ weight.T + bias
    metrics = sharded.evaluate(x)
    assert metrics["test_loss"] == pytest.approx(float(nn.functional.cross_entropy(scores, torch.tensor(test % 4))))
    assert metrics["test_accuracy"] == np.mean(scores.argmax(1).numpy() == test % 4)


def test_a_test_set_of_its_own():
    workload = TorchWorkload(
        dataset=f"{HERE}.Pairs",
        test_dataset=f"{HERE}.Pairs",
        test_dataset_args={"m": 7},
        split=ByLabel(),
        **LINEAR,
    ).shard(5, seed=0)
    assert [workload.examples(node) for node in range(5)] == [10] * 5
    assert len(workload._test_inputs) == 7
    workload._make_ready(np.arange(5))
    _, targets = workload._ready
    assert torch.equal(targets, torch.arange(50).remainder(4).sort().values)


@pytest.mark.parametrize("kind", ["number", "vector"])
def test_regression(kind):
    loss = f"{HERE}.squares" if kind == "number" else "torch.nn.functional.mse_loss"
    workload = TorchWorkload(
        model="torch.nn.Linear",
        model_args={"in_features": 3, "out_features": 1},
        dataset=f"{HERE}.Pairs",
        dataset_args={"kind": kind},
        loss=loss,
    ).shard(2, seed=0)
    assert set(workload.evaluate(workload.initial())) == {"test_loss"}
    x = workload.initial().repeat(2, 1)
    before = workload.gradient(x, [0, 1])
    after = workload.gradient(x - 0.01 * before.gradient, [0, 1])
    assert bool((after.loss < before.loss).all())


def test_numpy_items_and_integer_inputs_stay_as_they_are():
    workload = TorchWorkload(model=f"{HERE}.Flat", dataset=f"{HERE}.Plain").shard(2, seed=0)
    assert workload._inputs.dtype == torch.uint8 and workload._inputs.shape == (16, 2, 2)
    assert workload._targets.dtype == torch.int64
    assert torch.equal(workload._inputs[:, 0, 0] % 3, workload._targets)
    assert workload.gradient(workload.initial().repeat(2, 1), [0, 1]).gradient.shape == (2, 15)


def test_only_the_function_given_to_read_touches_the_data():
    workload = TorchWorkload(dataset=f"{HERE}.Pairs", **LINEAR)
    arrays = workload._read()
    for array in arrays.values():
        array.setflags(write=False)  # as it may come out of a shared window
    workload = TorchWorkload(dataset="no.such.Dataset", **LINEAR)
    assert workload.shard(2, seed=0, read=lambda _: arrays).examples(0) == 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "torch.nn.Lineal"}, "model = 'torch.nn.Lineal' cannot be imported"),
        ({"model": "no_such_package.Net"}, "cannot be imported: No module named 'no_such_package'"),
        ({"model": "not a path"}, "model = 'not a path' cannot be imported"),
        ({"model": "torch.pi"}, "model = 'torch.pi' is a float, not callable"),
        ({"loss": "torch.nn.functional.cross"}, "loss = 'torch.nn.functional.cross' cannot be imported"),
        ({"dataset": "torch.utils.data.Nothing"}, "dataset = 'torch.utils.data.Nothing' cannot be imported"),
        ({"test_dataset": f"{HERE}.Nothing"}, f"test_dataset = '{HERE}.Nothing' cannot be imported"),
        ({"dataset_args": {"items": []}}, f"dataset = '{HERE}.Listed' is empty"),
        ({"dataset_args": {"items": [1.0]}}, "item 0 is a float, not a pair (input, target)"),
        ({"dataset_args": {"items": [(1, 2), (1, 2, 3)]}}, "item 1 is a tuple, not a pair (input, target)"),
        (
            {"dataset_args": {"items": [([1], 2), ([1, 1], 2)]}},
            "the inputs differ in shape, (1,) among others",
        ),
        ({"dataset_args": {"items": [("word", 2)]}}, "the inputs are not numbers"),
        ({"dataset_args": {"items": [(1.0, 2)] * 4}}, "a fifth of the examples is held out"),
    ],
)
def test_errors_are_one_line(options, message):
    defaults = {"dataset": f"{HERE}.Listed", "dataset_args": {"items": [([1.0] * 3, 0)] * 10}}
    with pytest.raises(ValueError) as error:
        TorchWorkload(**{**LINEAR, **defaults, **options}).shard(2, seed=0)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
