"""How large a YAML file becomes when it is read, which its length does not say."""

from __future__ import annotations

from pathlib import Path

import yaml

from gossip.errors import UsageError

DEEPEST, MOST = 50, 100_000  # levels of nesting, and values; an alias counts as all that it stands for


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
