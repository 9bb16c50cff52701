"""What `python -m gossip.bench` measures and how it reports it; never how fast anything is."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import algorithms
from gossip.bench.compressors import build, exported
from gossip.bench.kernels import weighted_sum
from gossip.bench.timing import interleaved, repeated
from gossip.network import Communicator
from tests.conftest import Run

KEYS = "case transport topology ranks dimension seconds baseline baseline_seconds ratio".split()
QUICK = ("--repeats", "2", "--json", "rows.json")
TINY = {
    "mix": ("--dimension", "50", "1e2", "--topology", "ring", "star"),
    "train": ("--model", "mlp-small", "--batch", "2", "--steps", "1"),
    "scale": ("--nodes", "20", "--dimension", "10"),
    "compressors": ("--dimension", "1e3"),
}


def measured(python: Run, folder: Path, *arguments: str, ranks: int = 0) -> list[dict[str, Any]]:
    """The rows of a run, each of which keeps the contract."""
    done = python("-W", "error", "-m", "gossip.bench", *arguments, *QUICK, ranks=ranks)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    rows: list[dict[str, Any]] = json.loads((folder / "rows.json").read_text())
    assert rows
    for row in rows:
        assert list(row) == KEYS
        assert row["ranks"] == max(ranks, 1)
        assert row["seconds"] > 0
        assert row["case"] in done.stdout
        if row["baseline_seconds"] is None:
            assert row["ratio"] is None
        else:
            assert math.isclose(row["ratio"], row["seconds"] / row["baseline_seconds"])
    return rows


def test_mixing_in_one_process(python: Run, tmp_path: Path) -> None:
    rows = measured(python, tmp_path, "mix", *TINY["mix"], "--nodes", "6")
    assert [(row["topology"], row["dimension"], row["baseline"]) for row in rows] == [
        (topology, dimension, baseline)
        for topology in ("ring", "star")
        for dimension in (50, 100)
        for baseline in ("local_sum", "isend_irecv", "allreduce", "copy")
    ]
    for row in rows:
        assert (row["case"], row["transport"]) == ("mix", "none")
        assert (row["ratio"] is None) == (row["baseline"] in ("isend_irecv", "allreduce"))


def test_training_in_one_process(python: Run, tmp_path: Path) -> None:
    rows = measured(python, tmp_path, "train", *TINY["train"], "--cases", "dsgd", "choco", "allreduce")
    assert [row["case"] for row in rows] == ["mlp-small dsgd", "mlp-small choco", "mlp-small allreduce"]
    assert {row["baseline"] for row in rows} == {"no_communication"}
    assert {row["dimension"] for row in rows} == {669_706}
    assert [row["transport"] for row in rows] == ["none", "none", None]


def test_scale_in_one_process(python: Run, tmp_path: Path) -> None:
    rows = measured(python, tmp_path, "scale", *TINY["scale"])
    assert [(row["case"], row["topology"], row["baseline"]) for row in rows] == [
        (case, topology, baseline)
        for topology in ("ring", "random_regular")
        for case, baseline in (("mix", "copy"), ("step", "gradient"))
    ]


def test_compressors(python: Run, tmp_path: Path) -> None:
    rows = measured(python, tmp_path, "compressors", *TINY["compressors"])
    assert {row["case"] for row in rows} == {
        f"{name} {what}" for name in exported() for what in ("compress", "pack", "unpack")
    }
    assert {(row["baseline"], row["transport"], row["topology"]) for row in rows} == {("copy", None, None)}


def test_every_compressor_can_be_built() -> None:
    assert {"Identity", "TopK"} <= exported().keys() <= {name for name in dir(algorithms) if name[0].isupper()}
    assert [name for name, kind in exported().items() if build(kind) is None] == []


def test_sizes_are_in_the_table_only(python: Run) -> None:
    done = python("-m", "gossip.bench", "compressors", "--repeats", "1", "--dimension", "1000")
    assert "32.19 bits per entry, 32 in the paper" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ("", 2, "required: COMMAND"),
        ("mux", 2, "invalid choice: 'mux'"),
        ("mix --topology rin", 2, "argument --topology: invalid choice: 'rin'"),
        ("mix --transport pigeon", 2, "argument --transport: invalid choice: 'pigeon'"),
        ("mix --dimension 1.5", 2, "argument --dimension: invalid whole value: '1.5'"),
        ("mix --dimension 10 0", 2, "dimension = (10, 0) is not allowed; it must be >= 1"),
        ("mix --repeats 0", 2, "repeats = 0 is not allowed; it must be >= 1"),
        ("mix --topology hypercube --nodes 3", 2, "hypercube needs a power of two"),
        ("train --momentum 1", 2, "momentum = 1.0 is not allowed"),
        ("scale --bogus", 2, "unrecognized arguments: --bogus"),
        ("compressors --json none/rows.json", 3, "cannot write none/rows.json"),
    ],
)
def test_bad_input_is_one_line(python: Run, arguments: str, code: int, says: str) -> None:
    done = python("-m", "gossip.bench", *arguments.split())
    assert done.returncode == code, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("gossip: error: ")
    assert says in line
    assert done.stdout == ""


def test_help_names_every_option(python: Run) -> None:
    done = python("-m", "gossip.bench", "mix", "--help")
    assert done.returncode == 0, done.stderr
    for option in ("--transport", "--topology", "--dimension", "--repeats", "--json"):
        assert option in done.stdout


@pytest.mark.parametrize("count", range(1, 9))
def test_the_sum_of_the_baselines(count: int) -> None:
    rng = np.random.default_rng(count)
    vectors = list(rng.standard_normal((count, 5000)).astype(np.float32))
    weights = rng.uniform(size=count)
    out = np.empty(5000, np.float32)
    weighted_sum(out, weights.tolist(), vectors)()
    assert_allclose(out, weights @ np.array(vectors), rtol=1e-5, atol=1e-5)


def test_blocks_are_interleaved_and_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gossip.bench.timing.time.perf_counter", lambda: clock)
    clock, order = 0.0, []

    def case(name: str, seconds: float) -> Any:
        def run(iterations: int) -> None:
            nonlocal clock
            clock += iterations * seconds
            order.append((name, iterations))

        return run

    seconds = interleaved({"slow": case("slow", 0.5), "fast": case("fast", 1e-4)}, 3, Communicator(), least=2)
    assert seconds == {"slow": pytest.approx(0.5), "fast": pytest.approx(1e-4)}
    assert [name for name, _ in order[-6:]] == ["slow", "fast"] * 3
    assert {iterations for name, iterations in order if name == "slow"} == {2}
    assert dict(order)["fast"] * 1e-4 >= 0.02


def test_repeated() -> None:
    calls: list[int] = []
    repeated(lambda: calls.append(1))(3)
    assert len(calls) == 3
