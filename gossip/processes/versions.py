"""Whether all ranks run the same code with the same arguments: others would train other models, or hang."""

from __future__ import annotations

import json
import platform
import socket
from collections.abc import Callable, Sequence
from functools import cache
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossip.errors import UsageError

PACKAGES = ("gossip", "algorithms", "topologies")
LIBRARIES = ("torch", "numpy", "mpi4py")  # whose versions decide bits and messages


class OtherCodeError(UsageError):
    """The ranks found each other, and run different code."""


@cache
def folders() -> dict[str, Path]:
    """Where each of this project's packages lies."""
    specs = {name: find_spec(name) for name in PACKAGES}
    return {name: Path(spec.origin).parent for name, spec in specs.items() if spec is not None and spec.origin}


@cache
def versions() -> dict[str, str]:
    """What this process runs: a digest of each source file, by its path, and the version of each library."""
    found = {"Python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "without a version"
    for name, folder in folders().items():
        for file in sorted(folder.rglob("*.py")):
            path = (Path(name) / file.relative_to(folder)).as_posix()
            found[path] = blake2b(file.read_bytes(), digest_size=4).hexdigest()
    return found


def digest(what: dict[str, str] | Sequence[str]) -> NDArray[np.uint8]:
    """(16,): the same on two ranks if and only if both have the same."""
    return np.frombuffer(blake2b(json.dumps(what).encode(), digest_size=16).digest(), np.uint8)


def refuse_other_versions(digests: NDArray[np.uint8], gather: Callable[[Any], list[Any]]) -> None:
    """Refuse to run if some rank runs other code than rank 0; collective.

    Args:
        digests: (ranks, 16), those of all ranks.
        gather: Gives what each of all ranks gives, in their order.

    Raises:
        OtherCodeError: on every rank, and says what differs.
    """
    others = np.flatnonzero((digests != digests[0]).any(axis=1))
    if not len(others):
        return
    gathered = gather((versions(), str(folders()["gossip"].parent), socket.gethostname()))
    (first, place, host), (other, other_place, other_host) = gathered[0], gathered[others[0]]
    differ = [name for name in sorted(first | other) if first.get(name) != other.get(name)]
    shown = [f"{name} {other.get(name, 'missing')}, not {first.get(name, 'missing')}" for name in differ[:3]]
    more = f", and {len(differ) - 3} more" if len(differ) > 3 else ""
    which = f"{len(others)} ranks run" if len(others) > 1 else f"rank {others[0]} runs"
    raise OtherCodeError(
        f"{which} other code than rank 0: rank {others[0]} on {other_host} has {'; '.join(shown)}{more} "
        f"({other_place} there, {place} on {host}); install the same version everywhere"
    )


def refuse_other_commands(digests: NDArray[np.uint8], doing: Sequence[str], gather: Callable[[Any], list[Any]]) -> None:
    """Refuse to run if some rank was started with another command than rank 0; collective.

    Args:
        digests: (ranks, 16), those of all ranks.
        doing: What this rank is about to do: a command and its arguments.
        gather: As above.

    Raises:
        UsageError: on every rank, and says what differs.
    """
    others = np.flatnonzero((digests != digests[0]).any(axis=1))
    if not len(others):
        return
    gathered = gather(tuple(doing))
    first, other = gathered[0], gathered[others[0]]
    at = next((i for i, pair in enumerate(zip(first, other, strict=False)) if pair[0] != pair[1]), len(first))
    which = f"{len(others)} ranks were" if len(others) > 1 else f"rank {others[0]} was"
    raise UsageError(
        f"{which} started with another command than rank 0: rank {others[0]} with {_shown(other, at)}, rank 0 with "
        f"{_shown(first, at)}; start all ranks with the same command"
    )


def _shown(command: Sequence[str], at: int) -> str:
    """The words around one of them."""
    if not command:
        return "a program of another kind"
    words = [*command[:1], *(["..."] if at > 2 else []), *command[max(1, at - 1) : at + 2]]
    return repr(" ".join([*words, *(["..."] if len(command) > at + 2 else [])]))
