"""The answer in words, as a table and as JSON."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gossip.advise.candidates import Candidate
from gossip.advise.command import Question
from gossip.advise.networks import computing
from gossip.advise.ranking import Prediction, Trial, next_other
from gossip.advise.rates import Problem
from gossip.console.table import show
from gossip.errors import DataError
from gossip.network import SimulatedNetwork
from gossip.records.report.words import byte_count, duration
from gossip.study.values import words
from topologies import contraction_per_round

REASONED = 3  # candidates whose reasons are told


@dataclass(frozen=True)
class Answer:
    """All that is known of the answer."""

    question: Question
    network: SimulatedNetwork
    problem: Problem
    ranking: Sequence[Prediction]
    baseline: Prediction
    """All-reduce SGD."""

    trials: Sequence[Trial]
    confidence: str


def show_answer(answer: Answer) -> None:
    """Print it."""
    shown = answer.ranking[: answer.question.shown]
    places = {id(each): place for place, each in enumerate(answer.ranking, 1)}
    rows = [*shown, *([] if answer.baseline in shown else [answer.baseline])]
    show(
        {
            "rank": [str(places[id(each)]) for each in rows],
            "case": [each.candidate.method for each in rows],
            "topology": ["any" if each.candidate.exact else each.candidate.topology.name for each in rows],
            "operator": [each.candidate.operator.name if each.candidate.operator else "" for each in rows],
            "every": [str(each.candidate.period) for each in rows],
            "sent a step": [byte_count(each.bytes_per_step) for each in rows],
            "a step": [duration(each.seconds_per_step) for each in rows],
            "steps": [f"{each.needed.steps:,.0f}" for each in rows],
            "time": [duration(each.seconds) for each in rows],
            "all-reduce / it": [f"{answer.baseline.seconds / each.seconds:.3g}" for each in rows],
            "terms of the rate": [terms(each) for each in rows],
        }
    )
    for text in (
        *reasons(answer),
        "",
        *_surety(answer),
        "",
        *unknown(answer),
        "",
        "the best:",
        f"    {command(answer)}",
    ):
        print(text, flush=True)


def terms(prediction: Prediction) -> str:
    """What the steps follow from: the shares of the target, and the learning rate."""
    needed = prediction.needed
    return (
        f"lr {needed.lr:.2g}/L · noise {needed.of_noise:.0%} · apart by noise {needed.of_deviation:.0%} · "
        f"by data {needed.of_drift:.0%}"
    )


def gap(candidate: Candidate) -> float:
    """The spectral gap of the topology, of a schedule that of a round on average; 1 of exact averages."""
    return 1.0 if candidate.exact else contraction_per_round(candidate.topology)


def reasons(answer: Answer) -> list[str]:
    """Two sentences for each of the best."""
    return [f"{place}. {_reason(each, answer)}" for place, each in enumerate(answer.ranking[:REASONED], 1)]


def _reason(prediction: Prediction, answer: Answer) -> str:
    candidate, needed, baseline = prediction.candidate, prediction.needed, answer.baseline
    spent = computing(answer.network, answer.question.nodes)
    sentences = [
        f"{candidate.name}: a step takes {duration(prediction.seconds_per_step)}, of which computing takes "
        f"{duration(spent)}, for {byte_count(prediction.bytes_per_step)} that a node sends"
    ]
    if prediction.candidate is not baseline.candidate:
        sentences[0] += (
            f"; all-reduce SGD takes {duration(baseline.seconds_per_step)} for {byte_count(baseline.bytes_per_step)}"
        )
    if candidate.exact:
        why = "averages are exact" if candidate.period == 1 else f"averages are exact, every {candidate.period} steps"
    else:
        why = f"the spectral gap is {gap(candidate):.2g}"
        if candidate.operator is not None:
            why += f", messages keep {candidate.operator.alpha:.2g} of a vector's square, so that differences between "
            why += f"nodes live {candidate.slowdown:.3g} times as long"
        if candidate.period > 1:
            why += f", and nodes go {candidate.period} steps alone"
    times = needed.steps / baseline.needed.steps
    sentences.append(f"It needs {times:.3g} times the steps of all-reduce SGD, as {why}")
    return ". ".join(sentences) + "."


def _surety(answer: Answer) -> list[str]:
    best = answer.ranking[0]
    lines = [f"confidence: {answer.confidence}"]
    others = (("next", answer.ranking[1]), ("next with another graph or compressor", next_other(answer.ranking)))
    for what, other in others:
        if other is not None and best.seconds:
            times = other.seconds / best.seconds
            lines.append(f"  the {what} takes {times:.3g} times as long: {other.candidate.name}")
    for trial in answer.trials:
        if trial.winner.candidate is answer.ranking[0].candidate:
            verdict = "it stays the best"
        elif trial.holds:
            verdict = f"{trial.winner.candidate.name} is as good ({trial.behind:.3g})"
        else:
            verdict = f"{trial.winner.candidate.name} is {trial.behind:.3g} times as fast"
        lines.append(f"  {trial.assumption}: {verdict}")
    return lines


def unknown(answer: Answer) -> list[str]:
    """What the prediction does not know."""
    question = answer.question
    spent = computing(answer.network, question.nodes)
    source = "given" if question.compute_seconds is not None else "assumed, as the network says: --compute-seconds"
    return [
        "what this does not know:",
        f"  the constants of your loss: in units of L (F(x_0) - F*), sigma^2 = {answer.problem.noise:g}, zeta^2 = "
        f"{answer.problem.heterogeneity:.3g} ({question.said}) and the target {answer.problem.target:g} are assumed",
        "  generalization, and what momentum, adaptive methods or normalization layers change",
        "  your learning rate: every method is taken at its own best one, to be found by gossip.study --tune",
        f"  the time of a gradient ({duration(spent)}: {source}), and that of packing messages, taken as 0",
        "  other traffic and failures on your network",
    ]


def options(answer: Answer) -> dict[str, Any]:
    """Those of gossip.train for the best."""
    return {
        "nodes": answer.question.nodes,
        **answer.ranking[0].candidate.options,
        "network": answer.question.network,
    }


def command(answer: Answer) -> str:
    """The command line of the best."""
    return " ".join(["python -m gossip.train", *map(shlex.quote, words(options(answer)))])


def record(prediction: Prediction) -> dict[str, Any]:
    """A candidate for JSON."""
    candidate = prediction.candidate
    return {
        "name": candidate.name,
        "options": dict(candidate.options),
        "seconds": prediction.seconds if math.isfinite(prediction.seconds) else None,
        "seconds_per_step": prediction.seconds_per_step,
        "bytes_per_step": prediction.bytes_per_step,
        "message_bytes": prediction.sizes.message,
        "steps": prediction.needed.steps if math.isfinite(prediction.needed.steps) else None,
        "lr": prediction.needed.lr,
        "share_of_noise": prediction.needed.of_noise,
        "share_of_deviation_by_noise": prediction.needed.of_deviation,
        "share_of_deviation_by_data": prediction.needed.of_drift,
        "alpha": None if candidate.operator is None else candidate.operator.alpha,
        "slowdown": candidate.slowdown,
    }


def write_answer(answer: Answer, path: Path) -> None:
    """As JSON.

    Raises:
        DataError: The file cannot be written.
    """
    content = {
        "problem": asdict(answer.problem),
        "ranking": [record(each) for each in answer.ranking],
        "baseline": record(answer.baseline),
        "spectral_gap_of_best": gap(answer.ranking[0].candidate),
        "confidence": answer.confidence,
        "trials": [
            {"assumption": each.assumption, "winner": each.winner.candidate.name, "behind": each.behind}
            for each in answer.trials
        ],
        "unknown": [line.strip() for line in unknown(answer)[1:]],
        "command": command(answer),
    }
    try:
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write {path} ({error.strerror})") from error
