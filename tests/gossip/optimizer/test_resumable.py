"""What is saved of a loop of one's own is whole or not there; tests/mpi/ranks has several ranks."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gossip
from algorithms import DecentralizedSGD
from gossip.errors import DataError, UsageError
from gossip.processes.signals import MARKER, WATCHED


@pytest.fixture
def loop() -> Iterator[tuple[nn.Module, gossip.Optimizer]]:
    net = nn.Linear(2, 1)
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.1, momentum=0.9))
    yield net, optimizer
    optimizer.close()


def step(net: nn.Module, optimizer: gossip.Optimizer) -> None:
    optimizer.zero_grad()
    net(torch.ones(1, 2)).square().mean().backward()
    optimizer.step()


def draws() -> list[Any]:
    return [torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random()]


def test_values_and_random_numbers_come_back(loop: tuple[nn.Module, gossip.Optimizer], tmp_path: Path) -> None:
    net, optimizer = loop
    assert optimizer.load(tmp_path / "new", model=net) == {}
    assert not (tmp_path / "new").exists()
    values: dict[str, Any] = {
        "step": 3,
        "best": 0.5,
        "name": "a",
        "seen": torch.arange(3),
        "rows": [{"loss": 1.0}, None],
    }
    optimizer.save(tmp_path / "new", model=net, **values)
    expected = draws()
    found = optimizer.load(tmp_path / "new", model=net)
    assert draws() == expected
    seen: Tensor = found.pop("seen")
    assert torch.equal(seen, values.pop("seen")) and found == values
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["saved-00000001"]


def test_the_last_one_counts_and_what_is_not_ours_stays(
    loop: tuple[nn.Module, gossip.Optimizer], tmp_path: Path
) -> None:
    optimizer = loop[1]
    theirs = ("saved-best", "saved-3.bak", "notes")
    for name in theirs:
        (tmp_path / name).mkdir()
    for number in range(1, 4):
        optimizer.save(tmp_path, step=number)
    assert {path.name for path in tmp_path.iterdir()} == {*theirs, "saved-00000003"}
    (tmp_path / ".writing-00000004").mkdir()  # of a process that was killed
    assert optimizer.load(tmp_path) == {"step": 3}
    optimizer.save(tmp_path, step=4)
    assert {path.name for path in tmp_path.iterdir()} == {*theirs, "saved-00000004"}


def test_a_folder_in_which_nothing_can_be_written_is_one_error(
    loop: tuple[nn.Module, gossip.Optimizer], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot write .*file/saved-00000001 \(File exists\)"):
        loop[1].save(tmp_path / "file")


def forget_a_rank(folder: Path) -> None:
    (folder / "rank-0000.pt").unlink()


def change_a_byte(folder: Path) -> None:
    content = bytearray((folder / "rank-0000.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "rank-0000.pt").write_bytes(content)


def empty_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("")


def change_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("[]")


@pytest.mark.parametrize("damage", [forget_a_rank, change_a_byte, empty_the_manifest, change_the_manifest])
def test_damage_is_said(
    damage: Callable[[Path], None], loop: tuple[nn.Module, gossip.Optimizer], tmp_path: Path
) -> None:
    net, optimizer = loop
    optimizer.save(tmp_path, model=net)
    damage(tmp_path / "saved-00000001")
    with pytest.raises(DataError, match="saved-00000001 is damaged"):
        optimizer.load(tmp_path, model=net)


def test_what_does_not_fit_is_refused(loop: tuple[nn.Module, gossip.Optimizer], tmp_path: Path) -> None:
    net, optimizer = loop
    optimizer.save(tmp_path, model=net)
    with pytest.raises(
        UsageError, match="has the states of model beside the optimizer, and it is to be loaded into no"
    ):
        optimizer.load(tmp_path)
    with pytest.raises(UsageError, match="loaded into ema, model"):
        optimizer.load(tmp_path, model=net, ema=net)
    with pytest.raises(UsageError, match="this cannot be saved so that it can be read back"):
        optimizer.save(tmp_path, model=net, loss=lambda x: x)
    manifest = tmp_path / "saved-00000001" / "manifest.json"
    manifest.write_text(json.dumps({"checksums": json.loads(manifest.read_text())["checksums"] * 4}))
    with pytest.raises(UsageError, match="was saved by 4 ranks and there are 1"):
        optimizer.load(tmp_path, model=net)


def test_who_is_not_asked_leaves_signals_alone(
    loop: tuple[nn.Module, gossip.Optimizer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, optimizer = loop
    monkeypatch.setenv(MARKER, str(tmp_path / "marker"))
    before = [signal.getsignal(each) for each in WATCHED]
    step(net, optimizer)
    optimizer.save(tmp_path)
    assert [signal.getsignal(each) for each in WATCHED] == before
    assert not optimizer.stopping
    step(net, optimizer)
    assert not optimizer.stopping
    optimizer.save(tmp_path)
    optimizer.close()
    assert [signal.getsignal(each) for each in WATCHED] == before
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_is_asked_says_it_once_and_from_then_on(
    number: signal.Signals,
    loop: tuple[nn.Module, gossip.Optimizer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    net, optimizer = loop
    monkeypatch.setenv(MARKER, str(tmp_path / "marker"))
    before = [signal.getsignal(each) for each in WATCHED]
    try:
        assert not optimizer.stopping
        os.kill(os.getpid(), number)
        answers = []
        for _ in range(8):
            step(net, optimizer)
            answers.append(optimizer.stopping)
        assert answers == sorted(answers) and answers[-1]
        assert capsys.readouterr().err.count(f"gossip: {number.name} asks to stop; it is step ") == 1
        optimizer.save(tmp_path / "saved", model=net)
        assert (tmp_path / "marker").exists() == (number is not signal.SIGINT)
        optimizer.close()
    finally:
        for each, handler in zip(WATCHED, before, strict=True):
            signal.signal(each, handler)
    shutil.rmtree(tmp_path / "saved")
