"""Momentum on heterogeneous data: which forms of it survive that every node sees other classes.

Lin, Karimireddy, Stich, Jaggi, "Quasi-Global Momentum: Accelerating Decentralized Deep Learning on Heterogeneous Data",
ICML 2021, arXiv 2102.04761; Yuan, Chen, Huang, Zhang, Pan, Xu, Yin, "DecentLaM: Decentralized Momentum SGD for
Large-batch Deep Training", ICCV 2021, arXiv 2104.11981; gradient tracking: Pu & Nedic, arXiv 1805.11454.

A perceptron on Mnist; 16 nodes on a ring, whose shares of each class are drawn from a Dirichlet distribution with
alpha = 0.1, so that most nodes know two or three classes. Local momentum averages local gradients, hence amplifies what
makes the nodes differ; DecentLaM, quasi-global momentum and gradient tracking take steps that the nodes agree on more.

Accuracies are those of the nodes' own models on all held-out images, averaged over the nodes, and also that of their
average model. Each method has its own learning rate, the best of `RATES` by the first of these, with a seed that is not
among those of the table: the methods differ in the learning rates that they bear.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from algorithms import (
    Algorithm,
    DecentLaM,
    DecentralizedSGD,
    GradientTracking,
    Minibatch,
    QuasiGlobalMomentum,
    ShardedWorkload,
)
from gossip.reproduce.study import Claim, Findings, Say, Study, history_of
from gossip.workloads import Dirichlet, Mnist
from topologies import ring

ALPHA = 0.1
MOMENTUM = 0.9
RATES = (0.1, 0.3, 1.0)
OWN, AVERAGE = "node_test_accuracy", "test_accuracy"
EVALUATIONS = 5


def methods(lr: float) -> dict[str, Algorithm]:
    """The methods at one learning rate, by the names that the table gives them."""
    return {
        "D-SGD": DecentralizedSGD(lr),
        "D-SGD, local momentum": DecentralizedSGD(lr, momentum=MOMENTUM),
        "DecentLaM": DecentLaM(lr, momentum=MOMENTUM),
        "quasi-global momentum": QuasiGlobalMomentum(lr, momentum=MOMENTUM),
        "gradient tracking": GradientTracking(lr, order="adapt-then-combine"),
    }


def train(
    shards: ShardedWorkload, algorithm: Algorithm, seed: int, nodes: int, steps: int, batch: int
) -> list[dict[str, Any]]:
    """The history of one run; empty if it diverged."""
    return history_of(
        shards,
        ring(nodes),
        algorithm,
        oracle=Minibatch(batch=batch),
        steps=steps,
        seed=seed,
        evaluate_every=max(1, steps // EVALUATIONS),
        evaluate_nodes=nodes,
    )


def run(
    seeds: Sequence[int],
    say: Say,
    *,
    rates: Sequence[float] = RATES,
    nodes: int = 16,
    steps: int = 400,
    batch: int = 32,
    hidden: int = 64,
) -> Findings:
    """Tune the learning rate of every method with one seed, then train with the others.

    Args:
        rates: The learning rates that are tried.
        nodes: Nodes on the ring.
        steps: Iterations of a run.
        batch: Images per node and iteration.
        hidden: Width of the perceptron's hidden layer.
    """
    mnist, sizes = Mnist(hidden=hidden, split=Dirichlet(alpha=ALPHA)), {"nodes": nodes, "steps": steps, "batch": batch}
    another = max(seeds) + 1
    shards = {seed: mnist.shard(nodes, seed) for seed in (*seeds, another)}  # read once, not in every run
    table, curves = [], {}
    for name in methods(rates[0]):
        tuning = {}
        for lr in rates:
            say(f"{name}: trying learning rate {lr}")
            history = train(shards[another], methods(lr)[name], another, **sizes)
            tuning[lr] = history[-1][OWN] if history else 0.0
        best = max(tuning, key=lambda lr: tuning[lr])
        histories = []
        for seed in seeds:
            say(f"{name}: seed {seed}")
            histories.append(train(shards[seed], methods(best)[name], seed, **sizes))
        own, average = ([history[-1][key] if history else 0.0 for history in histories] for key in (OWN, AVERAGE))
        table.append(
            {
                "method": name,
                "learning rate": best,
                "accuracy of nodes (%)": 100 * float(np.mean(own)),
                "spread": 100 * float(np.std(own)),
                "of average model (%)": 100 * float(np.mean(average)),
                "its spread": 100 * float(np.std(average)),
                "consensus distance": float(np.mean([h[-1]["consensus_distance"] if h else np.inf for h in histories])),
            }
        )
        curves[name] = {
            "tuning": tuning,
            "own": own,
            "average": average,
            "histories": [[{k: m[k] for k in ("step", OWN, AVERAGE)} for m in history] for history in histories],
        }
    return Findings(table, _claims(curves), lambda figure: _draw(figure, curves), curves)


def _claims(curves: Mapping[str, Any]) -> list[Claim]:
    claims = []
    for better, worse, paper in (
        ("quasi-global momentum", "D-SGD, local momentum", "2102.04761"),
        ("DecentLaM", "D-SGD, local momentum", "2104.11981"),
        ("gradient tracking", "D-SGD", "1805.11454"),
    ):
        # The two share data, start and batches, seed by seed.
        gains = 100 * (np.array(curves[better]["own"]) - np.array(curves[worse]["own"]))
        claims.append(
            Claim(
                f"{better} is more accurate than {worse} at alpha = {ALPHA} ({paper})",
                f"by {gains.mean():.2f} points (seeds: {', '.join(f'{gain:.2f}' for gain in gains)})",
                bool(gains.mean() > 0),
            )
        )
    return claims


def _draw(figure: Figure, curves: Mapping[str, Any]) -> None:
    """Accuracies over iterations: mean over the seeds and the range between them."""
    figure.set_size_inches(9, 4.2)
    for axes, key, title in zip(
        figure.subplots(1, 2, sharey=True), (OWN, AVERAGE), ("the nodes' own models", "the average model"), strict=True
    ):
        for i, (name, curve) in enumerate(curves.items()):
            histories = [history for history in curve["histories"] if history]
            if not histories:
                axes.plot([], [], color=f"C{i}", label=f"{name} (diverged)")
                continue
            steps = [metrics["step"] for metrics in histories[0]]
            values = 100 * np.array([[metrics[key] for metrics in history] for history in histories])
            axes.plot(steps, values.mean(axis=0), color=f"C{i}", label=name)
            axes.fill_between(steps, values.min(axis=0), values.max(axis=0), color=f"C{i}", alpha=0.15, linewidth=0)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("iterations")
    figure.axes[0].set_ylabel("test accuracy (%)")
    figure.axes[0].set_ylim(bottom=50)
    figure.axes[1].legend(fontsize=8, frameon=False)


STUDY = Study(
    paper="Lin, Karimireddy, Stich, Jaggi 2021, arXiv 2102.04761; Yuan et al. 2021, arXiv 2104.11981",
    claim="momentum must not be local where nodes have different data",
    run=run,
    seeds=3,
)
