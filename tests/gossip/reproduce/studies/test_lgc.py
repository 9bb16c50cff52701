"""The study of learned gradient compression: its parts, wrong results, and all of it at a tiny size."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure

from gossip.reproduce.studies.lgc import (
    ALL_REDUCE,
    DGC,
    FROZEN,
    NODES,
    RATES,
    SERVER,
    SGD,
    WHOLE,
    Frozen,
    Phases,
    accuracy,
    claims,
    contenders,
    images,
    lost,
    network,
    run,
    traffic,
)
from gossip.workloads import TorchWorkload

TINY = Phases(dense=2, training=2, codes=2, every=2)


def test_the_layers_are_divided_as_in_the_paper() -> None:
    shards = TorchWorkload(network, images).shard(NODES, 0)
    algorithm: Any = contenders(TINY, RATES)[ALL_REDUCE].for_layout(shards.layout)
    places = algorithm.places(shards.layout.d)
    assert (places.dense, places.coded, places.sparse) == (slice(0, 80), slice(80, 5888), slice(5888, 7178))
    x, nodes = shards.initial().repeat(NODES, 1), range(NODES)
    whole, part = (each.gradient(x, nodes).gradient for each in (shards, Frozen(shards, places.coded)))
    assert not part[:, places.coded].any() and whole[:, places.coded].any()
    assert torch.equal(part[:, places.sparse], whole[:, places.sparse])


def test_what_is_measured() -> None:
    phases = Phases(dense=10, training=20, codes=20)
    history = [
        {"step": step, "test_accuracy": step / 100, "bytes_sent_per_node": 1e3 * step**2, "share_lost_by_autoencoder": s}
        for step, s in zip(range(0, 60, 10), (9.0, 9.0, 0.5, 0.7, 9.0, 9.0), strict=True)
    ]
    assert accuracy(history) == pytest.approx(0.3) and accuracy([]) == 0
    assert lost(history, phases) == pytest.approx(0.6)
    assert traffic(history, ALL_REDUCE, phases) == pytest.approx((50**2 - 30**2) / 20 * NODES)
    assert traffic(history, SERVER, phases) == pytest.approx((50**2 - 30**2) / 20 * (NODES + 1))
    assert math.isnan(traffic(history, FROZEN, phases)) and math.isnan(traffic([], SGD, phases))
