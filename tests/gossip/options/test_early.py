"""What is read from a command line before anything large is imported."""

from __future__ import annotations

import math
import shlex
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossip.errors import UsageError
from gossip.train.early import nodes, refuse_too_many, start_patience

WORDS = (
    "--nodes",
    "--nodes=5",
    "--stall-timeout",
    "--stall_timeout=2",
    "--config",
    "--config=none.yaml",
    "7",
    "x",
)


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("", None),
        ("--steps 3", None),
        ("--stall-timeout 2.5", 2.5),
        ("--stall_timeout=2.5 --steps 3", 2.5),
        ("--stall-timeout null", math.inf),
        ("--stall-timeout -1", None),  # the parser refuses it
        ("--stall-timeout soon", None),
        ("--stall-timeout", None),
    ],
)
def test_how_long_a_start_may_take(line: str, seconds: float | None) -> None:
    assert start_patience(shlex.split(line)) == seconds


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("", None),
        ("--nodes 64", 64),
        ("--nodes=64 --nodes 8", 8),
        ("--config a.yaml", 5),
        ("--nodes 64 --config a.yaml", 5),
        ("--config=a.yaml --nodes 64", 64),
        ("--config none.yaml --nodes many", None),
        ("--config list.yaml", None),
        ("--config deep.yaml", None),
        ("--nodes", None),
    ],
)
def test_how_many_nodes_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, number: int | None
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text("nodes: 5\nsteps: 3\n")
    Path("deep.yaml").write_text("nodes: " + 3000 * "[" + 3000 * "]")
    Path("list.yaml").write_bytes(b"- \xff\n")
    assert nodes(shlex.split(line)) == number


@settings(deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=6))
def test_no_command_line_is_too_odd(arguments: list[str]) -> None:
    assert nodes(arguments) in (None, 5, 7)
    assert start_patience(arguments) in (None, 2.0, 7.0)


def test_ranks_without_a_node() -> None:
    for ranks, number in ((4, None), (4, 4), (1, 0), (1, -3)):  # what is wrong with the last two the parser says
        refuse_too_many(ranks, number)
    with pytest.raises(UsageError, match="5 ranks for 4 nodes"):
        refuse_too_many(5, 4)
