"""What studies that look into trainings share."""

from __future__ import annotations

import pytest
import torch

from algorithms import LocalSGD, Minibatch
from gossip import run
from gossip.reproduce.following import followed, in_the_end, on_first_examples
from gossip.workloads import Mnist
from topologies import complete


def test_a_followed_training_has_the_bits_of_a_run() -> None:
    shards, algorithm = Mnist(hidden=2).shard(3, 0), LocalSGD(0.1, 2)
    wanted = run(shards, complete(3), algorithm, oracle=Minibatch(4), steps=4, seed=5, output=None)
    for moment, network in followed(shards, algorithm, 4, nodes=3, steps=4, seed=5):
        final, sent = moment.state.x.clone(), int(network.traffic.bytes.sum())
    assert torch.equal(final, wanted.model)
    assert sent / 3 == wanted.summary["bytes_sent_per_node"]


def test_losses_are_those_of_the_first_examples() -> None:
    shards = Mnist(hidden=2).shard(3, 0)
    x = shards.initial().repeat(3, 1)
    alone = shards.gradient(x[1:2], [1], torch.arange(5)[None])
    found = on_first_examples(shards, x, 5)
    assert torch.equal(found.loss[1:2], alone.loss) and torch.equal(found.gradient[1:2], alone.gradient)


def test_columns_are_of_all_seeds() -> None:
    runs = [[{"loss": loss, "accuracy": 0.9}, {"loss": loss / 2, "accuracy": 0.8 + loss / 100}] for loss in (1.0, 3.0)]
    runs = [[*records, {"loss": records[1]["loss"] / 2, "accuracy": records[1]["accuracy"]}] for records in runs]
    assert in_the_end(runs) == {
        "loss half way": pytest.approx(1.0),
        "loss": pytest.approx(0.5),
        "of each seed": "0.250, 0.750",
        "accuracy (%)": pytest.approx(82.0),
        "spread": pytest.approx(2.0),
    }
