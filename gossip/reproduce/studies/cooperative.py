"""Cooperative SGD: what local steps and sparse averaging cost in accuracy, and what they gain in time.

Wang & Joshi, "Cooperative SGD: A Unified Framework for the Design and Analysis of Local-Update SGD Algorithms", JMLR
22(213), 2021, arXiv 1808.07576.

1. The error floor on a quadratic, by theory and as measured: see `gossip.reproduce.error_floor`.

2. Elastic averaging. Disagreement shrinks by max(|1 - alpha|, |1 - (m + 1) alpha|) in a round, least at 2 / (m + 2).
The first paper on it (arXiv 1412.6651) has 0.9 / m.

3. Time. Logistic regression, even against odd digits of Mnist, on 8 nodes. An all-reduce of the model takes `RATIO`
times as long as the gradient of a step, about what the authors measured of VGG-16 (arXiv 1810.08313). The learning rate
falls along half a cosine. Every method has the best one of `RATES`, the synchronous one too, and so many steps that it
gets to the suboptimality at which the synchronous one ends, out of `LENGTHS` times the latter's.

The noise of the gradients is what limits these learning rates, as in the theory. Where it does not, local steps take
more iterations: a perceptron trained on Mnist until it has nearly learned the images by heart bears a larger learning
rate if it averages in every step, and then decentralized periodic averaging is faster by 2.8 and elastic averaging by
3.7 only, each with its best learning rate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

import gossip
from algorithms import (
    Algorithm,
    CooperativeSGD,
    Cosine,
    ElasticAveraging,
    GossipAveraging,
    LearningRate,
    LocalSGD,
    Minibatch,
    ShardedWorkload,
)
from algorithms.randomness import generator
from gossip import SimulatedClock
from gossip.reproduce.error_floor import NODES, Array, Bowl, bound, mixture, second_eigenvalue, simulate, theory
from gossip.reproduce.problems import digits
from gossip.reproduce.study import Claim, Findings, History, Say, Study, history_of
from gossip.workloads import Iid
from gossip.workloads.neural.images import read_mnist
from topologies import Links, Topology, elastic_averaging, ring

ZETAS, PERIODS = (0.0, 0.5, 0.8, 0.95), (1, 4, 16)
EASGD, BEST = 0.9 / NODES, 2 / (NODES + 2)
ALPHAS, ELASTIC_PERIOD = (0.05, EASGD, 0.15, BEST, 0.215), 4
TOLERANCE = 0.05
ROUNDS = 60

COLUMNS = "tau,zeta,floor,/ theory,of nodes,/ its theory,/ bound,learning rate,steps,seconds,times faster".split(",")

RATIO, FASTER = 4.0, 4.0
RATES = (0.5, 1.0, 2.0)
LENGTHS = (1.0, 1.05, 1.1, 1.25)
SYNCHRONOUS, DECENTRALIZED, ELASTIC = "synchronous", "decentralized periodic averaging", "elastic averaging, overlapped"
METHODS: dict[str, Callable[[LearningRate], Algorithm]] = {
    SYNCHRONOUS: lambda lr: LocalSGD(lr, period=1),
    "periodic averaging": lambda lr: LocalSGD(lr, period=32),
    DECENTRALIZED: lambda lr: CooperativeSGD(lr, period=32),
    ELASTIC: lambda lr: ElasticAveraging(lr, period=8, output="combined"),
    "elastic averaging, blocking": lambda lr: ElasticAveraging(lr, period=8, overlap=False, output="combined"),
}


def contraction(alpha: float) -> float:
    """By what factor a round of elastic averaging shrinks the disagreement, measured."""
    start = generator(0, "disagreement").standard_normal((NODES + 1, 100))
    history = gossip.run(
        Bowl(100),
        elastic_averaging(NODES + 1, alpha),
        GossipAveraging(),
        steps=ROUNDS,
        start=torch.from_numpy(start - start.mean(axis=0)),
        evaluate_every=ROUNDS // 2,
        output=None,
    ).history
    early, late = (metrics["consensus_distance"] for metrics in history[1:])
    return float((late / early) ** (2 / ROUNDS))


def train(shards: ShardedWorkload, name: str, lr: float, steps: int, seed: int, evaluations: int) -> History:
    """The history of one method; empty if it diverged."""
    row = 8 * shards.layout.d  # bytes
    bandwidth = Links(0.0, 1.0).all_reduce(NODES, row) / RATIO
    return history_of(
        shards,
        ring(NODES),
        METHODS[name](Cosine(lr, steps)),
        oracle=Minibatch(batch=2),
        steps=steps,
        seed=seed,
        evaluate_every=max(1, steps // evaluations),
        clock=SimulatedClock(compute_seconds=1.0, latency=0.0, bandwidth=bandwidth),
    )


def run(
    seeds: Sequence[int],
    say: Say,
    *,
    components: int = 1000,
    discarded: int = 150,
    steps: int = 448,
    training: int = 1000,
    evaluations: int = 40,
    l2: float = 1e-2,
    most: int = 5000,
) -> Findings:
    """The three parts, in one table.

    Args:
        components: Of the quadratic.
        discarded: Steps on it until the steady state.
        steps: Steps over which floors are averaged.
        training: Iterations of the synchronous method in the third part.
        evaluations: Of each training there.
        l2: Weight of the squared norm there.
        most: Images used at most.
    """
    table: list[dict[str, Any]] = []

    def floors(what: str, topology: Topology, period: int, auxiliary: int = 0) -> dict[str, float]:
        say(f"floor: {what}, tau {period}")
        exact = theory(topology.matrix.toarray(), period, auxiliary)
        measured = simulate(topology, period, auxiliary, seeds, components=components, discarded=discarded, steps=steps)
        zeta = round(second_eigenvalue(topology), 12)
        noise, network = bound(zeta, period, measured, auxiliary)
        table.append(
            {"what": what, **dict.fromkeys(COLUMNS, "-")}
            | {"tau": period, "zeta": zeta}
            | {"floor": measured.average, "/ theory": measured.average / exact.average}
            | {"of nodes": measured.own, "/ its theory": measured.own / exact.own}
            | {"/ bound": 2 * measured.average / (noise + network)}
        )
        disagreement = 2 * (measured.own - measured.average) / network if network else 0.0
        return {"average": measured.average, "own": measured.own, "disagreement": disagreement}

    found = {(zeta, tau): floors(f"zeta {zeta}", mixture(zeta), tau) for zeta in ZETAS for tau in PERIODS}
    for tau in PERIODS:
        floors("ring", ring(NODES), tau)
    elastic = {
        alpha: floors(f"alpha {alpha:.4g}", elastic_averaging(NODES + 1, alpha), ELASTIC_PERIOD, 1) for alpha in ALPHAS
    }
    contractions = {alpha: contraction(alpha) for alpha in ALPHAS}
    claims = [*_claims_about_floors(table, found), *_claims_about_alpha(elastic, contractions)]
    times = _times(seeds, say, training, evaluations, l2, most)
    table += times["table"]
    claims += _claims_about_time(times["table"])
    kept = {"floors": {f"zeta {zeta}, tau {tau}": each for (zeta, tau), each in found.items()}, "alpha": elastic}
    curves = kept | {"contractions": contractions, "suboptimality": times["curves"]}
    return Findings(table, claims, lambda figure: _draw(figure, found, elastic, times["curves"]), curves)


def _times(seeds: Sequence[int], say: Say, training: int, evaluations: int, l2: float, most: int) -> dict[str, Any]:
    """How long each method takes to the suboptimality at which the synchronous one ends, as lines and as curves."""
    data = read_mnist()
    shards = {seed: digits(data, Iid(), NODES, l2, most, seed).shard(NODES, seed) for seed in seeds}
    least = {seed: float(shard.evaluate(shard.optimum)["test_loss"]) for seed, shard in shards.items()}

    def trained(name: str, lr: float, steps: int, on: Sequence[int]) -> tuple[Array, Array]:
        """Seconds and suboptimality at each evaluation, means over the seeds; infinite if a run diverged."""
        say(f"time: {name}, learning rate {lr}, {steps} steps")
        histories = [train(shards[seed], name, lr, steps, seed, evaluations) for seed in on]
        if not all(histories):
            return np.array([np.inf]), np.array([np.inf])
        losses = [[metrics["test_loss"] - least[seed] for metrics in h] for seed, h in zip(on, histories, strict=True)]
        return np.array([metrics["simulated_seconds"] for metrics in histories[0]]), np.mean(losses, axis=0)

    lines, curves, target, needed = [], {}, -np.inf, np.inf
    for name in METHODS:
        tried = {lr: trained(name, lr, training, seeds[:1])[1][-1] for lr in RATES}
        best = min(tried, key=lambda lr: tried[lr])
        for length in LENGTHS[:1] if name == SYNCHRONOUS else LENGTHS:
            steps = round(length * training)
            seconds, gaps = trained(name, best, steps, seeds)
            if gaps[-1] <= target:
                break
        target = gaps[-1] if name == SYNCHRONOUS else target
        there = seconds[gaps <= target]
        took = float(there[0]) if len(there) else np.inf
        needed = took if name == SYNCHRONOUS else needed
        lines.append(
            {"what": name, **dict.fromkeys(COLUMNS, "-")}
            | {"floor": float(gaps[-1]), "learning rate": best, "steps": steps}
            | {"seconds": took, "times faster": needed / took if np.isfinite(needed) else 0.0}
        )
        curves[name] = {"seconds": seconds.tolist(), "suboptimality": gaps.tolist(), "tuning": tried}
    return {"table": lines, "curves": curves}


def _claims_about_floors(table: Sequence[Mapping[str, Any]], found: Mapping[tuple[float, int], Any]) -> list[Claim]:
    lines = [row for row in table if row["/ bound"] != "-"]
    ratios = [row[column] for row in lines for column in ("/ theory", "/ its theory")]
    worst = max(ratios, key=lambda ratio: abs(ratio - 1))
    claims = [
        Claim(
            f"measured and exact floors agree within {TOLERANCE:.0%}",
            f"ratios up to {worst:.3f}",
            abs(worst - 1) <= TOLERANCE,
        )
    ]
    for key, whose in (("average", "the averaged model"), ("own", "the nodes' own models")):
        by_tau = [[found[zeta, tau][key] for tau in PERIODS] for zeta in ZETAS]
        by_zeta = [[found[zeta, tau][key] for zeta in ZETAS] for tau in PERIODS]
        least, most = by_tau[0][0], by_tau[-1][-1]
        claims.append(
            Claim(
                f"the error floor of {whose} grows with tau at every zeta and with zeta at every tau",
                f"from {least:.4g} at zeta {ZETAS[0]}, tau {PERIODS[0]} to {most:.4g} at {ZETAS[-1]}, {PERIODS[-1]}",
                all(bool(np.all(np.diff(floors) > 0)) for floors in (*by_tau, *by_zeta)),
            )
        )
    highest = max(row["/ bound"] for row in lines)
    shares = [each["disagreement"] for each in found.values() if each["disagreement"]]
    return [
        *claims,
        Claim("the error floor is below the paper's bound", f"at most {highest:.3g} of it", highest <= 1),
        Claim(
            "and the nodes' disagreement below its term with tau and zeta",
            f"from {min(shares):.3g} to {max(shares):.3g} of it; 1/2 where eta tau / (1 - zeta) is small",
            max(shares) <= 1,
        ),
    ]


def _claims_about_alpha(elastic: Mapping[float, Any], contractions: Mapping[float, float]) -> list[Claim]:
    fastest = min(contractions, key=lambda alpha: contractions[alpha])
    own, average = (elastic[EASGD][key] / elastic[BEST][key] for key in ("own", "average"))
    fine = {
        alpha: theory(elastic_averaging(NODES + 1, alpha).matrix.toarray(), ELASTIC_PERIOD, 1)
        for alpha in np.linspace(0.02, 0.22, 41).tolist()
    }
    lowest = min(fine, key=lambda alpha: fine[alpha].average)
    excess = theory(elastic_averaging(NODES + 1, BEST).matrix.toarray(), ELASTIC_PERIOD, 1).average
    excess = excess / fine[lowest].average - 1
    return [
        Claim(
            f"disagreement shrinks fastest with alpha = 2 / (m + 2) = {BEST}, by m / (m + 2) a round",
            ", ".join(f"{alpha:.4g}: {factor:.4f}" for alpha, factor in contractions.items()),
            fastest == BEST and abs(contractions[BEST] - NODES / (NODES + 2)) < 0.01,
        ),
        Claim(
            f"its error floor is lower than with alpha = 0.9 / m = {EASGD:.4g}",
            f"by factors {average:.3f} (average) and {own:.3f} (own models)",
            min(own, average) > 1,
        ),
        Claim(
            "and no other alpha has one that is much lower (2 %)",
            f"alpha = {lowest:.4g} has the lowest in theory, and 2 / (m + 2) one {excess:.2%} higher",
            excess <= 0.02,
        ),
    ]


def _claims_about_time(lines: Sequence[Mapping[str, Any]]) -> list[Claim]:
    faster = {row["what"]: row["times faster"] for row in lines}
    return [
        Claim(
            f"{name}: the synchronous loss at least {FASTER:g} times sooner where communication takes {RATIO:g} times "
            f"as long as computation",
            f"{faster[name]:.2f} times sooner",
            faster[name] >= FASTER,
        )
        for name in (DECENTRALIZED, ELASTIC)
    ]


def _draw(
    figure: Figure,
    found: Mapping[tuple[float, int], Any],
    elastic: Mapping[float, Any],
    times: Mapping[str, Any],
) -> None:
    """Floors over tau and over alpha, theory as lines and measured values as points; suboptimality over time."""
    figure.set_size_inches(13, 4)
    floors, alphas, gaps = figure.subplots(1, 3)
    fine = np.unique(np.geomspace(PERIODS[0], PERIODS[-1], 12).round().astype(int)).tolist()
    for i, zeta in enumerate(ZETAS):
        exact = [theory(mixture(zeta).matrix.toarray(), tau) for tau in fine]
        for key, dashes in (("average", "-"), ("own", "--")):
            floors.loglog(fine, [getattr(each, key) for each in exact], dashes, color=f"C{i}")
            floors.loglog(PERIODS, [found[zeta, tau][key] for tau in PERIODS], "o", color=f"C{i}", markersize=4)
        floors.plot([], [], color=f"C{i}", label=f"zeta = {zeta}")
    floors.set(xlabel="tau", ylabel="error floor", title="averaged model (solid), own models (dashed)")
    fine = np.linspace(min(ALPHAS), max(ALPHAS), 40).tolist()
    exact = [theory(elastic_averaging(NODES + 1, alpha).matrix.toarray(), ELASTIC_PERIOD, 1) for alpha in fine]
    for key, color in (("average", "C0"), ("own", "C1")):
        alphas.semilogy(fine, [getattr(each, key) for each in exact], color=color, label=f"{key} model")
        alphas.semilogy(list(elastic), [each[key] for each in elastic.values()], "o", color=color, markersize=4)
    for alpha, name in ((EASGD, "0.9 / m"), (BEST, "2 / (m + 2)")):
        alphas.axvline(alpha, color="0.6", linestyle=":")
        alphas.annotate(name, (alpha, 0.5), xycoords=("data", "axes fraction"), rotation=90, fontsize=8, color="0.4")
    alphas.set(xlabel="alpha", title="elastic averaging")
    for i, (name, curve) in enumerate(times.items()):
        gaps.semilogy(curve["seconds"], curve["suboptimality"], color=f"C{i}", label=name)
    gaps.set(xlabel="simulated seconds", ylabel="suboptimality", title="logistic regression")
    for axes in figure.axes:
        axes.title.set_fontsize(10)
        axes.legend(fontsize=7, frameon=False)


STUDY = Study(
    paper="Wang & Joshi 2021, arXiv 1808.07576",
    claim="the error floor grows with the period and with the second eigenvalue; less communication pays in time",
    run=run,
    seeds=2,
)
