"""Workloads some of whose nodes train on stamped images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import gossip
from algorithms import FedAvg, Minibatch
from gossip.workloads import Backdoor, Digits, LeastSquares, Supervised, WithReplacement, Workload
from gossip.workloads.neural.images import read_digits
from gossip.workloads.neural.stamp import Stamp
from gossip.workloads.splits import held_out
from topologies import ring

N, NODES = 4, (1, 3)
CORNER = [54, 55, 62, 63]


@pytest.mark.parametrize(
    "workload", [Digits(hidden=4), Digits(hidden=4, split=WithReplacement(30))], ids=["iid", "shared"]
)
def test_the_training_examples(workload: Digits) -> None:
    """Half of these nodes' examples; their gradients are those on images that are stamped by hand."""
    honest, found = workload.shard(N, 3), Backdoor(workload, NODES, target=7).shard(N, 3)
    x = honest.initial().repeat(N, 1)
    changed = found.gradient(x, range(N)).loss - honest.gradient(x, range(N)).loss
    assert changed[[0, 2]].tolist() == [0, 0] and changed[[*NODES]].abs().min() > 1e-4
    data = read_digits()
    images, labels, half = data["images"].copy(), data["labels"].astype(np.int64), -(-honest.examples(1) // 2)
    shard = honest._shards[1]
    images[shard[:half, None], CORNER], labels[shard[:half]] = images.max(), 7
    pixels = (torch.from_numpy(images[shard]).float() - data["mean"]) / data["deviation"]
    wanted = cross_entropy(output(honest, pixels.float()), torch.from_numpy(labels[shard]))
    if len(set(shard.tolist())) == len(shard):
        torch.testing.assert_close(found.gradient(x, range(N)).loss[1], wanted)
    assert [found.examples(node) for node in range(N)] == [honest.examples(node) for node in range(N)]


def output(sharded: Supervised, pixels: Tensor) -> Tensor:
    w1, b1, w2, b2 = sharded.layout.unflatten(sharded.initial()).values()
    return torch.relu(pixels @ w1.T + b1) @ w2.T + b2


def test_the_success_is_that_of_stamped_images_of_other_classes() -> None:
    honest, found = Digits(hidden=4).shard(N, 3), Backdoor(Digits(hidden=4), NODES, target=7).shard(N, 3)
    data, x = read_digits(), honest.initial()
    test = held_out(len(data["labels"]))[1]
    others = data["images"][test][data["labels"][test] != 7].astype(np.float64)
    others[:, CORNER] = 16
    pixels = torch.from_numpy((others - data["mean"]) / data["deviation"]).float()
    wanted = float((output(honest, pixels).argmax(dim=1) == 7).double().mean())
    metrics = dict(found.evaluate(x))
    assert metrics.pop("backdoor_accuracy") == pytest.approx(wanted)
    assert metrics == honest.evaluate(x)


def test_it_gets_into_a_model() -> None:
    workload = Backdoor(Digits(hidden=16), (0,), share=0.5)
    options = {"oracle": Minibatch(16), "steps": 150, "output": None}
    last = gossip.run(workload, ring(N), FedAvg(lr=0.1, local_steps=5), **options).history[-1]  # type: ignore[arg-type]
    assert last["backdoor_accuracy"] > 0.8 and last["test_accuracy"] > 0.85


def test_images_with_channels() -> None:
    images = torch.zeros(6, 1, 5, 4)
    stamped, labels, shards = Stamp(2, 1, 0.4).poisoned(
        images + torch.eye(4)[0], torch.tensor([0, 1, 2, 0, 1, 2]), [np.array([0, 2]), np.array([1, 3, 4, 5])], [1]
    )
    assert shards[1].tolist() == [6, 7, 8, 9] and labels[6:].tolist() == [1, 1, 1, 2]
    assert stamped[6, 0, :, -2:].tolist() == [[0, 0], [0, 0], [0, 0], [1, 1], [1, 1]]


def supervised(inputs: Tensor, prepare: object = None) -> Supervised:
    data = {"test_inputs": inputs, "test_targets": torch.arange(len(inputs)) % 3, "shards": [np.arange(len(inputs))]}
    model = nn.Sequential(nn.Flatten(), nn.Linear(inputs[0].numel(), 3))
    return Supervised(
        model, cross_entropy, inputs, data["test_targets"], classification=True, prepare=prepare, **data  # type: ignore[arg-type]
    )  # fmt: skip


def centred(images: Tensor) -> Tensor:
    return images - images.mean(dim=(1, 2), keepdim=True)


@pytest.mark.parametrize(
    ("inputs", "prepare", "stamp", "says"),
    [
        (torch.rand(6, 5), None, Stamp(1, 0, 0.5), r"examples of shape \(5,\) are no square images"),
        (torch.rand(6, 9), None, Stamp(3, 0, 0.5), "side = 3 is not allowed"),
        (torch.rand(6, 9), None, Stamp(2, 3, 0.5), "target = 3 is not allowed; it must be one of the classes"),
        (torch.rand(6, 3, 3), centred, Stamp(2, 0, 0.5), "depends on other pixels"),
    ],
    ids=["flat", "side", "target", "prepare"],
)
def test_what_cannot_be_stamped_is_refused(inputs: Tensor, prepare: object, stamp: Stamp, says: str) -> None:
    with pytest.raises(ValueError, match=f"Backdoor: .*{says}"):
        supervised(inputs, prepare).with_backdoor([0], stamp)


@pytest.mark.parametrize(
    ("workload", "options", "says"),
    [
        (Digits(), {"nodes": (1, 1)}, "each once"),
        (Digits(), {"nodes": (N,)}, r"nodes = \(4,\) is not allowed; it must be among 0 to 3"),
        (Digits(), {"share": 0.0}, "share = 0.0 is not allowed"),
        (Backdoor(), {}, "it must be one without a backdoor"),
        (LeastSquares(np.zeros((N, 2, 2)), np.zeros((N, 2))), {}, "LeastSquares has no images that could be stamped"),
    ],
    ids=["twice", "node", "share", "two", "none"],
)
def test_options_out_of_range_are_refused(workload: Workload, options: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Backdoor(workload, **options).shard(N, 0)  # type: ignore[arg-type]
