"""The character-level language model."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from gossip.workloads import ByLabel, Text
from gossip.workloads.neural.text import Transformer, read_topics
from gossip.workloads.splits import held_out

SMALL: dict[str, Any] = {"context": 16, "width": 8, "layers": 2, "heads": 2}


@pytest.fixture(scope="module")
def arrays():
    """The text, read once for this file."""
    return read_topics()


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Transformer(20, 16, 8, 2, 2)


def test_the_text_is_that_of_the_topics(arrays):
    from pydoc_data.topics import topics

    text = "".join(chr(arrays["vocabulary"][symbol]) for symbol in arrays["symbols"].tolist())
    assert text == "".join(topics[name] + "\n" for name in sorted(topics))
    assert len(arrays["vocabulary"]) == len(set(text)) <= 256
    for name, start in zip(sorted(topics), arrays["topics"], strict=True):
        assert text[start:].startswith(topics[name])


@pytest.mark.parametrize("changed", [0, 7, 15])
def test_no_place_sees_a_later_one(model, changed):
    symbols = torch.arange(32).reshape(2, 16) % 20
    other = symbols.clone()
    other[1, changed] = (other[1, changed] + 1) % 20
    before, after = model(symbols), model(other)
    assert before.shape == (2, 20, 16)
    torch.testing.assert_close(before[0], after[0])
    torch.testing.assert_close(before[1, :, :changed], after[1, :, :changed])
    differs = (before[1, :, changed:] - after[1, :, changed:]).abs().amax(dim=0)
    assert (differs > 1e-7).all()  # every later place sees it


def test_the_scores_are_of_the_next_symbol(arrays):
    shards = Text(**SMALL).shard(3, 0, read=lambda _: arrays)
    shards._make_ready(np.arange(3))
    inputs, targets = shards._ready
    assert inputs.shape == targets.shape and inputs.shape[1] == 16
    torch.testing.assert_close(inputs[:, 1:], targets[:, :-1])


def test_the_untrained_model_knows_nothing(arrays):
    shards = Text(**SMALL).shard(3, 0, read=lambda _: arrays)
    metrics = shards.evaluate(shards.initial())
    assert metrics["test_loss"] == pytest.approx(math.log(len(arrays["vocabulary"])), abs=0.02)
    assert metrics["test_accuracy"] < 0.2
    sample = shards.gradient(shards.initial()[None], [1], torch.arange(4)[None])
    assert float(sample.loss) == pytest.approx(metrics["test_loss"], abs=0.05)


def test_shards_are_the_same_in_every_run_and_together_all_there_is(arrays):
    first, second, other = (Text(**SMALL).shard(5, seed, read=lambda _: arrays) for seed in (0, 0, 1))
    count = (len(arrays["symbols"]) - 1) // 16
    for shards in (first, second, other):
        assert np.array_equal(np.sort(np.concatenate(shards._shards)), np.sort(held_out(count)[0]))
    assert all(np.array_equal(a, b) for a, b in zip(first._shards, second._shards, strict=True))
    assert not np.array_equal(first._shards[0], other._shards[0])
    assert torch.equal(first.initial(), second.initial())
    assert not torch.equal(first.initial(), other.initial())


def test_by_label_nodes_have_chapters_of_their_own(arrays):
    shards = Text(**SMALL, split=ByLabel()).shard(4, 0, read=lambda _: arrays)._shards
    topics = [np.searchsorted(arrays["topics"], 16 * shard, side="right") for shard in shards]
    for before, after in pairwise(topics):
        assert before.max() <= after.min()
    assert topics[0].max() < topics[-1].min()


def test_a_node_has_the_same_bits_whoever_is_computed_with_it(arrays):
    shards = Text(**SMALL).shard(3, 0, read=lambda _: arrays)
    x = torch.stack([shards.initial() * (1 + i) for i in range(3)])
    batch = torch.arange(6).reshape(3, 2)
    together = shards.gradient(x, range(3), batch)
    for node in range(3):
        alone = shards.gradient(x[node : node + 1], [node], batch[node : node + 1])
        assert torch.equal(alone.gradient[0], together.gradient[node])
        assert torch.equal(alone.loss[0], together.loss[node])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context": 0}, "Text: context = 0 is not allowed; it must be >= 1"),
        ({"layers": 0}, "Text: layers = 0 is not allowed; it must be >= 1"),
        ({"heads": 0}, "Text: heads = 0 is not allowed; it must be >= 1"),
        ({"width": 10, "heads": 4}, "Text: width = 10 is not allowed; it must be a multiple of heads = 4"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError) as refused:
        Text(**options)
    assert str(refused.value) == message
