"""What a loop of one's own has saved: the user's files beside it stay, and damage ends in one line."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import xxhash

import gossip
from algorithms import Accordion, ChocoSGD, DecentralizedSGD, ErrorFeedbackSGD, Switched, TopK
from gossip.errors import DataError
from tests.gossip.optimizer.helpers import model, train, vector


def loop() -> tuple[torch.nn.Module, gossip.Optimizer]:
    net = model()
    return net, gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.1, momentum=0.9))


def saved(folder: Path, times: int = 2) -> Path:
    net, optimizer = loop()
    for step in range(times):
        train(net, optimizer, [step])
        optimizer.save(folder, model=net, step=step + 1)
    return folder / f"saved-{times:08d}"


def test_what_lies_beside_is_neither_loaded_nor_removed(tmp_path: Path) -> None:
    last = saved(tmp_path)
    for name in (f"{last.name}-best", "saved-9", ".writing-notes", ".removed-but-mine"):
        shutil.copytree(last, tmp_path / name)
    (tmp_path / "saved-00000003").write_text("a file of the user's")
    (tmp_path / ".writing-00000003").mkdir()
    (tmp_path / ".removed-saved-00000001").mkdir()
    theirs = {path.name for path in tmp_path.iterdir() if not path.name.endswith(("-00000003", "-00000001"))} - {
        last.name
    }
    net, optimizer = loop()
    assert optimizer.load(tmp_path, model=net) == {"step": 2}
    before = vector(net)
    optimizer.save(tmp_path, model=net, step=3)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == theirs | {"saved-00000003", "saved-00000003.before"}
    assert (tmp_path / "saved-00000003.before").read_text() == "a file of the user's"
    net, optimizer = loop()
    assert optimizer.load(tmp_path, model=net) == {"step": 3}
    assert torch.equal(vector(net), before)


def test_what_cannot_be_removed_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last = saved(tmp_path)
    for name in (".writing-00000003", f".removed-{last.name}"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ".nfs0001").touch()
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    net, optimizer = loop()
    optimizer.save(tmp_path, model=net, step=3)
    assert optimizer.load(tmp_path, model=net) == {"step": 3}


@pytest.mark.parametrize(
    "method",
    [
        ErrorFeedbackSGD(lr=0.1, compressor=Switched(light=TopK(k=9), strong=TopK(k=2))),
        ChocoSGD(lr=0.1, gamma=0.5, compressor=Switched(light=TopK(k=9), strong=TopK(k=2)), order="overlapped"),
    ],
    ids=["ErrorFeedbackSGD", "ChocoSGD"],
)
def test_a_method_within_another_goes_on(method: Any, tmp_path: Path) -> None:
    """Its operators are known where its messages are loaded, and groups rule its learning rate as that of any."""
    found = []
    for lr in (0.1, 0.5):
        net = model()
        optimizer = gossip.Optimizer(net.parameters(), Accordion(replace(method, lr=lr), epoch=2, every=1))
        if optimizer.load(tmp_path, model=net) == {}:
            train(net, optimizer, range(3))
            optimizer.save(tmp_path, model=net, step=3)
        assert optimizer.param_groups[0]["lr"] == 0.1
        train(net, optimizer, range(3, 8))
        found.append(vector(net))
    assert torch.equal(*found)


def packed(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"\x80\x02\x95", b"x" * 100, packed([1]), packed({}), packed({"optimizer": {}})]
)
def test_forged_files(content: bytes, tmp_path: Path) -> None:
    last = saved(tmp_path)
    (last / "rank-0000.pt").write_bytes(content)
    (last / "manifest.json").write_text(json.dumps({"checksums": [xxhash.xxh3_128_hexdigest(content)]}))
    net, optimizer = loop()
    with pytest.raises(DataError, match=r"is damaged: rank-0000\.pt [^\n]*$"):
        optimizer.load(tmp_path, model=net)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"checksums": 3}', '{"checksums": null}', "[" * 100_000])
def test_damaged_manifests(content: str, tmp_path: Path) -> None:
    last = saved(tmp_path)
    (last / "manifest.json").write_text(content)
    net, optimizer = loop()
    with pytest.raises(DataError, match=r"is damaged: manifest\.json cannot be read [^\n]*$"):
        optimizer.load(tmp_path, model=net)
