"""Files and folders that are there whole or as they were before, and names that nothing has."""

from __future__ import annotations

import errno
import os
import re
import shutil
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


def open_folder(path: Path, unfinished: re.Pattern[str]) -> Path:
    """Make a folder to write into before it gets its place, and say where.

    Args:
        path: Where it is to be; or else under a name like that, if something there cannot be removed.
        unfinished: The names of what interrupted processes may have left beside it, which is removed.

    Raises:
        OSError: It cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.iterdir():
        if unfinished.fullmatch(left.name):
            shutil.rmtree(left, ignore_errors=True)
    for folder in free_names(path):
        with suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise AssertionError("names do not come to an end")


def write_through(path: Path, content: bytes) -> None:
    """Write a file, and come back when it is on disk.

    Raises:
        OSError: It cannot be written.
    """
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def put_in_place(folder: Path, final: Path) -> Path | None:
    """Give a folder whose files are on disk its place, and come back when that is on disk.

    Returns:
        Where that has been moved which was in the way; None if nothing was.

    Raises:
        OSError: It cannot be renamed.
    """
    _sync(folder)
    there = None
    if os.path.lexists(final):
        there = move_to_free(final, free_names(final.with_name(f"{final.name}.before")))
    rename(folder, final)
    _sync(final.parent)
    return there


def remove_folder(folder: Path) -> None:
    """Remove a folder, hidden first: under its name it is there whole or not at all.

    Raises:
        OSError: It cannot be hidden. What cannot be removed then stays hidden.
    """
    hidden = move_to_free(folder, free_names(folder.with_name(f".removed-{folder.name}")))
    shutil.rmtree(hidden, ignore_errors=True)


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


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
