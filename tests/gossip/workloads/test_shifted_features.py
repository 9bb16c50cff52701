"""Workloads whose nodes see their inputs differently."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from algorithms.randomness import generator
from gossip.workloads import (
    Averaging,
    Digits,
    FlippedLabels,
    LabelsEach,
    LogisticRegression,
    ShiftedFeatures,
    Text,
    WithReplacement,
    Workload,
)

N = 3
RANDOM = np.random.default_rng(0)
FEATURES, LABELS = RANDOM.normal(size=(N, 8, 4)), np.where(RANDOM.random((N, 8)) < 0.5, -1.0, 1.0)
GIVEN = LogisticRegression(FEATURES, LABELS)


def seen(shift: Any, strength: float, seed: int = 5, n: int = N) -> list[Any]:
    given = LogisticRegression(FEATURES[:n], LABELS[:n])
    sharded = ShiftedFeatures(given, shift, strength).shard(n, seed)
    return [sharded.features_and_targets(node)[0] for node in range(n)]


def amount(node: int, strength: float) -> tuple[float, np.random.Generator]:
    draw = generator(5, "shift", node)
    return strength * (2 * draw.random() - 1), draw


def test_brightness_and_noise_are_those_of_the_formulas() -> None:
    for node in range(N):
        u, draw = amount(node, 0.8)
        own = FEATURES[node]
        np.testing.assert_allclose(seen("brightness", 0.8)[node], own * (1 + u), rtol=1e-12)
        noise = abs(u) * np.sqrt(np.mean((own - own.mean()) ** 2)) * draw.standard_normal(own.shape)
        np.testing.assert_allclose(seen("noise", 0.8)[node], own + noise, rtol=1e-12)


def test_images_are_turned_about_their_centres() -> None:
    """Bilinear: each pixel sees those that lie less than a pixel from where it was before the turn, and 0 outside."""
    for node in range(N):
        u, _ = amount(node, 90.0)
        a, corner = np.radians(u), np.array([0.0, 1.0])
        wanted = np.zeros((8, 2, 2))
        for i, j, r, c in np.ndindex(2, 2, 2, 2):
            down, right = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) @ (corner[[i, j]] - 0.5) + 0.5
            weight = max(0.0, 1 - abs(down - r)) * max(0.0, 1 - abs(right - c))
            wanted[:, i, j] += weight * FEATURES[node].reshape(8, 2, 2)[:, r, c]
        found = seen("rotation", 90.0)[node]
        np.testing.assert_allclose(found.reshape(8, 2, 2), wanted, atol=1e-9)
        assert np.abs(found - FEATURES[node]).max() > 0.05


def test_a_quarter_turn_of_an_image() -> None:
    """With the very strength that makes it 90 degrees."""
    image = np.random.default_rng(1).normal(size=(1, 1, 9))
    draws = [generator(seed, "shift", 0).uniform(-1, 1) for seed in range(20)]
    for sign in (1, -1):
        seed = next(seed for seed, u in enumerate(draws) if sign * u > 0.5)
        turned = ShiftedFeatures(LogisticRegression(image, [[1.0]]), "rotation", 90 / abs(draws[seed]))
        found = turned.shard(1, seed).features_and_targets(0)[0]
        np.testing.assert_allclose(found.reshape(3, 3), np.rot90(image.reshape(3, 3), sign), atol=1e-9)


@pytest.mark.parametrize("shift", ["rotation", "brightness", "noise"])
def test_seed_and_node_decide_and_tests_and_labels_stay(shift: Any) -> None:
    first, again, other, fewer = (seen(shift, 0.9), seen(shift, 0.9), seen(shift, 0.9, 6), seen(shift, 0.9, n=2))
    assert all(map(np.array_equal, first, again)) and all(map(np.array_equal, fewer, first))
    assert not any(map(np.array_equal, first, other))
    x = torch.from_numpy(RANDOM.normal(size=4))
    shifted, plain = ShiftedFeatures(GIVEN, shift, 0.9).shard(N, 0), GIVEN.shard(N, 0)
    assert shifted.evaluate(x) == plain.evaluate(x)
    assert all(np.array_equal(shifted.targets_of(node), plain.targets_of(node)) for node in range(N))
    assert not torch.equal(*(each.gradient(x.repeat(N, 1), range(N)).gradient for each in (shifted, plain)))


@pytest.mark.parametrize("split", [LabelsEach(4), WithReplacement(30)], ids=str)
def test_digits(split: Any) -> None:
    """The model takes brighter pixels: the first layer sees p (1 + u) - mean, over the deviation."""
    plain = Digits(hidden=4, split=split).shard(N, 5)
    bright = ShiftedFeatures(Digits(hidden=4, split=split), "brightness", 0.5).shard(N, 5)
    assert [bright.examples(node) for node in range(N)] == [plain.examples(node) for node in range(N)]
    layers = plain.layout.unflatten(plain.initial())
    inside = next(name for name, tensor in layers.items() if tensor.shape == (4, 64))
    bias = next(name for name, tensor in layers.items() if tensor.shape == (4,))
    from gossip.workloads.neural.images import read_digits

    data, points = read_digits(), []
    for node in range(N):
        u, _ = amount(node, 0.5)
        W, b = layers[inside], layers[bias]
        offset = W.sum(dim=1) * (u * float(data["mean"] / data["deviation"]))
        points.append(plain.layout.flatten({**layers, inside: W * (1 + u), bias: b + offset}))
    found = bright.gradient(plain.initial().repeat(N, 1), range(N)).loss
    torch.testing.assert_close(found, plain.gradient(torch.stack(points), range(N)).loss)
    assert bright.evaluate(points[0]) == plain.evaluate(points[0])


def test_it_goes_with_false_labels() -> None:
    both = FlippedLabels(ShiftedFeatures(GIVEN, "noise", 1.0), (1,)).shard(N, 0)
    plain, shifted = GIVEN.shard(N, 0), ShiftedFeatures(GIVEN, "noise", 1.0).shard(N, 0)
    assert (both.targets_of(1) == -plain.targets_of(1)).all()
    assert np.array_equal(both.features_and_targets(1)[0], shifted.features_and_targets(1)[0])


@pytest.mark.parametrize(
    ("workload", "options", "says"),
    [
        (GIVEN, {"shift": "contrast"}, "shift = 'contrast' .* one of rotation, brightness, noise"),
        (GIVEN, {"strength": 181.0}, r"strength = 181.0 .* in \(0, 180\] for rotation"),
        (GIVEN, {"shift": "brightness", "strength": 1.5}, r"strength = 1.5 .* in \(0, 1\] for brightness"),
        (GIVEN, {"shift": "noise", "strength": 0.0}, "strength = 0.0 .* > 0 for noise"),
        (LogisticRegression(), {}, r"inputs of shape \(31,\) are no square images to be turned"),
        (Text(context=4, width=4, heads=1, layers=1), {}, "the inputs are symbols, not quantities"),
        (Averaging(), {}, "Averaging has no inputs that could be shifted"),
    ],
    ids=range(7),
)
def test_what_cannot_be_shifted_is_refused(workload: Workload, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=f"^ShiftedFeatures: {says}"):
        ShiftedFeatures(workload, **options).shard(N, 0)
