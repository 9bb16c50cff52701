"""A run goes on when a checkpoint cannot be written, and says in the end what is not there."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from algorithms import DecentralizedSGD, Sample, State
from algorithms.network import Network
from gossip.checkpoint.places import checkpoints, step_of
from gossip.errors import DataError, PreemptedError
from gossip.train.__main__ import main
from tests.conftest import no_larger_files_than
from tests.gossip.checkpoint.conftest import Small


@dataclass(frozen=True)
class OnFullDisk(DecentralizedSGD):
    """From one step on no file can be as large as one of a checkpoint; until another, or until the end."""

    full: int = 2
    free: int = 10**9
    told: int = -1
    """The step at which the run is told to stop."""

    def step(self, state: State, sample: Sample, network: Network) -> None:
        super().step(state, sample, network)
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        if state.step in (self.full, self.free):
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000 if state.step == self.full else hard, hard))
        if state.step == self.told:
            signal.raise_signal(signal.SIGUSR1)


@pytest.fixture(autouse=True)
def limit_of_before() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def steps_in(runs: Path) -> list[int]:
    (directory,) = runs.glob("*/*")
    return [step_of(each) for each in checkpoints(directory)]


def test_a_disk_that_is_full_for_a_while(small: Small, capsys: pytest.CaptureFixture[str]) -> None:
    result = small.run(algorithm=OnFullDisk(full=3, free=7), checkpoint_every=2, keep=9, evaluate_every=100)
    (line,) = capsys.readouterr().err.splitlines()  # for the two checkpoints that are not written
    assert line.startswith("gossip: warning: cannot write the checkpoint ")
    assert line.endswith("step-00000004 (File too large); the ones before it are whole; the run goes on")
    assert steps_in(small.output) == [2, 8, 10]
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    whole = small.run(algorithm=OnFullDisk(full=-1), output=None)
    assert torch.equal(result.model, whole.model)


def test_a_run_that_is_told_to_stop_and_cannot_save_is_not_to_be_continued(small: Small) -> None:
    full = OnFullDisk(full=5, told=6)
    with pytest.raises(
        DataError, match=r"^stopped by SIGUSR1 after step \d+, of which there is no checkpoint: "
    ) as stopped:
        small.run(algorithm=full, steps=300, evaluate_every=1000, checkpoint_every=4)
    assert not isinstance(stopped.value, PreemptedError)
    assert "(File too large); the ones before it are whole" in str(stopped.value)
    assert steps_in(small.output) == [4]


def test_the_command_says_what_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()  # with a summary, but no report, which takes longer than the run
    monkeypatch.setattr("gossip.records.report.page.write_report", lambda *_, **__: None)
    asked = "--workload LogisticRegression --nodes 4 --topology ring --steps 4 --evaluate-every 4 --quiet".split()
    again = [*asked, "--checkpoint-every", "2", "--resume", "auto", "--output", str(tmp_path)]
    with no_larger_files_than(2500):
        assert main(again) == 3
    warned, error = capsys.readouterr().err.splitlines()
    assert warned.startswith("gossip: warning: cannot write the checkpoint ")
    assert error.startswith("gossip: error: the run has come to its end, but cannot write the checkpoint ")
    assert "step-00000004 (File too large)" in error
    (directory,) = tmp_path.glob("*/*")
    assert (directory / "summary.json").exists() and not checkpoints(directory)
    assert main(again) == 0
    assert len(list(tmp_path.glob("*/*"))) == 2  # of the first there is nothing to go on from
    capsys.readouterr()
    assert main(again) == 0
    assert capsys.readouterr().err.endswith(" has come to its end, step 4: nothing is left to do\n")
    assert len(list(tmp_path.glob("*/*"))) == 2
