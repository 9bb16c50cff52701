"""What is read from a command line before anything large is imported; what is wrong with it the parser says later."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gossip.errors import GossipError, UsageError


def start_patience(arguments: Sequence[str]) -> float | None:
    """Seconds in which all ranks must have found each other: the --stall-timeout of the command line, if it has one."""
    given = {name: value for name, value in _options(arguments) if name == "stall-timeout"}
    text = given.get("stall-timeout")
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        return math.inf if text.lower() in ("null", "none", "~") else None
    return seconds if seconds > 0 else None


def nodes(arguments: Sequence[str]) -> int | None:
    """The number of nodes that is asked for, on the command line or in a file of options; None if none is."""
    found: Any = None
    for name, value in _options(arguments):
        if name == "nodes":
            found = value
        elif name == "config":
            found = _kept(value).get("nodes", found)
    try:
        return int(found)
    except (TypeError, ValueError):
        return None


def refuse_too_many(ranks: int, nodes: int | None) -> None:
    """Refuse ranks that would have no node, before each of them takes the memory of a training.

    Raises:
        UsageError: There are such.
    """
    if nodes is not None and ranks > max(nodes, 1):
        raise UsageError(
            f"{ranks} ranks for {nodes} nodes: every rank needs a node, so start at most {nodes} ranks or ask for more "
            f"nodes"
        )


def _options(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """(name, value) of each option that has one, in their order."""
    found = []
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            found.append((name.replace("_", "-"), value if equals else following))
    return found


def _kept(file: str) -> dict[str, Any]:
    """The options in a file."""
    from gossip.yaml_files import read_yaml

    try:
        kept = read_yaml(Path(file))
    except GossipError:
        return {}
    return kept if isinstance(kept, dict) else {}
