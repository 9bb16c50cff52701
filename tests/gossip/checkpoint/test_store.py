"""Checkpoints on disk: damage is noticed, and what cannot be written leaves what is there."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from pytest import CaptureFixture

from gossip.checkpoint import store
from gossip.errors import DataError
from tests.conftest import lacking, no_larger_files_than
from tests.gossip.checkpoint.conftest import Small

FILES = ("manifest.json", "history.json", "rank-0000.safetensors")


@pytest.fixture
def folder(small: Small) -> Path:
    """A checkpoint with one before it."""
    return small.first() / "checkpoints" / "step-00000007"


def assert_refused(small: Small, folder: Path, says: str) -> None:
    directory = folder.parent.parent
    before = (directory / "metrics.jsonl").read_bytes()
    with pytest.raises(DataError) as refused:
        small.run(resume=directory)
    message = str(refused.value)
    assert says in message
    assert "\n" not in message
    assert str(folder) in message
    assert message.endswith(f"; the one before it is {folder.with_name('step-00000006')}")
    assert (directory / "metrics.jsonl").read_bytes() == before
    assert torch.equal(small.run(resume=folder.with_name("step-00000006")).model, small.run(output=None).model)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file(name: str, small: Small, folder: Path) -> None:
    (folder / name).unlink()
    assert_refused(small, folder, f"is damaged: {name} is missing")


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file(name: str, small: Small, folder: Path) -> None:
    os.truncate(folder / name, (folder / name).stat().st_size - 1)
    assert_refused(small, folder, f"is damaged: {name} {'is not what was written' if name == FILES[0] else 'has '}")


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit(name: str, small: Small, folder: Path) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 8
    (folder / name).write_bytes(content)
    assert_refused(small, folder, f"is damaged: {name} is not what was written")


def test_any_flipped_bit_of_any_file(folder: Path) -> None:
    random = np.random.default_rng(0)
    for name in FILES:
        content = (folder / name).read_bytes()
        for position in np.linspace(0, len(content) - 1, 100).astype(int):
            flipped = bytearray(content)
            flipped[position] ^= 1 << random.integers(8)
            (folder / name).write_bytes(flipped)
            with pytest.raises(DataError, match=f"is damaged: {name} is not what was written"):
                store.Checkpoint(folder).check_all()
        (folder / name).write_bytes(content)
    store.Checkpoint(folder).check_all()


def test_an_empty_file(small: Small, folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b"")
    assert_refused(small, folder, "is damaged: manifest.json is not what was written")


def test_a_foreign_file(small: Small, folder: Path) -> None:
    (folder / "rank-0001.safetensors").write_bytes((folder / "rank-0000.safetensors").read_bytes())
    assert_refused(small, folder, "is damaged: rank-0001.safetensors does not belong to it")


def test_a_file_of_another_checkpoint(small: Small, folder: Path) -> None:
    shutil.copy(folder.with_name("step-00000006") / "rank-0000.safetensors", folder)
    assert_refused(small, folder, "is damaged: rank-0000.safetensors is not what was written")


def test_another_format(small: Small, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "FORMAT", 99)
    directory = small.first()
    monkeypatch.undo()
    assert "99" in (directory / "checkpoints" / "step-00000007" / "manifest.json").read_text()
    with pytest.raises(DataError, match=r"manifest\.json is of format 99, and this program reads 2"):
        small.run(resume=directory)


def test_a_foreign_folder(small: Small, folder: Path) -> None:
    foreign = folder.with_name("step-00000009")
    foreign.mkdir()
    with pytest.raises(DataError, match=r"step-00000009 is damaged: manifest\.json is missing"):
        small.run(resume=folder.parent.parent)


def assert_not_written(small: Small, directory: Path, reason: int, errors: CaptureFixture[str]) -> None:
    """The run comes to its end and says once what is not there; the checkpoints of before are."""
    errors.readouterr()
    last = small.run(resume=directory, checkpoint_every=9, evaluate_every=100)
    folder = directory / "checkpoints" / "step-00000009"
    said = f"cannot write the checkpoint {folder} ({os.strerror(reason)}); the ones before it are whole"
    assert errors.readouterr().err == f"gossip: warning: {said}; the run goes on\n"
    assert torch.equal(last.model, small.run(output=None).model)
    assert sorted(each.name for each in folder.parent.iterdir()) == ["step-00000006", "step-00000007"]


def test_too_large_a_file(small: Small, capsys: CaptureFixture[str]) -> None:
    directory = small.first()
    sizes = [each.stat().st_size for each in (directory / "checkpoints" / "step-00000007").iterdir()]
    with no_larger_files_than(max(sizes) - 100):  # times may have fewer digits than before
        assert_not_written(small, directory, errno.EFBIG, capsys)
    assert torch.equal(small.run(resume=directory).model, small.run(output=None).model)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 KiB of its own."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", mounted], capture_output=True, check=False
    )
    if made.returncode:
        lacking("right to mount a file system", "run as root")
    try:
        yield mounted
    finally:
        subprocess.run(["umount", "--lazy", mounted], check=True)


def test_a_full_disk(disk: Path, capsys: CaptureFixture[str]) -> None:
    small = Small(disk / "runs")
    directory = small.first()
    with (disk / "fills").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))
    os.truncate(disk / "fills", (disk / "fills").stat().st_size - 2 * 4096)  # for the other files of a run
    assert_not_written(small, directory, errno.ENOSPC, capsys)
    (disk / "fills").unlink()
    assert torch.equal(small.run(resume=directory).model, small.run(output=None).model)


def test_a_read_only_disk(disk: Path) -> None:
    small = Small(disk / "runs")
    directory = small.first()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with pytest.raises(DataError, match=r"^cannot write .* \(Read-only file system\)[^\n]*$"):
        small.run(resume=directory)
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    assert torch.equal(small.run(resume=directory).model, small.run(output=None).model)
