"""Problems that several studies have: handwritten digits for linear models, and what is measured alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from algorithms import Compressor, Oracle, ShardedWorkload
from algorithms.randomness import Draw, generator
from gossip.reproduce.study import History
from gossip.study.tuning import search
from gossip.study.values import Range
from gossip.workloads import LogisticRegression
from gossip.workloads.neural.images import read_mnist
from gossip.workloads.splits import Split, shards_of
from gossip.workloads.workload import Arrays

TUNING_SEED = 1_000_000  # for what is looked for before the runs that count, as in `gossip.study`


def final_loss(history: History) -> float:
    """The test loss at the end; infinite if the run diverged."""
    return float(history[-1]["test_loss"]) if history else math.inf


def final_accuracy(history: History, metric: str = "test_accuracy") -> float:
    """The mean of an accuracy over the last three evaluations; that of chance, 0.1, if the run diverged."""
    return float(np.mean([metrics[metric] for metrics in history[-3:]])) if history else 0.1


def draw_attacks(
    figure: Figure, found: Mapping[str, Mapping[str, Sequence[float]]], attacks: Sequence[str], label: str
) -> None:
    """Accuracies of methods by name, attack by attack, as bars of means with a point for each seed."""
    figure.set_size_inches(9, 5)
    axes, width = figure.subplots(), 1 / (len(found) + 1)
    for number, (name, accuracies) in enumerate(found.items()):
        places = np.arange(len(attacks)) + number * width
        axes.bar(places, [np.mean(accuracies[attack]) for attack in attacks], width, label=name)
        for place, attack in zip(places, attacks, strict=True):
            axes.plot([place] * len(accuracies[attack]), accuracies[attack], ".", color="0.2", markersize=3)
    axes.set_xticks(np.arange(len(attacks)) + (len(found) - 1) * width / 2, list(attacks))
    axes.set_ylabel("test accuracy")
    axes.set_xlabel(label)
    axes.legend(fontsize=8, frameon=False, ncols=len(found), loc="upper center", bbox_to_anchor=(0.5, 1.08))


def best_rate(
    train: Callable[[float, int], History],
    rates: str,
    steps: int,
    score: Callable[[History], float] = final_loss,
) -> tuple[float, dict[float, float]]:
    """The learning rate with the lowest score, looked for as `gossip.study --tune` does.

    Args:
        train: What a run with a learning rate and so many steps has measured; empty if it diverged.
        rates: LOW..HIGH:POINTS, the first grid; the search goes beyond its ends, and half a step around the best.
        steps: Those of a whole run.
        score: Of what was measured; what is low is good.

    Returns:
        The best, and the scores of whole runs by learning rate.
    """
    tried: dict[float, float] = {}
    found = search({"lr": Range.parse("lr", rates)}, steps, "grid")
    trials = next(found)
    while True:
        scores = [score(train(trial.values["lr"], trial.steps)) for trial in trials]
        whole = zip(trials, scores, strict=True)
        tried |= {trial.values["lr"]: each for trial, each in whole if trial.steps == steps}
        try:
            trials = found.send(scores)
        except StopIteration as end:
            return end.value.best["lr"], tried


def bits_per_entry(compressor: Compressor, stacks: Sequence[Tensor]) -> dict[str, float]:
    """Mean bits of a message over its entries by the three ways of counting: the paper's formula, an ideal code for
    symbols and indices, and what goes over the wire; of vectors in single precision, as papers count.

    Args:
        compressor: What makes the messages.
        stacks: Of vectors, each (k, d).
    """
    messages = [compressor.compress(x.float(), Draw(0, "bits", range(len(x)), at)) for at, x in enumerate(stacks)]
    bits = [(each.paper_bits, float(each.entropy_bits.mean()), float(each.bits.double().mean())) for each in messages]
    paper, entropy, wire = np.mean(bits, axis=0) / stacks[0].shape[1]
    return {"paper bits": float(paper), "entropy bits": float(entropy), "wire bits": float(wire)}


def gradients_along(
    shards: ShardedWorkload, oracle: Oracle, nodes: int, steps: int, lr: float, points: int, seed: int
) -> list[Tensor]:
    """Each (nodes, d), those of all nodes at some points along uncompressed SGD of so many steps."""
    x = shards.initial().repeat(nodes, 1)
    state, kept = oracle.start(shards, x, range(nodes), seed), []
    for step in range(steps):
        gradient = oracle.sample(state, shards, x, range(nodes), step, seed).gradient
        if step % max(1, steps // points) == 0:
            kept.append(gradient)
        x = x - lr * gradient.mean(0)
    return kept


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
