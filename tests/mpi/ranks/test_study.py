"""Ranks share the runs of a study, each of which is computed by one of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gossip.network import Communicator
from gossip.processes.signals import Signals
from gossip.study.command import StudyOrder, parse
from gossip.study.conduct import conduct

WORDS = "--set workload=Averaging nodes=4 steps=4 algorithm=DecentralizedSGD topology=ring,star,hypercube"
TUNED = f"{WORDS} --tune algorithm.lr=0.1..1:2 --seeds 2".split()


def runs(directory: Path) -> dict[str, tuple]:
    found = {}
    for about in directory.glob("runs/*/cell.json"):
        kept = json.loads(about.read_text())
        loss = json.loads(about.with_name("summary.json").read_text())["test_loss"]
        found[about.parent.name] = kept["options"], kept["seed"], kept["status"], loss
    return found


@pytest.mark.ranks(3)
def test_ranks_compute_what_one_process_does(processes: Communicator, tmp_path: Path) -> None:
    folder = Path(processes.broadcast(str(tmp_path)))

    def order(name: str) -> StudyOrder:
        found = parse([*TUNED, "--output", str(folder / name)], processes.size)
        assert isinstance(found, StudyOrder)
        return found

    conduct(processes.from_root(lambda: order("ranks")), processes, Signals())
    if processes.rank == 0:
        conduct(order("one"), Communicator(), Signals())
        assert runs(folder / "ranks") == runs(folder / "one")
        assert len(runs(folder / "one")) > 12
