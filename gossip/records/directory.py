"""The run directory: one for each run, whoever else makes one at the same time."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from itertools import count
from pathlib import Path

from gossip.errors import DataError


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
