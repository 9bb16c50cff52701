"""Splits that the user gives: by a column of the data set, or by lists of examples in a file.

Files are read where a split is made: on the command line by rank 0, for all. What was read decides about the models: a
checkpoint of a run with other contents is refused.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from algorithms.checks import check
from gossip.errors import DataError
from gossip.workloads.splits.split import Split, check_enough


@dataclass(frozen=True)
class ByGroup(Split):
    """By who or what an example is from: writers, users, hospitals. No group is on two nodes.

    With as many groups as nodes, node i has the i-th, in the order of their ids. With more, the largest that is left
    goes to the node that has fewest examples so far, the first one of several.

    Args:
        groups: (m,) the id of the group of each training example, numbers or texts; if there is no file.
        file: With these: *.npy, or text with one id in each line.

    Raises:
        DataError: The file cannot be read, or holds something else.
    """

    groups: Sequence[int] | Sequence[str] | NDArray | None = field(default=None, repr=False)
    file: str | None = None
    ids: NDArray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check((self.groups is None) != (self.file is None), self, "file", "given if there are no groups, and only then")
        found = np.asarray(self.groups) if self.file is None else _column(Path(self.file))
        if found.ndim != 1 or not len(found) or found.dtype.kind not in "iuUSfb":
            where = f"{self.file} does" if self.file else "groups do"
            raise DataError(f"ByGroup: {where} not hold one id for each training example")
        object.__setattr__(self, "ids", found)  # the dataclass is frozen

    def assign(self, labels: NDArray, n: int, seed: int) -> list[NDArray[np.int64]]:
        """See `Split.assign`.

        Raises:
            ValueError: There are fewer groups than nodes, or ids for another number of examples.
        """
        check_enough(labels, n)
        where = self.file or "groups"
        if len(self.ids) != len(labels):
            raise ValueError(
                f"ByGroup: {where} has ids of {len(self.ids)} examples, the training examples are {len(labels)}; of a "
                f"column of all data, these are column[gossip.workloads.splits.held_out(len(column))[0]]"
            )
        names, group = np.unique(self.ids, return_inverse=True)
        if len(names) < n:
            raise ValueError(f"ByGroup: {where} has {len(names)} groups, too few for {n} nodes")
        members = [np.flatnonzero(group == each) for each in range(len(names))]
        if len(names) == n:
            return members
        parts: list[list[NDArray[np.int64]]] = [[] for _ in range(n)]
        sizes = [0] * n
        for own in sorted(members, key=len, reverse=True):
            node = sizes.index(min(sizes))
            parts[node].append(own)
            sizes[node] += len(own)
        return [np.concatenate(part) for part in parts]


@dataclass(frozen=True)
class FromFile(Split):
    """As a file says: for each node the numbers of its training examples, from 0 on.

    An example may lie on several nodes, or on none. Where a part of a data set is held out, they are counted among
    those that are not: number j is `gossip.workloads.splits.held_out(m)[0][j]` of all m.

    Args:
        file: *.json, a list for each node in a list; or *.npz, an array for each node, in the order in which they were
            saved: np.savez(file, *parts).

    Raises:
        DataError: It cannot be read, or holds something else.
    """

    file: str = ""
    parts: tuple[NDArray[np.int64], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(_lists(Path(self.file))))  # the dataclass is frozen

    def assign(self, labels: NDArray, n: int, seed: int) -> list[NDArray[np.int64]]:
        """See `Split.assign`.

        Raises:
            ValueError: It is for another number of nodes, or has numbers beyond the examples.
        """
        if len(self.parts) != n:
            raise ValueError(f"FromFile: {self.file} has examples for {len(self.parts)} nodes, there are {n}")
        for node, part in enumerate(self.parts):
            if part.max() >= len(labels):
                raise ValueError(
                    f"FromFile: {self.file} gives node {node} example {part.max()}, there are 0 to {len(labels) - 1}"
                )
        return list(self.parts)


def _column(path: Path) -> NDArray:
    """(m,) the ids."""
    try:
        if path.suffix == ".npy":
            return np.asarray(np.load(path, allow_pickle=False))
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return np.array(lines, np.int64 if all(map(str.isdecimal, lines)) else np.str_)
    except OSError as error:
        raise DataError(f"ByGroup: cannot read {str(path)!r} ({error.strerror or error})") from error
    except (ValueError, EOFError) as error:
        raise DataError(f"ByGroup: {path} does not hold one id for each training example") from error


def _lists(path: Path) -> list[NDArray[np.int64]]:
    """The numbers for each node."""
    wanted = "a list of numbers of examples, from 0 on, for each node: *.json, or *.npz"
    try:
        if path.suffix == ".npz":
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                parts = [file[name] for name in file.files]
        else:
            parts = [np.asarray(part) for part in json.loads(path.read_text(encoding="utf-8"))]
    except OSError as error:
        raise DataError(f"FromFile: cannot read {str(path)!r} ({error.strerror or error})") from error
    except Exception as error:  # of a damaged archive zipfile, zlib and NumPy say many kinds of things
        raise DataError(f"FromFile: {path} is not {wanted}") from error
    for node, part in enumerate(parts):
        if part.ndim != 1 or not len(part) or part.dtype.kind not in "iu" or part.min() < 0:
            raise DataError(
                f"FromFile: what {path} has for node {node} is not a list of numbers of examples, from 0 on"
            )
    if not parts:
        raise DataError(f"FromFile: {path} is not {wanted}")
    return [part.astype(np.int64) for part in parts]
