"""The measurements that need several ranks."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Run
from tests.gossip.test_bench import TINY, check_speeds, measured, reported

TRANSPORTS = ("shared-memory", "peer-to-peer")


def test_mixing(python: Run, tmp_path: Path) -> None:
    arguments = ("--transport", *TRANSPORTS, "--topology", "ring", "one_peer_exponential", "--dimension", "50")
    rows = measured(python, tmp_path, "mix", *arguments, ranks=2)
    assert [(row["topology"], row["transport"], row["baseline"]) for row in rows] == [
        (topology, transport, baseline)
        for topology in ("ring", "one_peer_exponential")
        for transport in TRANSPORTS
        for baseline in ("local_sum", "isend_irecv", "allreduce", "copy")
    ]
    assert all(row["ratio"] is not None for row in rows)


def test_mixing_in_a_directed_graph(python: Run, tmp_path: Path) -> None:
    rows = measured(python, tmp_path, "mix", "--topology", "exponential", "--dimension", "50", ranks=4)
    assert len(rows) == 4


def test_training(python: Run, tmp_path: Path) -> None:
    rows = measured(python, tmp_path, "train", *TINY["train"], "--ddp", ranks=2)
    modes = ("overlapped", "dsgd", "choco", "allreduce", "ddp_gloo")
    assert [row["case"] for row in rows] == [f"mlp-small {mode}" for mode in modes]
    assert [row["transport"] for row in rows] == ["auto", "auto", "auto", None, None]
    assert all(row["ratio"] is not None for row in rows)


def test_scale(python: Run, tmp_path: Path) -> None:
    rows = measured(python, tmp_path, "scale", *TINY["scale"], ranks=2)
    assert [(row["case"], row["baseline"]) for row in rows[:3]] == [
        ("mix", "copy"),
        ("step", "gradient"),
        ("step", "no_communication"),
    ]


def test_compressors(python: Run, tmp_path: Path) -> None:
    arguments = ("--operator", "TopK", "QSGD", "--dimension", "1e3")
    rows, output, complaints = reported(python, tmp_path, "compressors", *arguments, ranks=2)
    assert complaints == []
    assert [row["operator"] for row in rows] == ["TopK", "QSGD"]
    check_speeds(rows, output, ranks=2)


def test_the_frontier(python: Run, tmp_path: Path) -> None:
    rows, *_ = reported(python, tmp_path, "frontier", *TINY["frontier"], "--operator", "TopK", ranks=2)
    assert len(rows) == 15


def test_bad_input_is_one_line_from_rank_0(python: Run) -> None:
    for arguments in (["mix", "--nodes", "3"], ["mix", "--repeats", "-1"], ["scale", "--nodes", "1"]):
        done = python("-m", "gossip.bench", *arguments, ranks=2)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith("gossip: error: ")
        assert done.stdout == ""
