"""Any torch model on any torch dataset, by import path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from algorithms.imports import imported
from gossip.workloads.neural.supervised import Supervised, seeded
from gossip.workloads.splits import Iid, Split, held_out
from gossip.workloads.workload import Arrays, Read, Workload, read_here


@dataclass(frozen=True)
class TorchWorkload(Workload):
    """Any torch model on any map-style dataset, both named by import path.

    The items of the dataset are pairs (input, target), all of one shape; they are stacked in memory. Integer
    targets mean classification, floating-point targets regression without "test_accuracy". What the dataset
    draws from torch's global generator is the same in every run; what the model draws depends on the seed.

    Args:
        model: Import path of the model's class, such as "package.module.Class".
        dataset: Import path of the class of the training data, a torch Dataset with a length and `[]`.
        model_args: Keyword arguments for the model.
        dataset_args: Keyword arguments for the training data.
        test_dataset: Import path of the class of the held-out data; without it, a fixed fifth of `dataset`.
        test_dataset_args: Keyword arguments for the held-out data.
        loss: Import path of a function (outputs, targets) -> mean loss over the batch.
        split: How the training examples are divided over the nodes.
    """

    model: str
    dataset: str
    model_args: Mapping[str, Any] = field(default_factory=dict)
    dataset_args: Mapping[str, Any] = field(default_factory=dict)
    test_dataset: str | None = None
    test_dataset_args: Mapping[str, Any] = field(default_factory=dict)
    loss: str = "torch.nn.functional.cross_entropy"
    split: Split = field(default_factory=Iid)

    def shard(self, n: int, seed: int, read: Read = read_here) -> Supervised:
        """The data split over n nodes.

        Raises:
            ValueError: An import path does not resolve; or a dataset is empty, or its items are not pairs of
                numbers of one shape.
        """
        loss = imported(self, "loss")
        with seeded(seed, "model"):
            model = imported(self, "model")(**self.model_args)
        arrays = read(self._read)
        inputs, targets = torch.tensor(arrays["inputs"]), _targets(arrays["targets"])
        if self.test_dataset is None:
            train, test = held_out(len(inputs))
            test_inputs, test_targets = inputs[test], targets[test]
            inputs, targets = inputs[train], targets[train]
        else:
            test_inputs, test_targets = torch.tensor(arrays["test_inputs"]), _targets(arrays["test_targets"])
        shards = self.split.assign(targets.numpy(), n, seed)
        return Supervised(
            model,
            loss,
            inputs,
            targets,
            test_inputs=test_inputs,
            test_targets=test_targets,
            shards=shards,
            classification=not targets.is_floating_point(),
        )

    def _read(self) -> Arrays:
        inputs, targets = self._stack("dataset")
        if self.test_dataset is None:
            return {"inputs": inputs, "targets": targets}
        test_inputs, test_targets = self._stack("test_dataset")
        return {
            "inputs": inputs,
            "targets": targets,
            "test_inputs": test_inputs,
            "test_targets": test_targets,
        }

    def _stack(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """The inputs and the targets of the dataset in this field."""
        with seeded(0, name):
            dataset = imported(self, name)(**getattr(self, f"{name}_args"))
            items = [dataset[i] for i in range(len(dataset))]
        where = f"TorchWorkload: {name} = {getattr(self, name)!r}"
        if not items:
            raise ValueError(f"{where} is empty")
        for i, item in enumerate(items):
            if not isinstance(item, tuple | list) or len(item) != 2:
                raise ValueError(f"{where}: item {i} is a {type(item).__name__}, not a pair (input, target)")
        inputs, targets = ([np.asarray(part) for part in parts] for parts in zip(*items, strict=True))
        for parts, what in ((inputs, "inputs"), (targets, "targets")):
            if len({part.shape for part in parts}) > 1:
                raise ValueError(f"{where}: the {what} differ in shape, {parts[0].shape} among others")
            if parts[0].dtype.kind not in "biuf":
                raise ValueError(f"{where}: the {what} are not numbers")
        return np.stack(inputs), np.stack(targets)


def _targets(values: np.ndarray) -> Tensor:
    targets = torch.tensor(values)
    return targets if targets.is_floating_point() else targets.long()
