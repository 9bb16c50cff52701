"""What `python -m gossip.bench` measures and how it reports it; never how fast anything is."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

import algorithms
from algorithms import Compressor, Contraction, TopK
from algorithms.randomness import Draw
from gossip.bench.__main__ import bench
from gossip.bench.compression import forecast
from gossip.bench.compression.forecast import DurationForecast
from gossip.bench.compression.operators import build, curve, exported, label
from gossip.bench.compression.torch_forms import FORMS, torch_form
from gossip.bench.network.weighted_sum import weighted_sum
from gossip.bench.timing import interleaved, repeated
from gossip.network import Communicator
from tests.conftest import Run

KEYS = "case transport topology ranks dimension seconds baseline baseline_seconds ratio".split()
SPEEDS = """operator parameters ranks dimension encode_seconds decode_seconds copy_seconds torch_seconds bits_per_entry
    paper_bits_per_entry encode_ratio decode_ratio speedup_over_torch""".split()
ERRORS = "operator parameters data bits_per_entry error unbiased kind bound".split()
QUICK = ("--repeats", "2", "--json", "rows.json")
BLOCKS = ("--block", "1e-4")  # too short to tell how fast anything is
TINY = {
    "mix": ("--dimension", "50", "1e2", "--topology", "ring", "star"),
    "train": ("--model", "mlp-small", "--batch", "2", "--steps", "1"),
    "scale": ("--nodes", "20", "--dimension", "10"),
    "rounds": ("--clients", "6", "--taking-part", "2", "--local-steps", "2", "--batch", "1", "3", "--hidden", "2"),
    "events": ("--algorithm", "AdPsgd", "SwarmSGD", "--nodes", "6", "10", "--dimension", "3", "--steps", "2"),
    "consensus": ("--nodes", "50", "--rounds", "5", "--topology", "ring", "one_peer_exponential"),
    "frontier": ("--hidden", "2", "--steps", "3", "--repeats", "2"),
}


def measured(python: Run, folder: Path, *arguments: str, ranks: int = 0) -> list[dict[str, Any]]:
    """The rows of a run, each of which keeps the contract."""
    rows, output, complaints = reported(python, folder, *arguments, ranks=ranks)
    assert complaints == []
    for row in rows:
        assert list(row) == KEYS
        assert row["ranks"] == max(ranks, 1)
        assert row["seconds"] > 0
        assert row["case"] in output
        if row["baseline_seconds"] is None:
            assert row["ratio"] is None
        else:
            assert math.isclose(row["ratio"], row["seconds"] / row["baseline_seconds"])
    return rows


def reported(python: Run, folder: Path, *arguments: str, ranks: int = 0) -> tuple[list[dict[str, Any]], str, list[str]]:
    """The rows of a run, what it printed, and the lines on its standard error."""
    blocks = () if arguments[0] in ("rounds", "events", "frontier") else BLOCKS
    done = python("-W", "error", "-m", "gossip.bench", *arguments, *blocks, *QUICK, ranks=ranks)
    assert done.returncode == 0, done.stderr
    rows = json.loads((folder / "rows.json").read_text())
    assert rows
    return rows, done.stdout, done.stderr.splitlines()


def check_speeds(rows: list[dict[str, Any]], output: str, ranks: int = 0) -> None:
    for row in rows:
        assert list(row) == SPEEDS
        assert row["ranks"] == max(ranks, 1)
        assert row["operator"] in output
        assert min(row["encode_seconds"], row["decode_seconds"], row["copy_seconds"]) > 0
        assert row["bits_per_entry"] > 0 and (row["paper_bits_per_entry"] or 1) > 0  # of Polyline there are none
        assert math.isclose(row["encode_ratio"], row["encode_seconds"] / row["copy_seconds"])
        assert math.isclose(row["decode_ratio"], row["decode_seconds"] / row["copy_seconds"])
        if row["torch_seconds"] is None:
            assert row["speedup_over_torch"] is None
        else:
            assert math.isclose(row["speedup_over_torch"], row["torch_seconds"] / row["encode_seconds"])


def test_mixing_in_one_process(here: Run, tmp_path: Path) -> None:
    rows = measured(here, tmp_path, "mix", *TINY["mix"], "--nodes", "6")
    assert [(row["topology"], row["dimension"], row["baseline"]) for row in rows] == [
        (topology, dimension, baseline)
        for topology in ("ring", "star")
        for dimension in (50, 100)
        for baseline in ("local_sum", "isend_irecv", "allreduce", "copy")
    ]
    for row in rows:
        assert (row["case"], row["transport"]) == ("mix", "none")
        assert (row["ratio"] is None) == (row["baseline"] in ("isend_irecv", "allreduce"))


def test_training_in_one_process(here: Run, tmp_path: Path) -> None:
    rows = measured(here, tmp_path, "train", *TINY["train"], "--cases", "dsgd", "choco", "allreduce")
    assert [row["case"] for row in rows] == ["mlp-small dsgd", "mlp-small choco", "mlp-small allreduce"]
    assert {row["baseline"] for row in rows} == {"no_communication"}
    assert {row["dimension"] for row in rows} == {669_706}
    assert [row["transport"] for row in rows] == ["none", "none", None]


def test_scale_in_one_process(here: Run, tmp_path: Path) -> None:
    rows = measured(here, tmp_path, "scale", *TINY["scale"])
    assert [(row["case"], row["topology"], row["baseline"]) for row in rows] == [
        (case, topology, baseline)
        for topology in ("ring", "random_regular")
        for case, baseline in (("mix", "copy"), ("step", "gradient"))
    ]


def test_events(here: Run, tmp_path: Path) -> None:
    rows, output, complaints = reported(here, tmp_path, "events", *TINY["events"])
    assert complaints == []
    assert [(row["algorithm"], row["nodes"]) for row in rows] == [
        ("AdPsgd", 6),
        ("AdPsgd", 10),
        ("SwarmSGD", 6),
        ("SwarmSGD", 10),
    ]
    for row in rows:
        assert row["dimension"] == 3 and row["gradients"] == 2 * row["nodes"]  # every node's, of two steps
        # A node asks another one at the start and with each gradient, or with every second one.
        questions = 3 if row["algorithm"] == "AdPsgd" else 1
        assert row["messages"] == 2 * questions * row["nodes"]
        assert math.isclose(row["events_per_second"], (row["gradients"] + row["messages"]) / row["seconds"])
        assert math.isclose(row["ratio"], row["seconds"] / row["limit_seconds"])
        assert row["algorithm"] in output and f"{row['events_per_second']:,.0f}" in output


def test_rounds(here: Run, tmp_path: Path) -> None:
    rows, output, complaints = reported(here, tmp_path, "rounds", *TINY["rounds"])
    assert complaints == [] and [row["batch"] for row in rows] == [1, 3]
    for row in rows:
        assert (row["clients"], row["taking_part"], row["dimension"]) == (6, 2, 2 * 785 + 3 * 10)
        assert math.isclose(row["ratio"], row["seconds"] / row["gradient_seconds"])
    assert output.count("2 of 6") == 2


def test_consensus_in_one_process(here: Run, tmp_path: Path) -> None:
    rows = measured(here, tmp_path, "consensus", *TINY["consensus"])
    assert [(row["topology"], row["dimension"], row["baseline"]) for row in rows] == [
        ("ring", 16, "copy"),
        ("one_peer_exponential", 16, "copy"),
    ]


def test_compressors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """All of them."""
    monkeypatch.chdir(tmp_path)
    assert bench(["compressors", "--dimension", "1e3", "50", *BLOCKS, *QUICK], Communicator()) == 0
    rows = json.loads(Path("rows.json").read_text())
    printed = capsys.readouterr()
    check_speeds(rows, printed.out)
    left_out = printed.err.splitlines()
    assert all(line.startswith("left out ") for line in left_out)
    assert len(rows) + len(left_out) == 2 * len(exported())
    assert {row["operator"] for row in rows} | {named(line) for line in left_out} == set(exported())
    assert {row["operator"] for row in rows} >= {"Identity", "QSGD", "RandomK", "ScaledSign", "TopK"}


def named(line: str) -> str:
    """The operator that was left out."""
    return re.split(r"\W", line.removeprefix("left out "))[0]


def test_every_compressor_can_be_built() -> None:
    assert {"Identity", "TopK"} <= exported().keys() <= {name for name in dir(algorithms) if name[0].isupper()}
    for name, kind in exported().items():
        operator = build(kind)
        assert isinstance(operator, kind), name
        assert label(operator).startswith(name)
        points = curve(kind)
        assert points and all(type(each) is kind for each in points), name
        assert len({label(each) for each in points}) == len(points)
    assert [each.kept(1000) for each in curve(TopK)] == [1, 10, 50, 200, 500]  # type: ignore[attr-defined]


def test_chosen_operators(here: Run, tmp_path: Path) -> None:
    rows, output, complaints = reported(
        here, tmp_path, "compressors", "--operator", "TopK", "Identity", "--dimension", "1e3", "10"
    )
    assert complaints == []
    check_speeds(rows, output)
    assert [(row["operator"], row["parameters"], row["dimension"]) for row in rows] == [
        ("TopK", "fraction=0.01", 10),
        ("TopK", "fraction=0.01", 1000),
        ("Identity", "", 10),
        ("Identity", "", 1000),
    ]
    assert rows[3]["bits_per_entry"] == 32 + 24 * 8 / 1000
    assert rows[3]["paper_bits_per_entry"] == 32
    assert "GB/s" in output and "32.19" in output


@pytest.mark.parametrize("name", sorted(FORMS))
def test_torch_computes_the_same_in_law(name: str) -> None:
    """A form's mean squared error, or what it keeps, is the operator's."""
    operator = build(exported()[name])
    assert operator is not None
    x = torch.randn(4096, generator=torch.Generator().manual_seed(0))
    form = torch_form(operator)
    assert form is not None

    def error(decoded: torch.Tensor) -> float:
        return float((decoded - x).square().sum() / x.square().sum())

    torch.manual_seed(0)
    ours = np.mean([error(operator.compress(x[None], Draw(0, "test", [0], round)).dense()[0]) for round in range(20)])
    theirs = np.mean([error(dense(form(x), len(x), unscaled(operator))) for _ in range(20)])
    assert theirs == pytest.approx(ours, rel=0.1, abs=1e-9)


def dense(result: Any, d: int, scale: float) -> torch.Tensor:
    """The vector that a form's result stands for."""
    if isinstance(result, tuple):
        decoded = torch.zeros(d)
        decoded[result[0]] = result[1]
        return decoded * scale
    parts = result if isinstance(result, list) else [result]
    return torch.cat([part.reshape(-1).float() for part in parts]) * scale


def unscaled(operator: Compressor) -> float:
    """What a receiver multiplies by."""
    return operator.alpha(4096) if isinstance(operator, Contraction) else 1.0


class Slow(TopK):
    """Takes d^2 nanoseconds of the clock below."""

    def compress(self, x: torch.Tensor, draw: Draw) -> Any:
        Slow.clock += 1e-9 * x.numel() ** 2
        Slow.sizes.append(x.numel())
        return super().compress(x, draw)

    clock = 0.0
    sizes: ClassVar[list[int]] = []


def test_slow_operators_are_found_out_from_short_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gossip.bench.timing.time.perf_counter", lambda: Slow.clock)
    told = DurationForecast(Slow(k=2), patience=2.0, communicator=Communicator())
    assert told.objection(1) == "Slow: k = 2 is not allowed; it must be at most d = 1, the number of parameters"
    assert told.objection(10_000) is None
    assert told.objection(1_000_000) == "it takes 100 ms for 10,000 entries already; --patience allows more"
    assert sorted(set(Slow.sizes)) == [1000, 10_000]
    assert DurationForecast(Slow(k=2), patience=20.0, communicator=Communicator()).objection(100_000) is None
    assert forecast.SHORTEST == 1000


def test_the_frontier(here: Run, tmp_path: Path) -> None:
    rows, output, left_out = reported(here, tmp_path, "frontier", *TINY["frontier"])
    assert all(line.startswith("left out ") for line in left_out)
    assert {row["operator"] for row in rows} | {named(line) for line in left_out} == set(exported())
    d = 784 * 2 + 2 + 2 * 10 + 10
    for row in rows:
        assert list(row) == ERRORS
        assert row["operator"] in output
        assert math.isclose(row["bound"], 4 ** -row["bits_per_entry"])
    top = [row for row in rows if row["operator"] == "TopK"]
    assert len(top) == 15
    assert {row["data"] for row in top} == {"Gaussian", "Laplace", "gradient"}
    assert all(0 < row["error"] < 1 and not row["unbiased"] for row in top)
    by_bits = sorted((row["bits_per_entry"], row["error"]) for row in top if row["data"] == "gradient")
    assert [error for _, error in by_bits] == sorted((error for _, error in by_bits), reverse=True)
    (identity, *_) = [row for row in rows if row["operator"] == "Identity"]
    assert (identity["bits_per_entry"], identity["error"]) == (32 + 24 * 8 / d, 0)
    picture = (tmp_path / "frontier.svg").read_text()
    for text in ("Gaussian", "Laplace", "gradients", "bits per entry", *(row["operator"] for row in rows)):
        if text != "Identity":  # it has no error
            assert text in picture


def test_the_frontier_as_pixels(here: Run, tmp_path: Path) -> None:
    arguments = ("--operator", "TopK", "ScaledSign", "--output", "small.png")
    rows, *_ = reported(here, tmp_path, "frontier", *TINY["frontier"], *arguments)
    assert [row["operator"] for row in rows] == ["TopK"] * 15 + ["ScaledSign"] * 3
    assert (tmp_path / "small.png").read_bytes().startswith(b"\x89PNG")


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
        ("rounds --clients 2", 2, "participation = 20 of 2 clients"),
        ("events --nodes 4", 2, "nodes = (4,) is not allowed; it must be >= 5"),
        ("compressors --json none/rows.json", 3, "cannot write none/rows.json"),
        ("compressors --operator TopQ", 2, "--operator does not know 'TopQ'; did you mean TopK?"),
        ("frontier --output none/picture.svg", 3, "cannot write none/picture.svg"),
        ("frontier --output picture.tex", 2, "output = 'picture.tex' is not allowed; it must be a name ending in"),
    ],
)
def test_bad_input_is_one_line(here: Run, arguments: str, code: int, says: str) -> None:
    done = here("-m", "gossip.bench", *arguments.split())
    assert done.returncode == code, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("gossip: error: ")
    assert says in line
    assert done.stdout == ""


def test_help_names_every_option(here: Run) -> None:
    done = here("-m", "gossip.bench", "mix", "--help")
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
