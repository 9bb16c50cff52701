"""Checkpoints on disk: a folder that is there whole or not at all, with a checksum of every file in it.

    <run directory>/checkpoints/step-00000100/
        manifest.json               what it is a checkpoint of, and what is where; with a checksum of its own
        history.json                what was recorded so far
        rank-0000.safetensors       the rows of the nodes that this rank hosted
        fixed.safetensors           what of the model is not trained, if anything

It is written into a hidden folder, which is renamed when everything is on disk. Older checkpoints are removed after
that, and hidden before they are. So whatever is not hidden is whole, and there is one at any time after the first.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from torch import Tensor

from gossip.errors import DataError

FORMAT = 2
FOLDER, MANIFEST, HISTORY = "checkpoints", "manifest.json", "history.json"
FIXED = "fixed.safetensors"
CHUNK = 1 << 22  # bytes read at once


def step_folder(directory: Path, step: int) -> Path:
    """Where the checkpoint of this step is, or would be."""
    return directory / FOLDER / f"step-{step:08d}"


def step_of(folder: Path) -> int:
    """Of which step a checkpoint is."""
    return int(folder.name.removeprefix("step-"))


def checkpoints(directory: Path) -> list[Path]:
    """All of a run, the oldest first."""
    return sorted((directory / FOLDER).glob("step-*"), key=_age)


def _age(folder: Path) -> tuple[int, str]:
    return len(folder.name), folder.name  # a step may have more digits than most


def newest(path: Path) -> Path:
    """The checkpoint that a path means: itself, or the last one of a run directory.

    Raises:
        DataError: There is none.
    """
    if (path / MANIFEST).exists() or (path.parent.name == FOLDER and path.name.startswith("step-")):
        return path
    found = checkpoints(path)
    if not found:
        raise DataError(f"there is no checkpoint in {path}; give the directory of a run that has written one")
    return found[-1]


class FolderWriter:
    """Writes one checkpoint; every rank has one, and only rank 0 calls `open`, `close` and `discard`.

    Args:
        final: The folder of the checkpoint.
    """

    def __init__(self, final: Path) -> None:
        self.final = final
        self._folder = final.with_name(f".writing-{final.name}")

    def open(self) -> None:
        """Make room, without what an interrupted process may have left."""
        with _explained(self.final):
            self.final.parent.mkdir(parents=True, exist_ok=True)
            for left in self.final.parent.glob(".*"):
                shutil.rmtree(left, ignore_errors=True)
            self._folder.mkdir()

    def rank_file(self, rank: int, rows: Mapping[str, Tensor]) -> dict[str, Any]:
        """Write what this rank's nodes have, and say what has been written."""
        return self._tensors(f"rank-{rank:04d}.safetensors", rows)

    def fixed_file(self, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """Write what no node changes, on rank 0, and say what has been written."""
        return self._tensors(FIXED, {name: tensor.cpu().contiguous() for name, tensor in tensors.items()})

    def _tensors(self, name: str, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        import safetensors.torch

        own: dict[str, Tensor] = {}
        memory: set[int] = set()
        for each, tensor in tensors.items():  # the format has no tensors that share memory
            address = tensor.untyped_storage().data_ptr()
            own[each] = tensor.clone() if address in memory else tensor
            memory.add(address)
        return {name: self._write(name, safetensors.torch.save(own))}

    def close(self, manifest: dict[str, Any], files: dict[str, Any], history: Sequence[Mapping[str, Any]]) -> None:
        """Write the rest, and put the checkpoint in its place."""
        files |= {HISTORY: self._write(HISTORY, _dump(list(history)))}
        manifest = {"format": FORMAT, **manifest, "files": files}
        self._write(MANIFEST, _sealed(_dump(manifest)))
        with _explained(self.final):
            _sync(self._folder)
            if self.final.exists():
                _hide(self.final)
            self._folder.rename(self.final)
            _sync(self.final.parent)

    def discard(self) -> None:
        """Remove what has been written, as far as that is possible."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _write(self, name: str, content: bytes) -> dict[str, Any]:
        with _explained(self.final), (self._folder / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return {"bytes": len(content), "checksum": _checksum(content)}


def remove_others(kept: Path, keep: int) -> None:
    """Of all checkpoints of a run leave this one and those before it, `keep` in all."""
    others = [each for each in checkpoints(kept.parent.parent) if each != kept]
    before = [each for each in others if _age(each) < _age(kept)]
    for each in set(others) - set(before[max(0, len(before) - (keep - 1)) :]):
        shutil.rmtree(_hide(each), ignore_errors=True)


class Checkpoint:
    """A checkpoint that is read; its rows as `entries.Rows`.

    Args:
        folder: Where it is.

    Attributes:
        manifest: What it is a checkpoint of, and what is where.

    Raises:
        DataError: It is damaged, or not one that can be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = self._read_manifest()
        self._hosted = {
            name: np.array(about["nodes"]) for name, about in self.manifest["files"].items() if "nodes" in about
        }
        self._checked: set[str] = set()
        self._open: dict[str, Any] = {}

    @property
    def step(self) -> int:
        """Steps done."""
        step: int = self.manifest["step"]
        return step

    def check_names(self) -> None:
        """Refuse files that are missing or do not belong here."""
        there = {path.name for path in self.folder.iterdir()} - {MANIFEST}
        expected = set(self.manifest["files"])
        for name in sorted(there ^ expected):
            raise self._damaged(name, "is missing" if name in expected else "does not belong to it")

    def check(self, name: str) -> None:
        """Refuse a file that is not what has been written."""
        if name in self._checked:
            return
        expected, checksum, size = self.manifest["files"][name], xxhash.xxh3_128(), 0
        try:
            with (self.folder / name).open("rb") as file:
                while chunk := file.read(CHUNK):
                    checksum.update(chunk)
                    size += len(chunk)
        except FileNotFoundError:
            raise self._damaged(name, "is missing") from None
        except OSError as error:
            raise self._damaged(name, f"cannot be read ({error.strerror})") from error
        if size != expected["bytes"]:
            raise self._damaged(name, f"has {size} bytes instead of {expected['bytes']}")
        if checksum.hexdigest() != expected["checksum"]:
            raise self._damaged(name, "is not what was written")
        self._checked.add(name)

    def check_all(self) -> None:
        """Refuse it if anything about it is wrong."""
        self.check_names()
        for name in self.manifest["files"]:
            self.check(name)

    def history(self) -> list[dict[str, Any]]:
        """What was recorded so far."""
        self.check(HISTORY)
        history: list[dict[str, Any]] = json.loads((self.folder / HISTORY).read_bytes())
        return history

    def stack(self, name: str, nodes: Sequence[int]) -> Tensor:
        """(len(nodes), ...): what a stack holds for these nodes, which are ascending."""
        parts, found = [], []
        for file, hosted in self._hosted.items():
            rows = np.flatnonzero(np.isin(hosted, nodes))
            if len(rows):
                first, end = int(rows[0]), int(rows[-1]) + 1
                parts.append(self._opened(file).get_slice(name)[first:end][torch.from_numpy(rows - first)])
                found.append(hosted[rows])
        return torch.cat(parts)[torch.from_numpy(np.argsort(np.concatenate(found)))]

    def item(self, name: str, node: int) -> Tensor:
        """What a list holds for this node."""
        file = next(file for file, hosted in self._hosted.items() if node in hosted)
        item: Tensor = self._opened(file).get_tensor(name)
        return item.clone()  # out of the file, which will be removed

    def fixed(self, name: str) -> Tensor:
        """What of the model is not trained has this name."""
        tensor: Tensor = self._opened(FIXED).get_tensor(name)
        return tensor.clone()

    def close(self) -> None:
        """Let go of the files."""
        self._open.clear()

    def _opened(self, name: str) -> Any:
        if name not in self._open:
            from safetensors import safe_open

            self.check(name)
            self._open[name] = safe_open(self.folder / name, "pt")
        return self._open[name]

    def _read_manifest(self) -> dict[str, Any]:
        try:
            sealed = (self.folder / MANIFEST).read_bytes()
        except FileNotFoundError:
            raise self._damaged(MANIFEST, "is missing") from None
        except OSError as error:
            raise self._damaged(MANIFEST, f"cannot be read ({error.strerror})") from error
        content = sealed[len(_sealed(b"")) - 1 : -1]
        if sealed != _sealed(content):
            raise self._damaged(MANIFEST, "is not what was written")
        manifest: dict[str, Any] = json.loads(content)
        if manifest["format"] != FORMAT:
            raise self._damaged(MANIFEST, f"is of format {manifest['format']}, and this program reads {FORMAT}")
        return manifest

    def _damaged(self, name: str, reason: str) -> DataError:
        before = [each for each in checkpoints(self.folder.parent.parent) if _age(each) < _age(self.folder)]
        way_out = f"; the one before it is {before[-1]}" if before else ""
        return DataError(f"the checkpoint {self.folder} is damaged: {name} {reason}{way_out}")


@contextmanager
def _explained(final: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"cannot write the checkpoint {final} ({error.strerror}); the ones before it are whole"
        ) from error


def _hide(folder: Path) -> Path:
    """Under a name at which no checkpoint is looked for."""
    return folder.rename(folder.with_name(f".removed-{folder.name}"))


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _dump(value: Any) -> bytes:
    return json.dumps(value).encode()


def _sealed(manifest: bytes) -> bytes:
    """With its checksum, as JSON."""
    return b'{"checksum": "%s", "checkpoint": %s}' % (_checksum(manifest).encode(), manifest)


def _checksum(content: bytes) -> str:
    return xxhash.xxh3_128_hexdigest(content)
