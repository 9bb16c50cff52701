"""What a run is: in a form that can be compared, where equal ones give equal models, and in words for its reader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
import yaml
from torch import Tensor, nn

from topologies import Schedule

DEEPEST = 8  # object within object


def described(**parts: Any) -> dict[str, Any]:
    """Nested dictionaries of what JSON has, with checksums in the place of arrays."""
    return {name: _described(value, 0) for name, value in parts.items()}


def description(**arguments: Any) -> str:
    """YAML with the class and the fields of each argument, in the form of the command line's configuration."""
    return yaml.safe_dump({name: _plain(value) for name, value in arguments.items()}, sort_keys=False)


def options_in(text: str) -> dict[str, Any]:
    """The options of a run, nested, from its config.yaml; none of a text that is no such thing."""
    try:
        options = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    return options if isinstance(options, dict) else {}


def difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str | None:
    """The first thing in which two configurations differ, in words; None if they are the same."""
    one, other = dict(flat(there)), dict(flat(here))
    for name in [*one, *[name for name in other if name not in one]]:
        if one.get(name, "absent") != other.get(name, "absent"):
            return f"{name} is {one.get(name, 'absent')} there and {other.get(name, 'absent')} here"
    return None


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The parts of nested dictionaries, with the names on the way to each."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from flat(part, f"{path}.{name}" if path and name else path or name)
    else:
        yield path, value


def _described(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        flat = value.reshape(-1).contiguous().view(torch.uint8).numpy()
        return _array(str(value.dtype).removeprefix("torch."), flat, value.shape)
    if isinstance(value, np.ndarray | np.generic):
        return _array(str(value.dtype), value, value.shape)
    if isinstance(value, Schedule):
        return _topology(value, depth)
    if isinstance(value, list | tuple):
        return {str(i): _described(item, depth + 1) for i, item in enumerate(value)} or "nothing"
    if isinstance(value, Mapping):
        return {str(key): _described(item, depth + 1) for key, item in value.items()} or "nothing"
    if isinstance(value, nn.Module):
        return _object(value, value.state_dict(), depth)
    if is_dataclass(value) and not isinstance(value, type):
        return _object(value, {field.name: getattr(value, field.name) for field in fields(value)}, depth)
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    public = {name: part for name, part in getattr(value, "__dict__", {}).items() if not name.startswith("_")}
    return _object(value, public, depth)


def _object(value: Any, parts: Mapping[str, Any], depth: int) -> dict[str, Any]:
    """The class, under no name of its own, and what it holds."""
    inside = {name: _described(part, depth + 1) for name, part in parts.items()} if depth < DEEPEST else {}
    return {"": type(value).__qualname__, **inside}


def _topology(topology: Schedule, depth: int) -> dict[str, Any]:
    about = {"": topology.name, "nodes": topology.n}
    if topology.period is None:
        return about | _object(topology, {k: v for k, v in vars(topology).items() if not k.startswith("_")}, depth)
    checksum = xxhash.xxh3_64()
    for t in range(topology.period):
        for array in topology[t].arrays:
            checksum.update(np.ascontiguousarray(array).data)
    return about | {"period": topology.period, "weights": checksum.hexdigest()}


def _array(kind: str, content: np.ndarray | np.generic, shape: Sequence[int]) -> str:
    if kind == "object":  # whose bytes are addresses
        packed: Any = repr(content.tolist()).encode()
    else:
        packed = np.ascontiguousarray(content).reshape(-1).view(np.uint8)  # no copy, where there need be none
    return f"{kind}{list(shape)} {xxhash.xxh3_64_hexdigest(packed)}"


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
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "shape"):
        return f"{value.dtype} array of shape {tuple(value.shape)}"
    kind = type(value)
    if is_dataclass(value):
        arguments = {field.name: _plain(getattr(value, field.name)) for field in fields(value) if field.init}
        return {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": arguments}
    return repr(value) if kind.__repr__ is not object.__repr__ else f"{kind.__module__}.{kind.__qualname__}"
