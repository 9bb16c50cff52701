"""Gossip with strongly compressed messages against exact communication: CHOCO-SGD for logistic regression.

Koloskova, Stich, Jaggi, "Decentralized Stochastic Optimization and Gossip Algorithms with Compressed Communication",
ICML 2019, arXiv 1902.00340. DCD-PSGD, ECD-PSGD: Tang et al. 2018, arXiv 1803.06443; DeepSqueeze: 1907.07346.

Even against odd digits: 4,995 MNIST images, pixels scaled to length 1, on 9 nodes in a ring, a torus and completely
linked; in random order, or sorted by label. One example is one gradient. All learning rates are a / (l2 (t + d)), as in
the paper, with a = 3, the best for exact communication. The paper has l2 = 1 / examples and 444,000 iterations; here l2
is 0.01, so that 1,500 are enough for exact communication. Top-1 % and random-1 % keep 7 of the d = 784 numbers, QSGD-16
has 16 levels, 33 symbols. Numbers have 64 bits, and bits are those that a node sends, headers and all neighbours
included.

What is left open is tuned on the ring with sorted labels: gamma of CHOCO and DeepSqueeze, and for DCD and ECD, which
have none, a factor of the learning rate. The candidate with the least suboptimality at the end is used everywhere; the
paper too has one gamma for both splits. The suboptimality is that of the average model, by the least objective from
Newton's method; at the end it is the mean over the last quarter of all evaluations.

With sorted labels so few iterations are not enough for 1 % of the entries: on the ring and with gamma = 0.1, top-1 % is
at 0.015, 0.0090 and 0.0078 after 800, 1,600 and 2,000 iterations and still falls, where exact communication has 0.0011,
0.0005 and 0.0003. In random order the two curves agree to 5 % after 400.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from algorithms import (
    QSGD,
    Algorithm,
    ChocoSGD,
    Compressor,
    Contraction,
    DcdPSGD,
    DecentralizedSGD,
    DeepSqueeze,
    EcdPSGD,
    InverseTime,
    Minibatch,
    RandomK,
    TopK,
)
from algorithms.randomness import generator
from gossip.reproduce.study import Claim, Findings, Say, Study, history_of
from gossip.workloads import LogisticRegression
from gossip.workloads.images import read_mnist
from gossip.workloads.splits import ByLabel, Iid, Split
from gossip.workloads.workload import Arrays
from topologies import Topology, complete, ring, torus

NODES = 9
SCALE = 3.0  # of the learning rate
SPLITS: dict[str, Split] = {"random": Iid(), "sorted": ByLabel()}
GRAPHS: dict[str, Callable[[int], Topology]] = {"ring": ring, "torus": torus, "complete": complete}
FACTORS = (1.0, 1e-3, 1e-6)  # of the learning rate, for methods that have no gamma
EVALUATIONS = 60
EXACT = "exact"
CHOCO = ("CHOCO, top 1 %", "CHOCO, random 1 %", "CHOCO, QSGD-16")
TANG = ("DCD, random 1 %", "ECD, random 1 %", "DCD, QSGD-16", "ECD, QSGD-16")
TARGET = 1e-2  # suboptimality until which bits are counted
CLOSE, HOPELESS, FEWER = 1.5, 10, {"CHOCO, top 1 %": 100, "CHOCO, QSGD-16": 15}

History = Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class Method:
    """An algorithm with what is to be tuned.

    Args:
        candidates: Values of gamma or of the factor of the learning rate.
        make: The algorithm from the scale and the offset of its learning rate, and one of them.
    """

    candidates: tuple[float, ...]
    make: Callable[[float, float, float], Algorithm]


def methods(fraction: float, levels: int) -> dict[str, Method]:
    """What is compared; `fraction` of the entries is kept where only some are."""
    top, qsgd = TopK(fraction=fraction), QSGD(levels=levels)
    random, unbiased = RandomK(fraction=fraction), RandomK(fraction=fraction, unbiased=True)

    def choco(compressor: Compressor, *gammas: float) -> Method:
        return Method(gammas, lambda a, b, gamma: ChocoSGD(InverseTime(a, b), gamma, compressor))

    def tang(kind: type[DcdPSGD] | type[EcdPSGD], compressor: Compressor) -> Method:
        return Method(FACTORS, lambda a, b, factor: kind(InverseTime(factor * a, b), compressor))

    return {
        EXACT: Method((1.0,), lambda a, b, factor: DecentralizedSGD(InverseTime(factor * a, b))),
        CHOCO[0]: choco(top, 0.05, 0.1, 0.2),
        CHOCO[1]: choco(random, 0.01, 0.02, 0.05),
        CHOCO[2]: choco(Contraction(qsgd), 0.34, 0.7),
        "DeepSqueeze, top 1 %": Method((0.001, 0.01), lambda a, b, g: DeepSqueeze(InverseTime(a, b), g, top)),
        "DCD, random 1 %": tang(DcdPSGD, unbiased),
        "ECD, random 1 %": tang(EcdPSGD, unbiased),
        "DCD, QSGD-16": tang(DcdPSGD, qsgd),
        "ECD, QSGD-16": tang(EcdPSGD, qsgd),
    }


def digits(data: Arrays, split: Split, nodes: int, l2: float, most: int, seed: int) -> LogisticRegression:
    """Even against odd MNIST digits, divided over the nodes evenly, nothing held out.

    Args:
        data: From `read_mnist`.
        most: Examples used at most, the same ones for every split.
    """
    order = generator(seed, "examples").permutation(len(data["labels"]))[: most - most % nodes]
    features = data["images"][order] / 255
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    labels = data["labels"][order] % 2
    parts = split.assign(labels, nodes, seed)
    return LogisticRegression(
        np.stack([features[part] for part in parts]), np.stack([labels[part] for part in parts]), l2=l2
    )


def train(problem: LogisticRegression, topology: Topology, algorithm: Algorithm, steps: int, seed: int) -> History:
    """What was measured from the start to the end; empty if it diverged."""
    return history_of(
        problem,
        topology,
        algorithm,
        oracle=Minibatch(1),
        steps=steps,
        seed=seed,
        evaluate_every=max(1, steps // EVALUATIONS),
        evaluate_nodes=0,
    )


def final(history: History, least: float) -> float:
    """The suboptimality at the end; infinite if the run diverged."""
    last = history[-(len(history) // 4 + 1) :]
    return float(np.mean([metrics["test_loss"] for metrics in last])) - least if history else math.inf


def kilobits(history: History, target: float) -> float:
    """What a node has sent when the objective first is at the target; infinite if it never is."""
    reached = (8e-3 * metrics["bytes_sent_per_node"] for metrics in history if metrics["test_loss"] <= target)
    return next(reached, math.inf)


def run(
    seeds: Sequence[int],
    say: Say,
    steps: int = 1500,
    fraction: float = 0.01,
    levels: int = 16,
    l2: float = 1e-2,
    most: int = 5000,
) -> Findings:
    """Tune every method on the ring with sorted labels, then run it on all graphs with both splits.

    Args:
        steps: Iterations of each training.
        fraction: Of the entries that are kept.
        levels: Of QSGD.
        l2: Weight of the squared norm.
        most: Examples used at most.
    """
    compared = methods(fraction, levels)
    data = read_mnist()
    problems = {name: [digits(data, split, NODES, l2, most, seed) for seed in seeds] for name, split in SPLITS.items()}
    shards = [problem.shard(NODES, 0) for problem in problems["sorted"]]  # the same objective for every split
    least = [float(shard.evaluate(shard.optimum)["test_loss"]) for shard in shards]
    rate = SCALE / l2, float(shards[0].layout.d)
    curves: dict[str, Any] = {"least": least, "tuning": {}}

    def trained(name: str, candidate: float, graph: str, split: str) -> list[History]:
        say(f"{name}, {candidate:g}, {graph}, {split}")
        algorithm = compared[name].make(*rate, candidate)
        pairs = zip(problems[split], seeds, strict=True)
        return [train(problem, GRAPHS[graph](NODES), algorithm, steps, seed) for problem, seed in pairs]

    def mean_final(histories: Sequence[History]) -> float:
        return float(np.mean([final(*pair) for pair in zip(histories, least, strict=True)]))

    def mean_kilobits(histories: Sequence[History]) -> float:
        return float(np.mean([kilobits(history, low + TARGET) for history, low in zip(histories, least, strict=True)]))

    table: list[dict[str, Any]] = []
    for name, method in compared.items():
        tried = {candidate: trained(name, candidate, "ring", "sorted") for candidate in method.candidates}
        curves["tuning"][name] = {candidate: mean_final(histories) for candidate, histories in tried.items()}
        best = min(tried, key=lambda candidate: curves["tuning"][name][candidate])
        for graph in GRAPHS:
            for split in SPLITS:
                known = (graph, split) == ("ring", "sorted")
                histories = tried[best] if known else trained(name, best, graph, split)
                key = f"{graph}, {split}"
                curves.setdefault(key, {})[name] = histories
                exact = curves[key][EXACT]
                bits = [mean_kilobits(each) for each in (exact, histories)]
                table.append(
                    {
                        "graph": graph,
                        "split": split,
                        "method": name,
                        "tuned": best,
                        "suboptimality": mean_final(histories),
                        "/ exact": mean_final(histories) / mean_final(exact),
                        "kbit to target": bits[1],
                        "times fewer": bits[0] / bits[1],
                        "distance": float(np.mean([h[-1]["consensus_distance"] if h else math.inf for h in histories])),
                    }
                )
    return Findings(table, _claims(table), lambda figure: _draw(figure, curves), curves)


def _claims(table: Sequence[Mapping[str, Any]]) -> list[Claim]:
    rows = {(row["method"], row["graph"], row["split"]): row for row in table}

    def values(name: str, column: str, split: str) -> dict[str, float]:
        return {graph: rows[name, graph, split][column] for graph in GRAPHS}

    def listed(found: Mapping[str, float]) -> str:
        return ", ".join(f"{graph} {value:.3g}" for graph, value in found.items())

    claims = []
    for split in SPLITS:
        for name in CHOCO:
            ratios = values(name, "/ exact", split)
            text = f"{name}, {split}: a suboptimality at the end at most {CLOSE} times that of exact communication"
            claims.append(Claim(text, listed(ratios), all(ratio <= CLOSE for ratio in ratios.values())))
        for name, fewer in FEWER.items():
            times = values(name, "times fewer", split)
            text = f"{name}, {split}: about {fewer} times fewer bits (at least half of that) to suboptimality {TARGET}"
            claims.append(Claim(text, listed(times), all(each >= fewer / 2 for each in times.values())))
        for name in TANG[:2]:
            ratios = values(name, "/ exact", split)
            text = f"{name}, {split}: diverges or needs a learning rate so small that it hardly moves"
            measured = f"factor {rows[name, 'ring', split]['tuned']:g}, suboptimality / exact: {listed(ratios)}"
            claims.append(Claim(text, measured, all(ratio > HOPELESS for ratio in ratios.values())))
    return claims


def _draw(figure: Figure, curves: Mapping[str, Any]) -> None:
    """Suboptimality over iterations and over bits, with the first seed: a column for each graph and split."""
    settings = [f"{graph}, {split}" for graph in GRAPHS for split in SPLITS]
    figure.set_size_inches(3 * len(settings), 6)
    panels = figure.subplots(2, len(settings), sharey=True, sharex="row")
    for setting, column in zip(settings, panels.T, strict=True):
        for i, (name, histories) in enumerate(curves[setting].items()):
            style = {"color": f"C{i}", "linestyle": "--" if name in TANG else "-", "label": name}
            gaps = [metrics["test_loss"] - curves["least"][0] for metrics in histories[0]]
            column[0].semilogy([metrics["step"] for metrics in histories[0]], gaps, **style)
            column[1].loglog([8 * metrics["bytes_sent_per_node"] for metrics in histories[0]], gaps, **style)
        column[0].set_title(setting, fontsize=10)
        for axes, over in zip(column, ("iterations", "bits sent per node"), strict=True):
            axes.set_xlabel(over)
            axes.set_ylim(1e-4, 1)
            axes.grid(color="0.93")
    for axes in panels[:, 0]:
        axes.set_ylabel("suboptimality of the average model")
    panels[0, -1].legend(fontsize=7, frameon=False)


STUDY = Study(
    paper="Koloskova, Stich, Jaggi 2019, arXiv 1902.00340",
    claim="CHOCO-SGD gets as far as exact communication with 1 % of the entries, or 5 bits each; others do not",
    run=run,
)
