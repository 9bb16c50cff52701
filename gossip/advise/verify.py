"""The answer put to the test: the best candidates and all-reduce SGD, trained on the simulated network, as a study."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from gossip.advise.command import Question, Verification
from gossip.advise.files import write_network
from gossip.advise.networks import altered
from gossip.advise.operators import message_bytes
from gossip.advise.ranking import CLOSE, Prediction
from gossip.advise.words import Answer
from gossip.console.table import show
from gossip.errors import DataError, DivergedError, UsageError
from gossip.network import SimulatedNetwork
from gossip.processes.communicator import Communicator
from gossip.processes.signals import Signals
from gossip.records.report.words import duration
from gossip.study.command import StudyOrder
from gossip.study.command import parse as parse_study
from gossip.study.conduct import conduct
from gossip.study.report import write_report
from gossip.study.results import Cell, of_plan
from gossip.workloads import Digits

BEST = 3
MOST_NODES = 128  # which then have 11 examples each
HIDDEN = 16
WORKLOAD = {"workload": "Digits", "workload.hidden": HIDDEN, "oracle": "Minibatch", "oracle.batch": 16}
RATES = [0.1, 0.2, 0.4, 0.8]
METRIC = "node_test_loss"  # the mean over nodes of the loss of their own models
PROGRESS = 0.85  # of the way of all-reduce SGD from its beginning to its end
LOOKS = 60  # at a run
NODES = 4  # whose own models are looked at
VALUE_BYTES = 4


@dataclass(frozen=True)
class Verdict:
    """What the study says of one candidate."""

    prediction: Prediction
    cell: Cell
    """That of the best learning rate; if none reached the target, that with the least loss at the end."""

    seconds: float
    """Until the target, on the simulated network, at the best learning rate; infinite if it was not reached."""

    steps: float
    lr: float

    @property
    def name(self) -> str:
        """Of the candidate."""
        return self.prediction.candidate.name


def verify(answer: Answer, how: Verification) -> int:
    """Run the study, and print predicted and simulated ranks; the exit code.

    Raises:
        UsageError: There are too many nodes for the examples.
        DataError: Nothing can be written.
        PreemptedError: A signal came.
    """
    if answer.question.nodes > MOST_NODES:
        raise UsageError(f"--verify trains on 1,438 images: it is for at most {MOST_NODES} nodes")
    tested = list(answer.ranking[:BEST])
    tested += [] if answer.baseline in tested else [answer.baseline]
    order = _order(tested, answer, how)
    print(
        f"\nverifying with {' '.join(f'{key}={value}' for key, value in WORKLOAD.items())}, whose messages take as "
        f"long as those of the {answer.question.parameters:,} parameters: bandwidths are scaled by the length of each "
        f"candidate's messages",
        flush=True,
    )
    with Signals() as signals:
        conduct(order, Communicator(), signals)
    cells = of_plan(order.whole)
    target = _target(cells, len(tested))
    if target is None:
        raise DivergedError("all-reduce SGD has not learned anything: give more --steps")
    found = verdicts(cells, tested, target)
    write_report("advice", [replace(each.cell, name=each.name) for each in found], how.output, {METRIC: target})
    show_verdicts(found, target)
    print(f"report: {how.output / 'report.html'}", flush=True)
    return 0


def verdicts(cells: Sequence[Cell], tested: Sequence[Prediction], target: float) -> list[Verdict]:
    """What came of each candidate, in the order of the predictions."""
    found = []
    for place, prediction in enumerate(tested):
        each = [_verdict(prediction, cell, target) for cell in _of(cells, place)]
        found.append(min(each, key=lambda verdict: (verdict.seconds, _end(verdict.cell))))
    return found


def _verdict(prediction: Prediction, cell: Cell, target: float) -> Verdict:
    seconds, steps = (cell.until(name, METRIC, target) for name in ("simulated_seconds", "step"))
    lr = float(cell.options["algorithm.lr"])
    if seconds is None or steps is None or seconds.count < len(cell.runs):
        return Verdict(prediction, cell, math.inf, math.inf, lr)
    return Verdict(prediction, cell, seconds.mean, steps.mean, lr)


def _end(cell: Cell) -> float:
    """The loss at the end, infinite if there is none."""
    end = cell.final(METRIC)
    return math.inf if end is None else end.mean


def show_verdicts(found: Sequence[Verdict], target: float) -> None:
    """Print them beside the predictions."""
    simulated = sorted(found, key=lambda each: each.seconds)
    predicted = sorted(found, key=lambda each: each.prediction.seconds)
    least = predicted[0].prediction.seconds, simulated[0].seconds
    show(
        {
            "case": [each.name for each in found],
            "predicted rank": [str(predicted.index(each) + 1) for each in found],
            "simulated rank": [str(simulated.index(each) + 1) for each in found],
            "predicted / best": [f"{each.prediction.seconds / least[0]:.3g}" for each in found],
            "simulated / best": [
                f"{each.seconds / least[1]:.3g}" if math.isfinite(each.seconds) else "not reached" for each in found
            ],
            "simulated": [duration(each.seconds) if math.isfinite(each.seconds) else "-" for each in found],
            "steps": [f"{each.steps:.0f}" if math.isfinite(each.steps) else "-" for each in found],
            "lr": [f"{each.lr:g}" for each in found],
        }
    )
    best, first = predicted[0], simulated[0]
    if not math.isfinite(first.seconds):
        print(f"no run has come to a loss of {target:.4g}: give more --steps")
    elif first is best:
        print(
            f"the study confirms the answer: {best.name} is the first at a loss of {target:.4g}{_narrowly(simulated)}"
        )
    elif best.seconds <= CLOSE * first.seconds:
        print(
            f"the study does not tell them apart: {first.name} is the first at a loss of {target:.4g}, and {best.name} "
            f"takes {best.seconds / first.seconds:.3g} times as long, which is within the error of the prediction"
        )
    else:
        print(
            f"the study does not confirm the answer: {first.name} is the first at a loss of {target:.4g}, and "
            f"{best.name} is number {simulated.index(best) + 1}"
        )


def _narrowly(simulated: Sequence[Verdict]) -> str:
    """That the second one is as good, as far as the prediction can tell; "" if it is not."""
    times = simulated[1].seconds / simulated[0].seconds
    if times > CLOSE:
        return ""
    return f"; {simulated[1].name} takes {times:.3g} times as long, which is within the error of the prediction"


def _target(cells: Sequence[Cell], tested: int) -> float | None:
    """So far on the way from the beginning to the end of all-reduce SGD, the last of those that are tested."""
    cell = min(_of(cells, tested - 1), key=_end)
    if not math.isfinite(_end(cell)):
        return None
    begin, end = float(cell.histories[0][0][METRIC]), _end(cell)
    return begin - PROGRESS * (begin - end) if end < begin else None


def _of(cells: Sequence[Cell], place: int) -> list[Cell]:
    """The cells of the candidate at this place: those on its network."""
    return [cell for cell in cells if Path(str(cell.options["network"])).stem == _name(place)]


def _name(place: int) -> str:
    return f"candidate{place + 1}"


def _order(tested: Sequence[Prediction], answer: Answer, how: Verification) -> StudyOrder:
    """The study as its file says it, which anybody can run again."""
    folder = how.output / "networks"
    d = Digits(hidden=HIDDEN).shard(1, 0).layout.d
    files = [folder / f"{_name(place)}.yaml" for place in range(len(tested))]
    kept = {
        "run": {
            **WORKLOAD,
            **_split(answer.question),
            "nodes": answer.question.nodes,
            "steps": how.steps,
            "evaluate_every": max(1, how.steps // LOOKS),
            "evaluate_nodes": NODES,
        },
        "set": {"network": [str(file) for file in files], "algorithm.lr": RATES},
        "when": [
            {"if": {"network": str(file)}, "set": dict(each.candidate.options)}
            for file, each in zip(files, tested, strict=True)
        ],
        "seeds": how.seeds,
    }
    text = folder.parent / "advice.yaml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, each in zip(files, tested, strict=True):
            write_network(scaled(each, answer.network, d), file)
        text.write_text(yaml.safe_dump(kept, sort_keys=False), encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write into {how.output} ({error.strerror}); choose another --output") from error
    processes = [] if how.processes is None else ["--processes", str(how.processes)]
    order = parse_study([str(text), "--output", str(how.output), *processes], 1)
    assert isinstance(order, StudyOrder)
    return order


def scaled(prediction: Prediction, network: SimulatedNetwork, d: int) -> SimulatedNetwork:
    """The network on which messages of a model of d parameters take as long as those that are asked about."""
    operator = prediction.candidate.operator
    small = VALUE_BYTES * d if operator is None else message_bytes(operator.compressor, d)
    return altered(network, bandwidth=small / prediction.sizes.message)


def _split(question: Question) -> Mapping[str, Any]:
    """Data of the heterogeneity that is asked about, as far as a split of labels has it."""
    kind, _, number = question.said.partition(":")
    if kind == "dirichlet":
        return {"workload.split": "Dirichlet", "workload.split.alpha": float(number)}
    if question.heterogeneity < 0.1:
        return {"workload.split": "Iid"}
    if question.heterogeneity >= 1:
        return {"workload.split": "ByLabel"}
    return {"workload.split": "Dirichlet", "workload.split.alpha": (1 / question.heterogeneity - 1) / 10}
