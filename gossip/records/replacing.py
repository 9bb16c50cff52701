"""Files and folders that are there whole or as they were before, and names that nothing has."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import count
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


def free_names(path: Path) -> Iterator[Path]:
    """This path, then the same with .2, .3 and so on behind it: the first one that can be made is free."""
    yield path
    yield from (path.with_name(f"{path.name}.{number}") for number in count(2))


def move_to_free(source: Path, targets: Iterable[Path]) -> Path:
    """Rename to the first of these paths where nothing is, and say to which.

    Raises:
        OSError: It cannot be renamed.
    """
    for target in targets:
        if os.path.lexists(target):
            continue
        try:
            return rename(source, target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
    raise AssertionError("names do not come to an end")


def rename(source: Path, target: Path) -> Path:
    """Rename, also where an NFS server says of what it has just done, as it is asked again, that it cannot be done.

    Raises:
        OSError: It cannot be renamed.
    """
    try:
        return source.rename(target)
    except FileNotFoundError:
        if os.path.lexists(source) or not os.path.lexists(target):
            raise
        return target
