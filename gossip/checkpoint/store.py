"""Checkpoints on disk: a folder that is there whole or not at all, with a checksum of every file in it.

    <run directory>/checkpoints/step-00000100/
        manifest.json               what it is a checkpoint of, and what is where; with a checksum of its own
        history.json                what was recorded so far
        rank-0000.safetensors       the rows of the nodes that this rank hosted
        fixed.safetensors           what of the model is not trained, if anything

It is written into a hidden folder, which is renamed when everything is on disk. Older checkpoints are removed after
that, and hidden before they are. So whatever is not hidden is whole, and there is one at any time after the first.

Nothing else is touched: what has no such name, or has one without being a checkpoint of this step, is the user's.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from torch import Tensor

from gossip.checkpoint.manifest import check_history, check_manifest
from gossip.checkpoint.places import FIXED, HISTORY, MANIFEST, checkpoints, step_of
from gossip.errors import DataError
from gossip.names import CHECKPOINT, LITTER, ROWS, UNFINISHED
from gossip.records.logs import log, warn
from gossip.records.replacing import open_folder, put_in_place, remove_folder, write_through

FORMAT = 2
CHUNK = 1 << 22  # bytes read at once


class FolderWriter:
    """Writes one checkpoint; every rank has one, and only rank 0 calls `open`, `close` and `discard`.

    Args:
        final: The folder of the checkpoint.

    Attributes:
        final: The same.
        folder: Where it is written first, once rank 0 has opened it and told the others.
    """

    def __init__(self, final: Path) -> None:
        self.final = final
        self.folder: Path | None = None

    def open(self) -> Path:
        """Make room, without what an interrupted process may have left, and say where to write."""
        with _explained(self.final):
            return open_folder(self.final.with_name(f".writing-{self.final.name}"), UNFINISHED)

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
        assert self.folder is not None
        with _explained(self.final):
            there = put_in_place(self.folder, self.final)
        if there is not None:
            warn(f"{self.final} was in the way of a checkpoint and is now {there}")

    def discard(self) -> None:
        """Remove what has been written, as far as that is possible."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, name: str, content: bytes) -> dict[str, Any]:
        assert self.folder is not None
        with _explained(self.final):
            write_through(self.folder / name, content)
        return {"bytes": len(content), "checksum": _checksum(content)}


def remove_older(kept: Path, keep: int) -> None:
    """Of the checkpoints of a run up to this one leave `keep`.

    Those that are damaged are no checkpoints, and those into which somebody has put a file are his: they stay, and so
    does what cannot be removed.
    """
    older = [each for each in checkpoints(kept.parent.parent) if step_of(each) < step_of(kept) and _is_ours(each)]
    for each in older[: max(0, len(older) - (keep - 1))]:
        try:
            remove_folder(each)
        except OSError as error:
            log.warning("%s stays: it cannot be removed (%s)", each, error.strerror)


def _is_ours(folder: Path) -> bool:
    try:
        return not folder.is_symlink() and not Checkpoint(folder).foreign()
    except (DataError, OSError):
        return False


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
        if CHECKPOINT.fullmatch(folder.name) and step_of(folder) != self.step:
            raise self.damaged(MANIFEST, f"is one of step {self.step}")
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
        """Refuse files that are missing, and those of a checkpoint that do not belong to this one."""
        there, expected = set(self._names()), set(self.manifest["files"])
        for name in sorted(expected - there):
            raise self.damaged(name, "is missing")
        for name in sorted(there - expected):
            if ROWS.fullmatch(name):
                raise self.damaged(name, "does not belong to it")

    def foreign(self) -> list[str]:
        """What somebody else has put there."""
        known = {MANIFEST, *self.manifest["files"]}
        return sorted(name for name in self._names() if name not in known and not LITTER.fullmatch(name))

    def _names(self) -> list[str]:
        return [path.name for path in self.folder.iterdir()]

    def check(self, name: str) -> None:
        """Refuse a file that is not what has been written."""
        if name in self._checked:
            return
        expected, checksum, size = self.manifest["files"][name], xxhash.xxh3_128(), 0
        with self._reading(name) as path, path.open("rb") as file:
            while chunk := file.read(CHUNK):
                checksum.update(chunk)
                size += len(chunk)
        if size != expected["bytes"]:
            raise self.damaged(name, f"has {size} bytes instead of {expected['bytes']}")
        if checksum.hexdigest() != expected["checksum"]:
            raise self.damaged(name, "is not what was written")
        self._checked.add(name)

    def check_all(self) -> None:
        """Refuse it if anything about it is wrong."""
        self.check_names()
        for name in self.manifest["files"]:
            self.check(name)

    def history(self) -> list[dict[str, Any]]:
        """What was recorded so far."""
        self.check(HISTORY)
        with self._reading(HISTORY) as path:
            history: list[dict[str, Any]] = json.loads(path.read_bytes())
            check_history(history)
        return history

    def stack(self, name: str, nodes: Sequence[int]) -> Tensor:
        """(len(nodes), ...): what a stack holds for these nodes, which are ascending."""
        parts, found = [], []
        for file, hosted in self._hosted.items():
            rows = np.flatnonzero(np.isin(hosted, nodes))
            if len(rows):
                first, end = int(rows[0]), int(rows[-1]) + 1
                with self._reading(file):
                    parts.append(self._opened(file).get_slice(name)[first:end][torch.from_numpy(rows - first)])
                found.append(hosted[rows])
        return torch.cat(parts)[torch.from_numpy(np.argsort(np.concatenate(found)))]

    def item(self, name: str, node: int) -> Tensor:
        """What a list holds for this node."""
        file = next(file for file, hosted in self._hosted.items() if node in hosted)
        with self._reading(file):
            item: Tensor = self._opened(file).get_tensor(name)
            return item.clone()  # out of the file, which will be removed

    def fixed(self, name: str) -> Tensor:
        """What of the model is not trained has this name."""
        with self._reading(FIXED):
            tensor: Tensor = self._opened(FIXED).get_tensor(name)
            return tensor.clone()

    def close(self) -> None:
        """Let go of the files."""
        self._open.clear()

    def _opened(self, name: str) -> Any:
        if name not in self._open:
            from safetensors import safe_open

            self.check(name)
            with self._reading(name) as path:
                self._open[name] = safe_open(path, "pt")
        return self._open[name]

    def _read_manifest(self) -> dict[str, Any]:
        with self._reading(MANIFEST) as path:
            sealed = path.read_bytes()
            content = sealed[len(_sealed(b"")) - 1 : -1]
            if sealed != _sealed(content):
                raise ValueError("is not what was written")
            manifest: dict[str, Any] = json.loads(content)
            if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
                found = manifest.get("format") if isinstance(manifest, dict) else None
                raise ValueError(f"is of format {str(found)[:20]}, and this program reads {FORMAT}")
            check_manifest(manifest)
        return manifest

    @contextmanager
    def _reading(self, name: str) -> Iterator[Path]:
        """The path of a file; what is wrong with it is damage."""
        from safetensors import SafetensorError

        path = self.folder / name
        try:
            if path.exists() and not path.is_file():  # of a pipe, reading would not come to an end
                raise ValueError("is no file")
            yield path
        except FileNotFoundError:
            raise self.damaged(name, "is missing") from None
        except OSError as error:
            raise self.damaged(name, f"cannot be read ({error.strerror})") from error
        except (ValueError, IndexError, RuntimeError, SafetensorError) as error:  # RecursionError is a RuntimeError
            raise self.damaged(name, " ".join(str(error).split())) from error

    def damaged(self, name: str, reason: str) -> DataError:
        """The error that says what is wrong with which file."""
        before = []
        with suppress(OSError, ValueError):
            before = [each for each in checkpoints(self.folder.parent.parent) if step_of(each) < step_of(self.folder)]
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


def _dump(value: Any) -> bytes:
    return json.dumps(value).encode()


def _sealed(manifest: bytes) -> bytes:
    """With its checksum, as JSON."""
    return b'{"checksum": "%s", "checkpoint": %s}' % (_checksum(manifest).encode(), manifest)


def _checksum(content: bytes) -> str:
    return xxhash.xxh3_128_hexdigest(content)
