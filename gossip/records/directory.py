"""The run directory: one for each run, whoever else makes one at the same time."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import sha256
from itertools import count
from pathlib import Path

from gossip.errors import DataError

LONGEST = 200  # bytes; file systems have 255 for a name


def folder_name(text: str) -> str:
    """What a folder is called that is to be called like this: the same, but for what makes no name of one folder."""
    name = re.sub(r"[/\x00-\x1f\x7f]", "_", text)
    encoded = name.encode(errors="replace")
    if len(encoded) > LONGEST or name.startswith(".") or not name:
        kept = encoded[:LONGEST].decode(errors="ignore").lstrip(".")
        name = f"{kept}-{sha256(text.encode(errors='replace')).hexdigest()[:8]}"
    return name


def create_run_directory(output: Path, name: str, config: str) -> Path:
    """Make <output>/<name>/<UTC time>-<hash of the configuration> and write config.yaml there.

    Runs of the same configuration that begin in the same second get -2, -3 and so on behind that: whoever makes a
    directory has it.

    Raises:
        DataError: if it cannot be written.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    base = output / name / f"{stamp}-{sha256(config.encode()).hexdigest()[:8]}"
    directory = base
    try:
        base.parent.mkdir(parents=True, exist_ok=True)
        for copy in count(2):
            try:
                directory.mkdir()
                break
            except FileExistsError:
                directory = base.with_name(f"{base.name}-{copy}")
        (directory / "config.yaml").write_text(config, encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"cannot write the run directory {directory} ({error.strerror}); choose another output"
        ) from error
    return directory
