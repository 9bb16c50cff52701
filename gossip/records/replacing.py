"""Files that are there whole or as they were before."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def replace_file(path: Path, content: str | bytes) -> None:
    """Write a file anew at once: whoever looks, and whatever fails, there is what was there or all of this.

    Other names of the same file, hard links, keep what they had; a symbolic link is replaced itself.

    Raises:
        OSError: It cannot be written.
    """
    new = path.with_name(f".gossip-{os.getpid()}")
    try:
        new.write_bytes(content.encode() if isinstance(content, str) else content)
        new.replace(path)
    except OSError:
        with suppress(OSError):
            new.unlink()
        raise
