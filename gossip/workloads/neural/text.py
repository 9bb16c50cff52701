"""A small language model on text that comes with Python: nothing is downloaded."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu, scaled_dot_product_attention

from algorithms.checks import check
from gossip.workloads.neural.seeding import seeded
from gossip.workloads.neural.supervised import Supervised
from gossip.workloads.splits import Iid, Split, held_out, shards_of
from gossip.workloads.workload import Arrays, Read, Workload, read_here

DEVIATION = 0.02  # of the initial weights, as in GPT-2


@dataclass(frozen=True)
class Text(Workload):
    """Predict the next character of Python's reference manual with a decoder-only transformer.

    The text is that of `pydoc_data.topics`, topic by topic in the order of their names: about 465,000 characters of
    103 kinds, which differ a little between versions of Python. It is cut into sequences of `context` characters;
    of each, the model predicts every character from those before it. A fixed fifth of the sequences, chosen at
    random, is held out. "test_loss" is in nats per character, "test_accuracy" the share of characters that the
    model finds likeliest. A sequence's label, which splits by label go by, is the topic in which it begins; so
    with `ByLabel` each node has chapters of its own.

    Args:
        context: Characters in a sequence, >= 1.
        width: Entries of the vector that stands for a character, a multiple of `heads`.
        layers: Number of blocks of attention and perceptron, >= 1.
        heads: Number of heads of each attention, >= 1.
        split: How the training sequences are divided over the nodes.
    """

    context: int = 64
    width: int = 64
    layers: int = 2
    heads: int = 4
    split: Split = field(default_factory=Iid)

    def __post_init__(self) -> None:
        for name in ("context", "layers", "heads"):
            check(getattr(self, name) >= 1, self, name, ">= 1")
        check(self.width >= 1 and self.width % self.heads == 0, self, "width", f"a multiple of heads = {self.heads}")

    def shard(self, n: int, seed: int, read: Read = read_here) -> Supervised:
        """The sequences split over n nodes."""
        arrays = read(read_topics)
        symbols = torch.from_numpy(arrays["symbols"]).long()
        count = (len(symbols) - 1) // self.context
        starts = self.context * np.arange(count)
        inputs = symbols[: count * self.context].reshape(count, self.context)
        targets = symbols[1 : count * self.context + 1].reshape(count, self.context)
        labels = np.searchsorted(arrays["topics"], starts, side="right") - 1
        train, test = held_out(count)
        with seeded(seed, "model"):
            model = Transformer(len(arrays["vocabulary"]), self.context, self.width, self.layers, self.heads)
        return Supervised(
            model,
            cross_entropy,
            inputs,
            targets,
            test_inputs=inputs[test],
            test_targets=targets[test],
            shards=[train[part] for part in shards_of(self.split, labels[train], n, seed)],
            classification=True,
        )


class Transformer(nn.Module):
    """A decoder-only transformer with the normalisation before each part, and learned positions.

    Radford, Wu, Child, Luan, Amodei and Sutskever, "Language Models are Unsupervised Multitask Learners", 2019.
    """

    def __init__(self, vocabulary: int, context: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.symbols = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.scores = nn.Linear(width, vocabulary, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=DEVIATION)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, symbols: Tensor) -> Tensor:
        """Scores (batch, vocabulary, length) of the symbols that follow those of (batch, length)."""
        x = self.symbols(symbols) + self.positions.weight[: symbols.shape[1]]
        scores: Tensor = self.scores(self.norm(self.blocks(x)))
        return scores.transpose(1, 2)


class Block(nn.Module):
    """x + attention(norm(x)), to which then perceptron(norm(.)) is added."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_of_attention = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_of_perceptron = nn.LayerNorm(width)
        self.hidden = nn.Linear(width, 4 * width)
        self.back = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, width) from the same; no place sees a later one."""
        by_head = self.queries_keys_values(self.norm_of_attention(x)).unflatten(2, (3 * self.heads, -1)).transpose(1, 2)
        queries, keys, values = by_head.chunk(3, dim=1)
        seen = scaled_dot_product_attention(queries, keys, values, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        y: Tensor = x + self.back(gelu(self.hidden(self.norm_of_perceptron(x))))
        return y


def read_topics() -> Arrays:
    """ "vocabulary", all characters in the order of their code points; "symbols", the text as places in it, uint8;
    "topics", where each topic begins."""
    from pydoc_data.topics import topics

    texts = [topics[name] + "\n" for name in sorted(topics)]
    points = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32)
    vocabulary, symbols = np.unique(points, return_inverse=True)
    lengths = np.array([len(text) for text in texts])
    return {
        "vocabulary": vocabulary,
        "symbols": symbols.astype(np.uint8),
        "topics": np.cumsum(lengths) - lengths,
    }
