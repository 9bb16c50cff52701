"""Any torch model on any torch dataset, by import path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from algorithms.checks import check
from algorithms.imports import import_path, imported
from gossip.errors import UsageError, blaming
from gossip.workloads.neural.seeding import seeded
from gossip.workloads.neural.supervised import Supervised
from gossip.workloads.neural.trial import give_shapes
from gossip.workloads.splits import Iid, Split, held_out, shards_of
from gossip.workloads.workload import Arrays, Read, Workload, read_here


@dataclass(frozen=True)
class TorchWorkload(Workload):
    """Any torch model on any map-style dataset, both named by import path.

    The items of the dataset are pairs (input, target), all of one shape; they are stacked in memory. Integer
    targets mean classification, floating-point targets regression without "test_accuracy". What the dataset
    draws from torch's global generator is the same in every run; what the model draws depends on the seed.

    Parameters that do not require a gradient stay as they are: they are not trained, sent or counted. What else a pass
    of the training changes of the model, such as the vectors of spectral normalisation or the running statistics of
    InstanceNorm, each node has for itself, or averages with its neighbours in each round, as it does its parameters;
    "test_loss" is that of the average over all nodes, of parameters and of these.

    BatchNorm needs batches of two examples or more. By default it keeps no running statistics: it uses those of the
    batch, in the evaluation too, where the held-out examples are cut into equal parts of at most 250, so that the
    accuracy of such a model depends on which examples share a part. `python -m gossip.checkpoint export` writes what
    `load_state_dict` of the model takes; the running statistics in it are then those of the start.

    Args:
        model: Import path of the model's class, such as "package.module.Class". In Python the class itself, or a
            function, may stand here and below.
        dataset: Import path of the class of the training data, a torch Dataset with a length and `[]`.
        model_args: Keyword arguments for the model.
        dataset_args: Keyword arguments for the training data.
        test_dataset: Import path of the class of the held-out data; without it, a fixed fifth of `dataset`.
        test_dataset_args: Keyword arguments for the held-out data.
        loss: Import path of a function (outputs, targets) -> mean loss over the batch, or of a loss module's class.
        split: How the training examples are divided over the nodes.
        buffers: What becomes of buffers that the training changes: "keep", each node keeps its own; or "average",
            neighbours average those of floating-point numbers in each round, and the bytes count.
        batch_norm: What BatchNorm uses in the evaluation: "batch", statistics of the batch; or "running" ones, which
            are buffers that the training changes.
    """

    model: str
    dataset: str
    model_args: Mapping[str, Any] = field(default_factory=dict)
    dataset_args: Mapping[str, Any] = field(default_factory=dict)
    test_dataset: str | None = None
    test_dataset_args: Mapping[str, Any] = field(default_factory=dict)
    loss: str = "torch.nn.functional.cross_entropy"
    split: Split = field(default_factory=Iid)
    buffers: Literal["keep", "average"] = "keep"
    batch_norm: Literal["batch", "running"] = "batch"

    def __post_init__(self) -> None:
        check(self.batch_norm in ("batch", "running"), self, "batch_norm", '"batch" or "running"')
        check(self.buffers in ("keep", "average"), self, "buffers", '"keep" or "average"')
        for name in ("model", "dataset", "test_dataset", "loss"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, import_path(self, name))

    def shard(self, n: int, seed: int, read: Read = read_here) -> Supervised:
        """The data split over n nodes.

        Raises:
            ValueError: An import path does not resolve, or what it names fails; a dataset is empty, or its items are
                not pairs of numbers of one shape; or model, loss and data do not fit together.
        """
        loss = self._loss()
        with seeded(seed, "model"):
            model = self._made("model")
        if not isinstance(model, nn.Module):
            raise UsageError(
                f"TorchWorkload: model = {self.model!r} makes a {type(model).__name__}, not a torch Module"
            )
        arrays = read(self._read)
        inputs, targets = torch.tensor(arrays["inputs"]), _targets(arrays["targets"])
        if self.test_dataset is None:
            train, test = held_out(len(inputs))
            test_inputs, test_targets = inputs[test], targets[test]
            inputs, targets = inputs[train], targets[train]
        else:
            test_inputs, test_targets = torch.tensor(arrays["test_inputs"]), _targets(arrays["test_targets"])
        shards = shards_of(self.split, targets.numpy(), n, seed)
        with seeded(seed, "lazy parameters"):
            give_shapes(model, inputs)
        return Supervised(
            model,
            loss,
            inputs,
            targets,
            test_inputs=test_inputs,
            test_targets=test_targets,
            shards=shards,
            classification=not targets.is_floating_point(),
            seed=seed,
            average_buffers=self.buffers == "average",
            running_statistics=self.batch_norm == "running",
        )

    def _made(self, name: str) -> Any:
        """What the class or function in this field makes of its arguments."""
        called, options = imported(self, name), getattr(self, f"{name}_args")
        with blaming(f"TorchWorkload: {name} = {getattr(self, name)!r} with {name}_args = {dict(options)}", called):
            return called(**options)

    def _loss(self) -> Callable[[Any, Tensor], Tensor]:
        """The function, or what the class makes without arguments."""
        found = imported(self, "loss")
        if not isinstance(found, type):
            return cast(Callable[[Any, Tensor], Tensor], found)
        with blaming(f"TorchWorkload: loss = {self.loss!r} without arguments", found):
            made = found()
        if not callable(made):
            raise UsageError(f"TorchWorkload: loss = {self.loss!r} makes a {type(made).__name__}, which is no function")
        return cast(Callable[[Any, Tensor], Tensor], made)

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
        where = f"TorchWorkload: {name} = {getattr(self, name)!r}"
        with seeded(0, name):
            dataset = self._made(name)
            with blaming(f"{where} has no length", type(dataset)):
                count = len(dataset)
            items = []
            for i in range(count):
                with blaming(f"{where}: item {i} of {count}", type(dataset)):
                    items.append(dataset[i])
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
