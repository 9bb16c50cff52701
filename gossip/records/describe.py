"""A run's arguments in words, for the run directory."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import yaml


def describe(**arguments: Any) -> str:
    """YAML with the class and the fields of each argument, in the form of the command line's configuration."""
    return yaml.safe_dump({name: _plain(value) for name, value in arguments.items()}, sort_keys=False)


def _plain(value: Any) -> Any:
    if value is None:
        return None
    for plain in (bool, int, float, str):
        if isinstance(value, plain):
            return plain(value)  # what derives from it, YAML does not know
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "shape"):
        return f"{value.dtype} array of shape {tuple(value.shape)}"
    kind = type(value)
    if is_dataclass(value):
        arguments = {field.name: _plain(getattr(value, field.name)) for field in fields(value) if field.init}
        return {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": arguments}
    return repr(value) if kind.__repr__ is not object.__repr__ else f"{kind.__module__}.{kind.__qualname__}"
