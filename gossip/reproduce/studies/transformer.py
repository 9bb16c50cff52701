"""Transformers need Adam, also without a centre: decentralized AdamW against the centralized one and against SGD.

AdamW: Loshchilov & Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, arXiv 1711.05101. That transformers
train far better with Adam than with SGD: Zhang, Karimireddy, Veit, Kim, Reddi, Kumar, Sra, "Why are Adaptive Methods
Good for Attention Models?", NeurIPS 2020, arXiv 1912.03194.

A small character-level transformer on Python's reference manual, 8 nodes. Centralized means that the graph is complete:
AdamW then averages all parameters in every step. The learning rate of each method is the best of its candidates, by the
test loss of the average model after as many steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from algorithms import Algorithm, DecentralizedAdamW, DecentralizedSGD, Minibatch, ShardedWorkload
from gossip.reproduce.study import Claim, Findings, Say, Study, history_of
from gossip.workloads import Text
from topologies import Topology, complete, ring

METHODS: dict[str, tuple[Callable[[int], Topology], Callable[[float], Algorithm], tuple[float, ...]]] = {
    "AdamW, centralized": (complete, DecentralizedAdamW, (0.005, 0.01)),
    "AdamW, ring": (ring, DecentralizedAdamW, (0.005, 0.01)),
    "SGD, ring": (ring, DecentralizedSGD, (0.3, 1.0)),
    # Diverges at 1.
    "SGD with momentum, ring": (ring, lambda lr: DecentralizedSGD(lr, momentum=0.9), (0.1, 0.3)),
}
EVALUATIONS = 10
NEAR = 0.1  # of the loss of centralized AdamW
FAR = 0.2


def train(
    shards: ShardedWorkload, topology: Topology, algorithm: Algorithm, steps: int, batch: int, seed: int
) -> list[dict[str, Any]]:
    """Steps and test losses of the average model; empty if it diverged."""
    history = history_of(
        shards,
        topology,
        algorithm,
        oracle=Minibatch(batch=batch),
        steps=steps,
        seed=seed,
        evaluate_every=max(1, steps // EVALUATIONS),
    )
    return [{"step": metrics["step"], "test_loss": metrics["test_loss"]} for metrics in history]


def run(
    seeds: Sequence[int],
    say: Say,
    *,
    text: Text = Text(context=32, width=32, layers=2),  # noqa: B008 - frozen
    nodes: int = 8,
    steps: int = 300,
    batch: int = 16,
) -> Findings:
    """Train with every method at each of its learning rates.

    Args:
        text: The model and how the text is divided.
        nodes: Nodes of the graph.
        steps: Iterations of a run.
        batch: Sequences per node and iteration.
    """
    shards = {seed: text.shard(nodes, seed) for seed in seeds}  # read once, not in every run
    table: list[dict[str, Any]] = []
    curves = {}
    for name, (family, algorithm, rates) in METHODS.items():
        tried = {}
        for lr in rates:
            say(f"{name}, learning rate {lr}")
            tried[lr] = [train(shards[seed], family(nodes), algorithm(lr), steps, batch, seed) for seed in seeds]
        losses = {lr: float(np.mean([_final(history) for history in each])) for lr, each in tried.items()}
        best = min(losses, key=lambda lr: losses[lr])
        curves[name] = {"losses by learning rate": losses, "histories": tried[best]}
        table.append(
            {
                "method": name,
                "learning rate": best,
                "test loss (nats)": losses[best],
                "bits per character": losses[best] / float(np.log(2)),
                "/ centralized": losses[best] / table[0]["test loss (nats)"] if table else 1.0,
            }
        )
    return Findings(table, _claims(table), lambda figure: _draw(figure, curves), curves)


def _final(history: Sequence[Mapping[str, float]]) -> float:
    return history[-1]["test_loss"] if history else float("inf")


def _claims(table: Sequence[Mapping[str, Any]]) -> list[Claim]:
    ratios = {row["method"]: float(row["/ centralized"]) for row in table}
    sgd = min(ratio for name, ratio in ratios.items() if name.startswith("SGD"))
    return [
        Claim(
            f"decentralized AdamW comes within {NEAR:.0%} of the test loss of centralized AdamW",
            f"it is {ratios['AdamW, ring'] - 1:.1%} above",
            ratios["AdamW, ring"] <= 1 + NEAR,
        ),
        Claim(
            f"decentralized SGD, with or without momentum, is more than {FAR:.0%} above",
            f"the better one is {sgd - 1:.1%} above",
            sgd > 1 + FAR,
        ),
    ]


def _draw(figure: Figure, curves: Mapping[str, Any]) -> None:
    """Test loss over iterations, mean over the seeds."""
    figure.set_size_inches(6, 4.2)
    axes = figure.subplots()
    for name, curve in curves.items():
        histories = [history for history in curve["histories"] if history]
        if histories:
            steps = [metrics["step"] for metrics in histories[0]]
            losses = np.mean([[metrics["test_loss"] for metrics in history] for history in histories], axis=0)
            axes.plot(steps, losses, label=name)
    axes.set_xlabel("iterations")
    axes.set_ylabel("test loss (nats per character)")
    axes.legend(fontsize=8, frameon=False)


STUDY = Study(
    paper="Loshchilov & Hutter 2019, arXiv 1711.05101; Zhang et al. 2020, arXiv 1912.03194",
    claim="transformers need Adam, and train with it on a ring nearly as well as with all-reduce",
    run=run,
)
