"""The universal adversarial perturbation: the classifier, the losses, what is reported, an attack that succeeds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gossip
from algorithms import DecentralizedSGD, ExactDiffusion, Full, Minibatch, Svrg, ZerothOrder
from gossip.errors import UsageError
from gossip.workloads import AdversarialPerturbation
from gossip.workloads.neural.images import read_mnist
from topologies import ring

PROBLEM = AdversarialPerturbation(digit=3, images=10, l1=0.01, l2=0.1)


@pytest.fixture(scope="module")
def arrays():
    return PROBLEM._read()


@pytest.fixture
def box(arrays):
    return PROBLEM.shard(3, 0, lambda _: arrays)


def margins(arrays, order, x):
    """How far the digit's score is above all others, by the layers."""
    scores = np.maximum((arrays["images"][order] + x) @ arrays["W1"] + arrays["b1"], 0) @ arrays["W2"] + arrays["b2"]
    return scores[:, 3] - np.delete(scores, 3, axis=1).max(axis=1)


def test_the_classifier_is_right_about_images_it_has_not_seen(arrays):
    data = read_mnist()
    images = data["images"] / 255
    scores = np.maximum(images @ arrays["W1"] + arrays["b1"], 0) @ arrays["W2"] + arrays["b2"]
    assert np.mean(scores.argmax(axis=1) == data["labels"]) > 0.9
    assert 70 < len(arrays["images"]) < 130 and arrays["images"].max() == 1.0
    again = PROBLEM._read()
    assert all(np.array_equal(again[name], arrays[name]) for name in arrays)


def test_losses_are_those_of_the_formula(arrays, box):
    order = np.concatenate(PROBLEM.split.assign(np.full(10, 3), 3, 0))
    assert [box.examples(node) for node in range(3)] == [4, 3, 3]
    x = 0.3 * np.random.default_rng(0).normal(size=(3, 784))
    nodes, examples = [2, 0, 2], torch.tensor([[0, 2], [3, 1], [1, 1]])
    losses = box.losses(torch.tensor(x), nodes, examples).numpy()
    for row, node in enumerate(nodes):
        places = order[np.array([0, 4, 7])[node] + examples[row].numpy()]
        expected = np.maximum(margins(arrays, places, x[row]), 0) + 0.05 * x[row] @ x[row]
        np.testing.assert_allclose(losses[row], expected, rtol=1e-10)
    alone = box.losses(torch.tensor(x[1:2]), [0], examples[1:2]).numpy()
    assert np.array_equal(alone[0], losses[1])
    with pytest.raises(IndexError):
        box.losses(torch.tensor(x), nodes, examples + 2)


def test_what_is_reported(arrays, box):
    order = np.concatenate(PROBLEM.split.assign(np.full(10, 3), 3, 0))
    x = -0.7 * arrays["images"].mean(axis=0)
    reported, found = box.evaluate(torch.tensor(x)), margins(arrays, order, x)
    nodes = [np.maximum(part, 0).mean() for part in np.split(found, [4, 7])]
    assert reported["test_loss"] == pytest.approx(np.mean(nodes) + 0.05 * x @ x + 0.01 * np.abs(x).sum(), rel=1e-10)
    assert reported["attack_success"] == np.mean(found < 0)
    assert 0 < reported["attack_success"] < 1
    assert reported["distortion"] == pytest.approx(np.linalg.norm(x), rel=1e-12)
    assert box.evaluate(box.initial())["attack_success"] == 0


def test_an_attack_succeeds(box):
    oracle = ZerothOrder(Svrg(2, 10), "gaussian", 1e-4)
    result = gossip.run(box, ring(3), ExactDiffusion(lr=1e-3), oracle=oracle, steps=300, evaluate_nodes=0, output=None)
    assert result.summary["test_loss"] < result.history[0]["test_loss"] / 2
    assert result.summary["attack_success"] > 0.5
    assert result.summary["gradients_per_node"] == 0
    assert result.summary["queries_per_node"] == pytest.approx(2 * (30 * 10 / 3 + 300 * 2 * 2))


def test_gradients_are_refused(box):
    for oracle in (Full(), Minibatch(1), Svrg(1)):
        with pytest.raises(
            UsageError, match="needs gradients, and ShardedAdversarialPerturbation gives function values"
        ) as raised:
            gossip.run(box, ring(3), DecentralizedSGD(), oracle=oracle, steps=1, output=None)
        assert "\n" not in str(raised.value)


def test_refused(arrays):
    for options, says in (
        ({"digit": 10}, "digit = 10 .* 0..9"),
        ({"images": 0}, "images = 0"),
        ({"hidden": 0}, "hidden = 0"),
        ({"l1": -1.0}, "l1 = -1.0"),
        ({"l2": -1.0}, "l2 = -1.0"),
    ):
        with pytest.raises(ValueError, match=f"AdversarialPerturbation: {says}"):
            AdversarialPerturbation(**options)
    with pytest.raises(ValueError, match=r"images = 1000 .* at most \d+, as many 3s"):
        AdversarialPerturbation(digit=3, images=1000).shard(3, 0, lambda _: arrays)
