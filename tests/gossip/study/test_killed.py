"""A study on several processes that is killed, all of it at once, and started again."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sys
import time
from pathlib import Path

import pytest

from gossip.processes.communicator import Communicator
from gossip.processes.signals import Signals
from gossip.study.__main__ import main
from gossip.study.command import StudyOrder, parse
from gossip.study.conduct import conduct

WORDS = "--set workload=LogisticRegression nodes=4 steps=40 evaluate_every=10 topology=ring,star".split()
WORDS += "--tune algorithm.lr=0.1..1:2 --seeds 3".split()  # 2 cells of 3 runs, and their searches
RUN = re.compile(r"(\d+) to compute now")


def begun(directory: Path) -> int:
    """Start the study in a process group of its own, with its output in `directory`/said; its number."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    sys.stdout = (directory / "said").open("w")
    os.chdir(directory)
    code = 1
    try:
        code = main([*WORDS, "--processes", "2"])
    finally:
        sys.stdout.flush()
        os._exit(code)


def kept(directory: Path) -> dict[str, tuple[int, int]]:
    """The runs that are whole, and what becomes another if they are written again."""
    stats = {path.parent.name: path.stat() for path in directory.glob("studies/study/runs/*/cell.json")}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}


def files(directory: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The page and all that is beside it, from records whose measured seconds are the numbers of their steps."""
    for path in directory.glob("studies/study/runs/*/metrics.jsonl"):
        records = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(record | {"seconds": record["step"]}) + "\n" for record in records))
    monkeypatch.chdir(directory)
    assert main(WORDS) == 0
    study = directory / "studies" / "study"
    return {str(path.relative_to(study)): path.read_bytes() for path in study.rglob("*.*") if "runs" not in path.parts}


def test_nothing_is_computed_twice_and_the_page_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for directory in (whole, killed):
        directory.mkdir()
    monkeypatch.chdir(whole)
    order = parse([*WORDS, "--processes", "1"], 1)
    assert isinstance(order, StudyOrder)
    conduct(order, Communicator(), Signals())
    expected = files(whole, monkeypatch)
    assert RUN.findall(capsys.readouterr().out) == ["4", "0"]  # of the search first, and none to make the page
    assert {"report.html", "table.md", "data.json", "figures/test_accuracy-over-step.svg"} <= set(expected)
    instant = random.Random(0)
    seen: dict[str, tuple[int, int]] = {}
    for stop in (1, 9, None):  # so many runs are there, and then at any instant of the next ones
        child = begun(killed)
        while stop is not None and len(kept(killed)) < stop:
            time.sleep(0.005)
            assert os.waitpid(child, os.WNOHANG) == (0, 0), (killed / "said").read_text()
        if stop is not None:
            time.sleep(instant.uniform(0, 0.1))
            os.killpg(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        assert os.waitstatus_to_exitcode(status) == (0 if stop is None else -signal.SIGKILL)
        now = kept(killed)
        assert {name: now[name] for name in seen} == seen
        said = (killed / "said").read_text()
        done = re.findall(r"^(\d+)/", said, re.MULTILINE)
        if stop is None:
            assert len(now) - len(seen) == int(done[-1])  # each that it has computed is a new one
        seen = now
    assert set(seen) == set(kept(whole))
    assert files(killed, monkeypatch) == expected
    assert kept(killed) == seen
    assert not list(killed.glob("studies/study/runs/.*"))
