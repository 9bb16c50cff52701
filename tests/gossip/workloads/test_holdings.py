"""Who has what, counted, and its picture in the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import gossip
from algorithms import DecentralizedSGD, FedAvg
from gossip.records.report.holdings import NODES, in_words, who_has_what
from gossip.workloads import Averaging, ByLabel, Digits, Dirichlet, Iid, LeastSquares, LogisticRegression
from gossip.workloads.holdings import Holdings, holdings
from gossip.workloads.neural.images import read_digits
from gossip.workloads.splits import held_out
from topologies import ring

RANDOM = np.random.default_rng(0)


def test_labels_are_counted() -> None:
    split = Dirichlet(0.3)
    held = holdings(Digits(hidden=2, split=split).shard(6, 4), range(6))
    labels = read_digits()["labels"]
    own = labels[held_out(len(labels))[0]]
    assert held is not None and list(held.labels) == list("0123456789")
    wanted = [[(own[shard] == label).sum() for label in range(10)] for shard in split.assign(own, 6, 4)]
    assert held.counts.tolist() == wanted


def test_two_classes_and_numbers() -> None:
    held = holdings(LogisticRegression(split=ByLabel()).shard(4, 0), [0, 3])
    assert held is not None and list(held.labels) == ["-1", "1"]
    assert (held.counts > 0).tolist() == [[True, False], [False, True]]
    linear = LeastSquares(RANDOM.normal(size=(3, 4, 2)), RANDOM.normal(size=(3, 4)))
    assert holdings(linear.shard(3, 0), range(3)) is None  # all have as much, and there are no classes
    assert holdings(Averaging().shard(3, 0), range(3)) is None


def test_dots_have_the_areas_of_the_counts() -> None:
    pytest.importorskip("matplotlib")
    held = Holdings(["a", "b"], np.array([[8, 0], [2, 4]]))
    sizes, dots = who_has_what(held).axes
    assert [bar.get_height() for bar in sizes.patches] == [8, 6]
    (found,) = dots.collections
    assert np.asarray(found.get_offsets()).tolist() == [[0, 0], [1, 0], [1, 1]]
    areas = np.asarray(found.get_sizes())
    assert (areas / areas[0]).tolist() == [1, 0.25, 0.5]
    assert [label.get_text() for label in dots.get_yticklabels()] == ["a", "b"]
    assert in_words(held) == "14 training examples, 6 to 8 on a node, of 1 to 2 labels"


def test_of_many_nodes_some_are_shown() -> None:
    pytest.importorskip("matplotlib")
    held = Holdings(["examples"], np.arange(1, 1001)[:, None])
    (sizes,) = who_has_what(held).axes
    assert len(sizes.patches) == NODES and sizes.patches[-1].get_height() == 1000
    assert in_words(held) == f"500500 training examples, 1 to 1000 on a node; shown are {NODES} of 1000 nodes"


def test_the_report_of_a_run_has_it_before_a_step_is_done(tmp_path: Path) -> None:
    def page(split: Iid | ByLabel, server: bool) -> str:
        method = FedAvg() if server else DecentralizedSGD()
        directory = gossip.run(Digits(hidden=2, split=split), ring(4), method, steps=0, output=tmp_path).directory
        assert directory is not None
        return (directory / "report.html").read_text(encoding="utf-8")

    for server in (False, True):
        text = page(ByLabel(), server)
        assert "Who has what" in text and "1438 training examples, 359 to 360 on a node, of 3 to 4 labels" in text
    assert "on a node, of 10 labels" in page(Iid(), False)
