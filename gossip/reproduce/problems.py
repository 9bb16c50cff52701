"""Problems that several studies have: handwritten digits for linear models."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from algorithms.randomness import generator
from gossip.workloads import LogisticRegression
from gossip.workloads.neural.images import read_mnist
from gossip.workloads.splits import Split, shards_of
from gossip.workloads.workload import Arrays


def digits(data: Arrays, split: Split, nodes: int, l2: float, most: int, seed: int) -> LogisticRegression:
    """Even against odd MNIST digits, standardised, divided over the nodes evenly, nothing held out.

    Args:
        data: The images, from `read_mnist`.
        split: How the examples are divided.
        nodes: Number of nodes.
        l2: Weight of the squared norm.
        most: Examples used at most, the same ones for every split.
        seed: Decides the examples and the split.
    """
    order = generator(seed, "examples").permutation(len(data["labels"]))[: most - most % nodes]
    pixels = data["images"][order] / 255
    deviations = pixels.std(axis=0)
    features = (pixels - pixels.mean(axis=0)) / np.where(deviations > 0, deviations, 1)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    labels = data["labels"][order] % 2
    parts = shards_of(split, labels, nodes, seed)
    return LogisticRegression(
        np.stack([features[part] for part in parts]), np.stack([labels[part] for part in parts]), l2=l2
    )


def pooled_digits(images: int, pool: int, norm: float) -> tuple[NDArray, NDArray]:
    """Features (m, d) and labels (m,) of MNIST digits, sorted by digit: -1 for 0 to 4 and +1 for 5 to 9.

    Args:
        images: Number of images of each digit.
        pool: Side of the squares of pixels that are averaged, a divisor of 28.
        norm: To which every example is scaled.
    """
    arrays = read_mnist()
    chosen = np.concatenate([np.flatnonzero(arrays["labels"] == digit)[:images] for digit in range(10)])
    side = 28 // pool
    pixels = arrays["images"][chosen].reshape(-1, side, pool, side, pool).mean(axis=(2, 4)).reshape(len(chosen), -1)
    features = norm * pixels / np.linalg.norm(pixels, axis=1, keepdims=True)
    return features, np.where(arrays["labels"][chosen] < 5, -1.0, 1.0)
