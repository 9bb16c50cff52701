"""The timeline of a run."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from tests.conftest import Run

TRAIN = ("-m", "gossip.train", "--quiet", "--steps", "6", "--output", "null", "--trace", "out.json")


@pytest.mark.parametrize("transport", ["shared-memory", "peer-to-peer"])
def test_each_rank_tells_what_it_did_and_for_whom_it_waited(python: Run, tmp_path: Path, transport: str) -> None:
    choco = ["--algorithm", "ChocoSGD", "--algorithm.gamma", "theory"]
    choco += ["--algorithm.compressor", "TopK", "--algorithm.compressor.fraction", "0.1"]
    done = python(*TRAIN, "--transport", transport, "--topology", "ring", *choco, ranks=3)
    assert done.returncode == 0, done.stderr
    events = json.loads((tmp_path / "out.json").read_text())["traceEvents"]
    for rank in range(3):
        mine = [event for event in events if event["pid"] == rank]
        (name,) = [event["args"]["name"] for event in mine if event["name"] == "process_name"]
        assert name.startswith(f"rank {rank} on ")
        timed = [event for event in mine if event["ph"] == "X"]
        assert all(event["dur"] >= 0 for event in timed)
        assert sum(event["name"] == "step" for event in timed) == 6
        assert sum(event["name"] == "gradients" for event in timed) == 7  # one for the last evaluation
        assert sum(event["name"] == "compress with TopK" for event in timed) >= 6
        assert {event["cat"] for event in timed} >= {"compute", "compress", "copy", "wait"}
        waits = [event for event in timed if event["tid"] > 0]
        assert {event["name"] for event in waits} <= {f"wait for rank {other}" for other in range(3) if other != rank}
        assert waits
        steps = sorted((event["ts"], event["dur"]) for event in timed if event["name"] == "step")
        assert all(begin + length <= after for (begin, length), (after, _) in itertools.pairwise(steps))


def test_a_file_that_cannot_be_written_is_refused(python: Run) -> None:
    done = python(*TRAIN[:-1], "/dev/null/out.json")
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "cannot write the trace /dev/null/out.json" in done.stderr
