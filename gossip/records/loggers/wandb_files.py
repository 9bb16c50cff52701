"""What W&B has on disk of a run: its own process writes late, and what it has not written is lost if it is killed."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import DecodeError
from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

MAGIC, HEADER, BLOCK = 7, struct.Struct("<IHB"), 1 << 15  # bytes at the start; of a piece; of a block
WHOLE, LAST = 1, 4  # kinds of pieces


def logged_steps(folder: Path, run: str) -> set[int]:
    """The steps in all parts of a run.

    Args:
        folder: Where W&B keeps its runs.
        run: Its id.
    """
    files = sorted(folder.glob(f"*run-*-{run}/run-{run}.wandb"))
    return {step for file in files for step in _steps(file)}


def _steps(file: Path) -> Iterator[int]:
    for content in _records(file.read_bytes()):
        record = Record()
        try:
            record.ParseFromString(content)
        except DecodeError:  # the end of what a killed process has written
            return
        for item in record.history.item:
            if "_step" in (item.key, *item.nested_key):
                yield int(json.loads(item.value_json))


def _records(content: bytes) -> Iterator[bytes]:
    """Those in the form of LevelDB's log: pieces in blocks, each behind a header that no two blocks share."""
    at, record = MAGIC, b""
    while at + HEADER.size <= len(content):
        left = BLOCK - at % BLOCK
        if left < HEADER.size:
            at += left
            continue
        _, length, kind = HEADER.unpack_from(content, at)
        record += content[at + HEADER.size : at + HEADER.size + length]
        at += HEADER.size + length
        if kind in (WHOLE, LAST):
            yield record
            record = b""
