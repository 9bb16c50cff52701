"""Studies from beginning to end, on tiny problems: what is computed, what is kept, and what is said."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from gossip.errors import PreemptedError
from gossip.options.command_line import parse
from gossip.processes.communicator import Communicator
from gossip.processes.signals import Signals
from gossip.study import cells
from gossip.study.__main__ import main
from gossip.study.cells import Store
from gossip.study.command import StudyOrder
from gossip.study.command import parse as parse_study
from gossip.study.conduct import conduct
from tests.conftest import REPOSITORY, Run

SMALL = "--set workload=Averaging nodes=4 steps=6 evaluate_every=2 algorithm=DecentralizedSGD"
TIMES = ("seconds",)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def compute(words: Sequence[str]) -> None:
    """What the command does, but for the page."""
    order = parse_study([*words, "--processes", "1"], 1)
    assert isinstance(order, StudyOrder)
    conduct(order, Communicator(), Signals())


def study(words: str) -> None:
    compute([*SMALL.split(), *words.split()])


def kept(directory: Path) -> dict[str, dict]:
    """The runs of a study by their identities, with what they have measured but times."""
    runs = {}
    for about in sorted(directory.glob("runs/*/cell.json")):
        metrics = about.with_name("metrics.jsonl")
        lines = metrics.read_text().splitlines() if metrics.exists() else []
        records = [{key: value for key, value in json.loads(line).items() if key not in TIMES} for line in lines]
        runs[about.parent.name] = {**json.loads(about.read_text()), "records": records}
    return runs


def instants(directory: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in directory.glob("runs/*/cell.json")}


def test_only_what_is_missing_is_computed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study("--set topology=ring,star --seeds 2")
    assert "2 cells with 4 runs, 4 to compute now" in capsys.readouterr().out
    first = instants(Path("studies/study"))
    assert len(first) == 4
    study("--set topology=ring,star --seeds 2")
    assert "2 cells with 4 runs, 0 to compute now" in capsys.readouterr().out
    study("--set topology=ring,star,complete --seeds 2")
    assert "3 cells with 6 runs, 2 to compute now" in capsys.readouterr().out
    later = instants(Path("studies/study"))
    assert len(later) == 6
    assert {name: later[name] for name in first} == first


def test_a_cell_is_a_run_like_any_other(here: Path) -> None:
    study("--set topology=ring --seeds 2")
    for directory in Path("studies/study/runs").iterdir():
        about = json.loads((directory / "cell.json").read_text())
        summary = json.loads((directory / "summary.json").read_text())
        assert (about["status"], summary["status"], summary["seed"]) == ("finished", "finished", about["seed"])
        training = parse(["--config", str(directory / "config.yaml")], 1)  # and can be run again
        assert (training.topology.n, training.steps, training.seed) == (4, 6, about["seed"])
    assert yaml.safe_load(Path("studies/study/study.yaml").read_text())["seeds"] == [0, 1]


def test_equal_configurations_are_one_run(here: Path) -> None:
    """However they are written."""
    runs = [cells.Run({"nodes": 4, "algorithm": "DecentralizedSGD", **more}, 0) for more in ({}, {"algorithm.lr": 0.1})]
    runs.append(cells.Run({"algorithm.lr": "1e-1", "nodes": "4", "algorithm": "algorithms.DecentralizedSGD"}, 0))
    assert len({run.identity for run in runs}) == 1
    assert (
        len({cells.Run({**runs[0].options, key: 9}, 0).identity for key in ("nodes", "steps", "evaluate_every")}) == 3
    )
    assert cells.Run(runs[0].options, 1).identity != runs[0].identity


def test_what_fails_or_diverges_is_said_and_stops_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "--set workload=Averaging steps=6 algorithm=DecentralizedSGD".split()
    words += "topology=hypercube,ring nodes=4,6 algorithm.lr=0.1,1e200 --seeds 2 --processes 1".split()
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "hypercube needs a power of two, got n = 6" in out
    assert "diverged: " in out and "a smaller learning rate" in out
    assert "6 finished, 6 diverged, 4 failed" in out
    ends = [(run["options"]["nodes"], run["status"]) for run in kept(Path("studies/study")).values()]
    assert ends.count((6, "failed")) == 4
    diverged = next(run for run in kept(Path("studies/study")).values() if run["status"] == "diverged")
    assert diverged["records"] and "the run diverged" in diverged["line"]
    first = instants(Path("studies/study"))
    compute(words[:-2])
    later = instants(Path("studies/study"))  # what has failed is tried again, nothing else
    failed = {name for name, run in kept(Path("studies/study")).items() if run["status"] == "failed"}
    assert {name for name in later if later[name] != first[name]} == failed


def test_code_of_ones_own_that_fails(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "own_for_study.py").write_text(
        "from dataclasses import dataclass\nfrom algorithms import Algorithm\n\n"
        "@dataclass(frozen=True)\nclass Own(Algorithm):\n    '''Own.'''\n    lr: float = 0.1\n"
        "    def step(self, state, sample, network):\n        raise KeyError('gone')\n"
    )
    monkeypatch.syspath_prepend(here)
    assert main("--set workload=Averaging nodes=4 algorithm=own_for_study.Own --processes 1".split()) == 1
    out = capsys.readouterr().out
    assert "KeyError: 'gone'" in out and "; see error.txt" in out
    (trace,) = here.glob("studies/study/runs/*/error.txt")
    assert "own_for_study.py" in trace.read_text()


OWN = """
from dataclasses import dataclass
from algorithms import Identity

@dataclass(frozen=True)
class Own(Identity):
    "One's own."
"""


def test_code_of_ones_own_that_has_changed_is_another_run(here: Path, python: Run) -> None:
    """In processes of their own, as one that has loaded it does not load it again."""
    found = []
    options = {"nodes": 4, "algorithm": "ChocoSGD", "algorithm.compressor": "own_compressor.Own"}
    for text in (OWN, f"{OWN}# changed"):
        (here / "own_compressor.py").write_text(text)
        say = f"from gossip.study.cells import Run; print([Run({options}, seed).identity for seed in (0, 0, 1)])"
        done = python("-c", say, env={"PYTHONPATH": f"{here}:{REPOSITORY}"})
        assert done.returncode == 0, done.stderr
        found += done.stdout.strip("[]\n ").split(", ")
    assert found[0] == found[1] and len(set(found)) == 4


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--set topology=ring,rng", "no cell with topology=rng can be run: --topology does not know 'rng'; did you"),
        ("--set topology=ring algorithm.gama=1", "has no option 'gama'"),
        ("--set topology=ring steps=many", "--steps: expected int"),
        ("--seeds 0 --set topology=ring", "seeds = 0 is not allowed"),
        ("--seeds x --set topology=ring", "invalid int value: 'x'"),
        ("--set topology=ring --tuning-seeds 2", "--tuning-seeds has no effect without --tune"),
        ("--set topology=ring --processes 0", "--processes 0 is not allowed"),
        ("--set topology=ring --chunk 3/2", "--chunk 3/2 is not allowed"),
        ("--set topology=ring --target loss", "--target loss is not allowed"),
        ("--steps 5", "unrecognized arguments: --steps"),
        ("", "there is nothing to study"),
        ("none.yaml", "cannot read none.yaml"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    here: Path, words: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) in (2, 3)
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert not Path("studies").exists()


def test_an_objective_that_nobody_measures(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "--set topology=ring --tune algorithm.lr=0.1..1:2 --objective speed --set steps=2 evaluate_every=2"
    assert main([*"--set workload=Averaging nodes=2 --processes 1".split(), *words.split()]) == 2
    assert "--objective speed is not measured by these runs; it may be one of " in capsys.readouterr().err


def test_what_nodes_have_of_their_own_can_be_the_objective(here: Path) -> None:
    """Then trials evaluate single nodes, which others leave out."""
    words = "--set workload=Averaging nodes=2 steps=4 algorithm=DecentralizedSGD evaluate_every=4 --processes 1".split()
    compute([*words, "--tune", "algorithm.lr=0.1..1:2", "--objective", "node_test_loss"])
    compute([*words, "--tune", "algorithm.lr=0.1..1:2", "--output", "other"])
    for folder, evaluated in (("studies/study", True), ("other", False)):
        trials = [run for run in kept(Path(folder)).values() if run["tuning"]]
        assert trials and {"node_test_loss" in run["records"][-1] for run in trials} == {evaluated}


def test_tuned_cells_use_the_best_value_on_other_seeds(here: Path) -> None:
    study("--set topology=ring --tune algorithm.lr=0.01..1 --seeds 2 --tuning-seeds 2")
    runs = kept(Path("studies/study")).values()
    counting = [run for run in runs if not run["tuning"]]
    assert [run["seed"] for run in sorted(counting, key=lambda run: run["seed"])] == [0, 1]
    trials = [run for run in runs if run["tuning"]]
    assert {run["seed"] for run in trials} == {1_000_000, 1_000_001}
    assert len({run["options"]["algorithm.lr"] for run in counting}) == 1
    first = instants(Path("studies/study"))
    study("--set topology=ring --tune algorithm.lr=0.01..1 --seeds 2 --tuning-seeds 2")
    assert instants(Path("studies/study")) == first


GRID = f"{SMALL} --set topology=ring,star,hypercube algorithm.lr=0.1,1e200".split()


def reference(directory: Path) -> dict[str, dict]:
    compute([*GRID, "--output", str(directory)])
    return kept(directory)


def test_chunks_are_parts_of_the_study(here: Path) -> None:
    expected = reference(here / "one")
    for chunk in ("4/4", "1/4", "2/4", "3/4"):
        compute([*GRID, "--output", "chunks", "--chunk", chunk])
    assert kept(Path("chunks")) == expected


DEADLY = """
import os, signal
from topologies import Topology, path

def deadly(n: int) -> Topology:
    "A path, in the process that has said so."
    if os.environ.get("SPARED") != str(os.getpid()):
        os.kill(os.getpid(), signal.SIGKILL)
    return path(n)
"""
START = """
import os, sys
if __name__ == "__main__":
    os.environ["SPARED"] = str(os.getpid())
    from gossip.processes.communicator import Communicator
    from gossip.processes.signals import Signals
    from gossip.study.command import parse
    from gossip.study.conduct import conduct
    conduct(parse(sys.argv[1:], 1), Communicator(), Signals())
"""


def test_processes_give_the_same_results_and_one_that_dies_is_one_failed_run(here: Path, python: Run) -> None:
    (here / "deadly.py").write_text(DEADLY)
    words = [*GRID, "--processes", "2", "--output", "two", "--exclude", "topology=deadly.deadly", "algorithm.lr=0.1"]
    words[words.index("topology=ring,star,hypercube")] = "topology=deadly.deadly,ring,star,hypercube"
    done = python("-c", START, *words, env={"PYTHONPATH": f"{here}:{REPOSITORY}"}, timeout=600)
    assert "its process was killed by SIGKILL; is there enough memory?" in done.stdout, done.stderr
    found = kept(Path("two"))
    (dead,) = [name for name, run in found.items() if run["options"]["topology"] == "deadly.deadly"]
    assert found.pop(dead)["status"] == "failed"
    assert found == reference(here / "one")


def test_killed_at_any_instant_it_computes_nothing_twice(here: Path) -> None:
    """By forked processes, of which each is killed a little later."""
    began = time.perf_counter()
    expected = reference(here / "one")
    whole = time.perf_counter() - began
    instant = random.Random(0)
    seen: dict[str, int] = {}
    for _ in range(50):
        child = os.fork()
        if not child:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            compute([*GRID, "--output", "killed"])
            os._exit(0)
        time.sleep(instant.uniform(0.1, 0.7) * whole)
        ended, status = os.waitpid(child, os.WNOHANG)
        if not ended:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        now = {name: at for name, at in instants(Path("killed")).items() if expected[name]["status"] != "failed"}
        assert {name: now[name] for name in seen} == seen
        seen = now
        if ended:
            assert os.waitstatus_to_exitcode(status) == 0
            break
    assert kept(Path("killed")) == expected
    assert not list(Path("killed/runs").glob(".*"))


def test_what_is_not_whole_has_no_name(here: Path) -> None:
    """A run that was killed while it was moved to its place, by hand."""
    store = Store(here)
    run = cells.Run({"workload": "Averaging", "nodes": 2, "steps": 2}, 0)
    aside = store.runs / f".{run.identity}-{os.uname().nodename}-999999999"
    aside.mkdir(parents=True)
    assert store.outcome(run) is None
    store.clear()
    assert not aside.exists()


def test_a_signal_stops_the_one_run_that_is_computed_between_two_steps(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = "--set topology=ring workload=Averaging nodes=4 steps=1000000000 --processes 1".split()
    order = parse_study(endless, 1)
    assert isinstance(order, StudyOrder)
    monkeypatch.setenv("GOSSIP_STOPPED", str(here / "marker"))
    signals = Signals()
    threading.Timer(1.0, setattr, (signals, "received", signal.SIGTERM)).start()
    with pytest.raises(PreemptedError, match="stopped by SIGTERM; the same command goes on") as error:
        conduct(order, Communicator(), signals)
    assert error.value.exit_code == 75
    assert not list(order.whole.store.runs.iterdir())  # nothing half done is left
    assert (here / "marker").exists()  # the batch script has the job queued again


def test_a_signal_stops_it_and_the_same_command_goes_on(here: Path) -> None:
    order = parse_study([*GRID, "--processes", "1"], 1)
    assert isinstance(order, StudyOrder)
    signals = Signals()
    signals.received = signal.SIGUSR1
    with pytest.raises(PreemptedError, match="stopped by SIGUSR1; the same command goes on"):
        conduct(order, Communicator(), signals)
    assert not instants(Path("studies/study"))
    conduct(order, Communicator(), Signals())
    assert len(instants(Path("studies/study"))) == 6
