"""YAML files of users, which may be anything: how large one becomes when it is read, its length does not say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from gossip.errors import DataError, UsageError

DEEPEST, MOST = 50, 100_000  # levels of nesting, and values; an alias counts as all that it stands for


def read_yaml(file: Path, what: str = "") -> Any:
    """What a file says.

    Args:
        file: The file.
        what: What it is, for the error if it cannot be read.

    Raises:
        DataError: It cannot be read.
        UsageError: It is no YAML, or would take a parser too long, or too deep.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot read {f'{what} ' if what else ''}{file} ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is no YAML: {error}") from error
    try:
        return parse_yaml(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{file} is no YAML: {' '.join(str(error).split())}") from error
    except ValueError as error:
        raise UsageError(f"{file} {error}") from None


def parse_yaml(text: str) -> Any:
    """What a text says.

    Raises:
        YAMLError: It is no YAML.
        ValueError: It would take a parser too long, or too deep, or has a value that is none, such as the 99th of May.
    """
    _check_events(text)
    return yaml.safe_load(text)


class _Values(yaml.SafeLoader):
    """1e-5 is a number, as on command lines; in YAML 1.1 it is a text, since it has no point."""


_Values.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def parse_value(text: str) -> Any:
    """What a word of a command line stands for: a number, a list or the like; else the text itself.

    Raises:
        YAMLError: It looks like a list or the like, and is none.
    """
    return yaml.load(text, Loader=_Values)


def check_yaml(file: Path) -> None:
    """Refuse a file that would take a parser too long, or too deep; what else is wrong with it, the parser says.

    Raises:
        UsageError: It would.
    """
    try:
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        _check_events(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return
    except ValueError as error:
        raise UsageError(f"{file} {error}") from None


def _check_events(text: str) -> None:
    sizes: dict[str | None, int] = {}  # of what has an anchor
    open_: list[tuple[str | None, int]] = []  # anchor, and values before it
    values = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        match event:
            case yaml.CollectionStartEvent():
                open_.append((event.anchor, values))
            case yaml.CollectionEndEvent():
                anchor, before = open_.pop()
                sizes[anchor] = values - before + 1
            case yaml.AliasEvent():
                if any(anchor == event.anchor for anchor, _ in open_):
                    raise ValueError(f"has *{event.anchor} within what that stands for")
                values += sizes.get(event.anchor, 1)
            case yaml.ScalarEvent():
                values += 1
        if len(open_) > DEEPEST:
            raise ValueError(f"has lists or mappings in each other to a depth of more than {DEEPEST}")
        if values > MOST:
            raise ValueError(f"has more than {MOST} values")
