"""Workloads some of whose nodes train on flipped labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import gossip
from algorithms import DecentralizedSGD
from gossip.workloads import Digits, FlippedLabels, LeastSquares, LogisticRegression, WithReplacement, Workload
from topologies import ring

N, FLIPPED = 4, (1, 3)
RANDOM = np.random.default_rng(0)
FEATURES, LABELS = RANDOM.normal(size=(N, 6, 3)), np.where(RANDOM.random((N, 6)) < 0.5, -1.0, 1.0)


def by_hand() -> LogisticRegression:
    labels = LABELS.copy()
    labels[[*FLIPPED]] *= -1
    return LogisticRegression(FEATURES, labels)


def test_two_classes_are_those_flipped_by_hand() -> None:
    given = LogisticRegression(FEATURES, LABELS)
    found, wanted, honest = (each.shard(N, 0) for each in (FlippedLabels(given, FLIPPED), by_hand(), given))
    x = torch.from_numpy(RANDOM.normal(size=(N, 3)))
    assert torch.equal(found.gradient(x, range(N)).gradient, wanted.gradient(x, range(N)).gradient)
    assert found.evaluate(x[0]) == honest.evaluate(x[0])  # on data of their own, labels unflipped


@pytest.mark.parametrize(
    "workload", [Digits(hidden=4), Digits(hidden=4, split=WithReplacement(30))], ids=["iid", "shared"]
)
def test_ten_classes(workload: Digits) -> None:
    """The digit c of these nodes becomes 9 - c, in the weights of the outputs too; the others keep theirs."""
    honest, flipped = workload.shard(N, 3), FlippedLabels(workload, FLIPPED).shard(N, 3)
    x = honest.initial()
    reversed_outputs = {
        name: tensor.flip(0) if tensor.shape[0] == 10 else tensor for name, tensor in honest.layout.unflatten(x).items()
    }
    points = x.repeat(N, 1)
    mirrored = torch.stack([honest.layout.flatten(reversed_outputs) if node in FLIPPED else x for node in range(N)])
    found = flipped.gradient(points, range(N)).loss
    torch.testing.assert_close(found, honest.gradient(mirrored, range(N)).loss)
    assert (found - honest.gradient(points, range(N)).loss).abs()[[*FLIPPED]].min() > 1e-4
    assert flipped.evaluate(x) == honest.evaluate(x)
    assert [flipped.examples(node) for node in range(N)] == [honest.examples(node) for node in range(N)]


@pytest.mark.parametrize(
    ("workload", "nodes", "says"),
    [
        (Digits(), (), "nodes = .* the numbers of one or more nodes, each once"),
        (Digits(), (1, 1), "each once"),
        (Digits(), (N,), r"nodes = \(4,\) is not allowed; it must be among 0 to 3"),
        (LeastSquares(FEATURES, LABELS), (0,), "LeastSquares has no classes that could be flipped"),
    ],
)
def test_what_cannot_be_flipped_is_refused(workload: Workload, nodes: tuple[int, ...], says: str) -> None:
    def run(**options: Any) -> None:
        gossip.run(FlippedLabels(workload, nodes), ring(N), DecentralizedSGD(), steps=1, output=None, **options)

    with pytest.raises(ValueError, match=says):
        run()
