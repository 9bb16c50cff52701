"""A run that goes on from a checkpoint is the run that never stopped, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gossip
from algorithms import (
    Algorithm,
    ChocoSGD,
    DecentralizedSGD,
    Full,
    Minibatch,
    RandomK,
    RelaySGD,
    Saga,
    StepDecay,
    TopK,
)
from gossip import SimulatedClock
from gossip.errors import DataError, UsageError
from gossip.workloads import Digits, LeastSquares
from tests.cases import NODES, Case, every_case
from tests.gossip.checkpoint.conftest import Small
from topologies import exponential, one_peer_exponential, path

Records = list[dict[str, Any]]


def without_times(history: Records) -> Records:
    return [{name: value for name, value in record.items() if name != "seconds"} for record in history]


def step_of(directory: Path, step: int) -> Path:
    return directory / "checkpoints" / f"step-{step:08d}"


def assert_resumes(case: Case, nodes: int, output: Path) -> None:
    middle = case.steps // 2 + 1
    clock = None if case.clock is None else SimulatedClock(**case.clock)  # type: ignore[arg-type]
    options = {"oracle": case.oracle, "steps": case.steps, "clock": clock, "evaluate_every": 3}
    options |= {"output": output, "report": False}
    run = (case.workload(nodes - case.algorithm.auxiliary), case.topology(nodes), case.algorithm)
    whole = gossip.run(*run, **options, checkpoint_every=middle)  # type: ignore[arg-type]
    assert whole.directory is not None
    again = gossip.run(*run, **options, resume=step_of(whole.directory, middle))  # type: ignore[arg-type]
    assert torch.equal(again.model, whole.model)
    assert without_times(again.history) == without_times(whole.history)


@pytest.mark.parametrize("name", every_case())
def test_every_algorithm_and_oracle(name: str, tmp_path: Path) -> None:
    assert_resumes(every_case()[name], NODES, tmp_path)


@pytest.mark.parametrize(
    ("algorithm", "topology"),
    [
        (ChocoSGD(lr=0.05, gamma=0.3, compressor=RandomK(k=3)), one_peer_exponential),  # a period of 3
        (RelaySGD(lr=0.03), path),
    ],
)
def test_as_many_nodes_as_parameters_and_examples(algorithm: Algorithm, topology: Any, tmp_path: Path) -> None:
    def workload(nodes: int) -> LeastSquares:
        random = np.random.default_rng(1)
        return LeastSquares(random.normal(size=(nodes, 8, 8)), random.normal(size=(nodes, 8)))

    assert_resumes(Case(algorithm, topology, Saga(2), workload), 8, tmp_path)


def test_more_steps_than_first_asked_for(small: Small) -> None:
    directory = small.first()
    whole = small.run(output=None)
    again = small.run(resume=directory)
    assert again.directory == directory
    assert torch.equal(again.model, whole.model)
    # The first run evaluated its own last step too, before it was known that it would go on.
    kept = [record for record in again.history if record["step"] in range(0, 11, 2)]
    assert without_times(kept) == without_times(whole.history)
    written = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    assert written == again.history
    assert [record["step"] for record in written] == [0, 2, 4, 6, 8, 10]


def test_what_was_written_after_the_checkpoint_is_written_again(small: Small) -> None:
    directory = small.first()
    again = small.run(resume=step_of(directory, 6), steps=7)
    steps = [json.loads(line)["step"] for line in (directory / "metrics.jsonl").read_text().splitlines()]
    assert steps == [0, 2, 4, 6, 7]
    assert [record["step"] for record in again.history] == steps
    times = [record["seconds"] for record in again.history]
    assert times == sorted(times)


def test_auto_begins_continues_and_leaves_finished_runs_alone(
    small: Small, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()  # with a summary, by which a run is known to be finished

    def directories() -> list[Path]:
        return sorted(path.parent for path in small.output.rglob("config.yaml"))

    small.run(resume="auto", algorithm=DecentralizedSGD(), steps=2)  # another configuration, more recent than none
    (other,) = directories()
    begun = small.run(resume="auto", steps=4)
    assert begun.directory is not None and begun.directory != other
    assert small.run(resume="auto", steps=10).directory == begun.directory
    before = {path: path.read_bytes() for path in begun.directory.rglob("*") if path.is_file()}
    capsys.readouterr()
    finished = small.run(resume="auto", steps=10)
    assert f"gossip: {begun.directory} has come to its end, step 10: nothing is left to do\n" == capsys.readouterr().err
    assert finished.directory == begun.directory
    assert torch.equal(finished.model, small.run(output=None).model)
    assert before == {path: path.read_bytes() for path in begun.directory.rglob("*") if path.is_file()}
    assert len(directories()) == 2


def test_the_last_ones_are_kept(small: Small) -> None:
    def kept(directory: Path) -> list[int]:
        return [int(each.name.removeprefix("step-")) for each in sorted((directory / "checkpoints").iterdir())]

    assert kept(small.first()) == [6, 7]
    assert kept(small.first(keep=1)) == [7]
    assert kept(small.first(keep=9, checkpoint_every=2)) == [2, 4, 6, 7]
    assert kept(small.first(keep=4, checkpoint_every=2)) == [2, 4, 6, 7]
    directory = small.first(keep=3)
    assert kept(directory) == [3, 6, 7]
    small.run(resume=step_of(directory, 3), steps=5, keep=3)  # what came later is another run's
    assert kept(directory) == [3, 5]


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({"algorithm": DecentralizedSGD()}, "algorithm is ChocoSGD there and DecentralizedSGD here"),
        (
            {"algorithm": ChocoSGD(lr=0.06, gamma=0.3, compressor=TopK(k=2), momentum=0.9)},
            "algorithm.lr is 0.05 there and 0.06 here",
        ),
        (
            {"algorithm": ChocoSGD(lr=StepDecay(0.05), gamma=0.3, compressor=TopK(k=2), momentum=0.9)},
            "algorithm.lr is 0.05 there and StepDecay here",
        ),
        (
            {"algorithm": ChocoSGD(lr=0.05, gamma=0.3, compressor=TopK(k=3), momentum=0.9)},
            "algorithm.compressor.k is 2 there and 3 here",
        ),
        ({"topology": exponential(5)}, "topology is ring there and exponential here"),
        ({"oracle": Full()}, "oracle is Saga there and Full here"),
        ({"oracle": Saga(3)}, "oracle.batch is 2 there and 3 here"),
        ({"seed": 1}, "seed is 0 there and 1 here"),
        (
            {"workload": LeastSquares(np.ones((5, 6, 4)), np.ones((5, 6)), l2=0.1)},
            "workload.features is float64[5, 6, ",
        ),
        ({"workload": Digits(), "oracle": Minibatch()}, "workload is LeastSquares there and Digits here"),
        ({"start": torch.ones(4, dtype=torch.float64)}, "start is None there and float64[4]"),
    ],
)
def test_another_configuration_is_refused(changed: dict[str, Any], names: str, small: Small) -> None:
    directory = small.first()
    with pytest.raises(UsageError, match="is of another run: ") as refused:
        small.run(**changed, resume=directory)
    message = str(refused.value)
    assert names in message
    assert "\n" not in message


def test_what_does_not_change_the_models_may_change(small: Small, tmp_path: Path) -> None:
    directory = small.first()
    whole = small.run(output=None)
    again = small.run(
        resume=directory,
        output=tmp_path / "elsewhere",
        transport="peer-to-peer",
        evaluate_every=5,
        evaluate_nodes=2,
        keep=5,
    )
    assert torch.equal(again.model, whole.model)
    assert again.directory == directory


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"checkpoint_every": 0},
            "checkpoint_every = 0 is not allowed; it must be a number of steps >= 1 such as 500, or",
        ),
        ({"checkpoint_every": "0s"}, "checkpoint_every = 0s is not allowed"),
        ({"checkpoint_every": "5m"}, "checkpoint_every = 5m is not allowed"),
        ({"checkpoint_every": 3, "keep": 0}, "keep = 0 is not allowed; it must be >= 1"),
        ({"checkpoint_every": 3, "output": None}, "checkpoints are written into the run directory"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], says: str, small: Small) -> None:
    with pytest.raises(UsageError) as refused:
        small.run(**options)
    assert says in str(refused.value)


def test_nothing_to_resume(small: Small, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no checkpoint in "):
        small.run(resume=tmp_path)
    directory = small.first()
    with pytest.raises(UsageError, match="is beyond steps = 6; ask for more, or give an earlier one"):
        small.run(resume=directory, steps=6)
    small.run(resume=step_of(directory, 6), steps=6)


def test_seconds(small: Small) -> None:
    options = {"steps": 200, "evaluate_every": 100}
    directory = small.first(**options, checkpoint_every="0.02s", keep=200)
    first, *_, last = sorted((directory / "checkpoints").iterdir())  # how many depends on the machine
    assert last == step_of(directory, 200)
    assert torch.equal(small.run(**options, resume=first).model, small.run(**options, output=None).model)
