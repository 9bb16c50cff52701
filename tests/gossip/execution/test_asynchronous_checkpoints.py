"""Asynchronous runs go on from checkpoints as if they had never stopped."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import gossip
from algorithms import Minibatch, Oracle, Saga
from gossip import SimulatedClock
from gossip.drivers.schedule import Schedule
from gossip.errors import DataError
from gossip.network import SimulatedNetwork
from gossip.workloads import LogisticRegression
from tests.gossip.drivers.test_replay import METHODS, oracle_of

CLOCK = SimulatedClock(0.01, 2e-3, 1e6, 0.01, slow_nodes=(1,), slowdown=3.0)


def run(name: str, folder: Path, **options: Any) -> gossip.Result:
    method, topology = METHODS[name]
    options["oracle"] = oracle_of(name, options.get("oracle", Minibatch(8)))
    usual = {"steps": 12, "evaluate_every": 4, "seed": 3, "clock": CLOCK, "report": False}
    return gossip.run(LogisticRegression(), topology, method, output=folder, **usual | options)


def assert_as_if_it_had_never_stopped(found: gossip.Result, whole: gossip.Result) -> None:
    assert torch.equal(found.model, whole.model)
    for one, other in zip(found.history, whole.history, strict=True):
        assert one | {"seconds": 0} == other | {"seconds": 0}
    assert found.directory is not None and whole.directory is not None
    schedules = [Schedule.load(each.directory / "schedule.npz") for each in (found, whole)]  # type: ignore[operator]
    for field in ("times", "kinds", "nodes", "senders", "causes"):
        assert (getattr(schedules[0], field) == getattr(schedules[1], field)).all()


@pytest.mark.parametrize("oracle", [Minibatch(8), Saga()], ids=["minibatch", "saga"])
@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method(name: str, oracle: Oracle, tmp_path: Path) -> None:
    whole = run(name, tmp_path / "whole", oracle=oracle)
    part = run(name, tmp_path / "part", oracle=oracle, steps=7, checkpoint_every=7)
    found = run(name, tmp_path / "part", oracle=oracle, resume=part.directory)
    assert found.directory == part.directory
    assert [record["step"] for record in found.history] == [0, 4, 8, 12]
    assert_as_if_it_had_never_stopped(found, whole)


def test_messages_on_several_links(tmp_path: Path) -> None:
    """Some are between two links when the checkpoint is written."""
    network = SimulatedNetwork.of("wan")
    whole = run("push-sum", tmp_path / "whole", clock=None, network=network)
    part = run("push-sum", tmp_path / "part", clock=None, network=network, steps=8, checkpoint_every=4)
    found = run("push-sum", tmp_path / "part", clock=None, network=network, resume=part.directory)
    assert_as_if_it_had_never_stopped(found, whole)


def test_damage_is_noticed(tmp_path: Path) -> None:
    part = run("ad-psgd", tmp_path, steps=8, checkpoint_every=4)
    assert part.directory is not None
    rows = part.directory / "checkpoints" / "step-00000008" / "rank-0000.safetensors"
    content = bytearray(rows.read_bytes())
    content[len(content) // 2] ^= 1
    rows.write_bytes(content)
    with pytest.raises(DataError, match=r"is damaged: rank-0000\S* is not what was written"):
        run("ad-psgd", tmp_path, resume=part.directory)


def test_another_method_has_other_checkpoints(tmp_path: Path) -> None:
    part = run("ad-psgd", tmp_path, steps=8, checkpoint_every=4)
    with pytest.raises(ValueError, match="algorithm"):
        run("ad-psgd-compressed", tmp_path, resume=part.directory)


def test_the_model_of_a_checkpoint_can_be_read(tmp_path: Path) -> None:
    from gossip.checkpoint.__main__ import main

    part = run("ad-psgd", tmp_path, steps=8, checkpoint_every=4)
    assert part.directory is not None
    out = tmp_path / "model.safetensors"
    assert main(["export", str(part.directory), str(out)]) == 0
    assert out.exists()
    shutil.rmtree(part.directory)
