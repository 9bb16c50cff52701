"""A run may be killed at any instant and loses no checkpoint; one that is told to stop writes one first."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import pytest
import torch

from algorithms import DecentralizedSGD, Sample, State
from algorithms.network import Network
from gossip.errors import PreemptedError
from gossip.processes.signals import MARKER, WATCHED
from gossip.records.recorder import Recorder
from tests.conftest import REPOSITORY, Run
from tests.gossip.checkpoint.conftest import Small


def test_no_checkpoint_is_lost_whenever_a_run_is_killed(python: Run, tmp_path: Path) -> None:
    done = python(str(REPOSITORY / "tests/gossip/checkpoint/kills.py"), str(tmp_path), timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split()[2]) >= 40  # instants at which a file was touched


@dataclass(frozen=True)
class Told(DecentralizedSGD):
    """Is told to stop during a step."""

    number: int = 0
    at: int = -1

    def step(self, state: State, sample: Sample, network: Network) -> None:
        super().step(state, sample, network)
        if state.step == self.at:
            signal.raise_signal(self.number)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The signals that have come through to whoever was there before."""
    monkeypatch.setattr(Recorder, "write_outcome", lambda *_: None)
    came: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:
        came.append(number)

    before = [signal.signal(each, hear) for each in WATCHED]
    try:
        yield came
    finally:
        for each, handler in zip(WATCHED, before, strict=True):
            signal.signal(each, handler)


@pytest.mark.parametrize("number", WATCHED)
def test_signals_stop_a_run_between_two_steps(
    number: signal.Signals, heard: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hear = signal.getsignal(number)
    marker = tmp_path / "marker"
    monkeypatch.setenv(MARKER, str(marker))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # so that it is set back after the test
    small = Small(tmp_path)
    told = {"algorithm": Told(number=number, at=5), "steps": 300, "evaluate_every": 100}
    with pytest.raises(PreemptedError, match=f"stopped by {number.name} after step ") as stopped:
        small.run(**told, checkpoint_every="1000s")
    assert stopped.value.exit_code == (130 if number is signal.SIGINT else 75)
    assert marker.exists() == (number is not signal.SIGINT)  # nobody interrupts a job to have it queued again
    for each in WATCHED:
        signal.raise_signal(each)  # while the process leaves
    left = list(WATCHED) if number is signal.SIGINT else [signal.SIGINT]  # who interrupts it may stay in Python
    assert heard == left
    for each in WATCHED:
        signal.signal(each, hear)
    heard.clear()
    (folder,) = tmp_path.glob("*/*/checkpoints/step-*")
    directory = folder.parent.parent
    assert str(stopped.value).endswith(f"go on with --resume {directory}")
    assert 5 <= int(folder.name.removeprefix("step-")) <= 85  # looks are after 1, 5, 21, 85 steps at most
    whole = small.run(**told, output=None)
    assert heard == [number]  # as without checkpoints
    assert torch.equal(small.run(**told, resume="auto").model, whole.model)
    signal.raise_signal(number)
    assert heard == [number, number]


def test_a_signal_at_the_last_step_changes_nothing(heard: list[int], tmp_path: Path) -> None:
    small = Small(tmp_path)
    told = Told(number=signal.SIGTERM, at=9)
    whole = small.run(algorithm=Told(), steps=9, output=None)
    assert torch.equal(small.run(algorithm=told, steps=9, checkpoint_every=4).model, whole.model)
    whole = small.run(algorithm=Told(), output=None)
    assert torch.equal(small.run(algorithm=told, resume="auto").model, whole.model)
    assert not heard
