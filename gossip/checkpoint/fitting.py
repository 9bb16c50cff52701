"""Whether what has been put together from a checkpoint is what the program works with.

Annotations say what that is, and are held to by a type checker in this project alone: of other people's classes nothing
is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from itertools import repeat
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from algorithms import Block

OURS = ("algorithms", "gossip")


def check_fields(kind: type[Block], parts: Mapping[str, Any], whose: str) -> None:
    """Refuse parts that the fields of this class are not.

    Raises:
        TypeError: It says which.
    """
    if kind.__module__.partition(".")[0] not in OURS:
        return
    names = {field.name for field in fields(kind)}
    if names != parts.keys():
        raise TypeError(f"{whose} has not the fields {', '.join(sorted(names))}")
    for name, hint in _hints(kind).items():
        if name in parts and not fits(parts[name], hint):
            raise TypeError(f"{whose}.{name} is a {type(parts[name]).__name__}")


def check_result(function: Callable[..., Any], value: object, whose: str) -> None:
    """Refuse what is not of the kind that this function, or class, gives.

    Raises:
        TypeError: It is not.
    """
    hint = function if isinstance(function, type) else _hints(function).get("return", Any)
    if function.__module__.partition(".")[0] in OURS and not fits(value, hint):
        raise TypeError(f"{whose} is a {type(value).__name__}")


def fits(value: Any, hint: Any) -> bool:
    """Whether a value may be one that is annotated like this; True for what cannot be told."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any or isinstance(hint, TypeVar):
        return True
    if origin in (Union, UnionType):
        return any(fits(value, each) for each in arguments)
    if origin is Literal:
        return value in arguments
    if origin is tuple:
        parts = repeat(arguments[0]) if arguments[1:] == (...,) else arguments
        return isinstance(value, tuple) and all(map(fits, value, parts))
    if origin is list:
        return isinstance(value, list) and all(map(fits, value, repeat(arguments[0])))
    if origin is dict:
        keys, values = arguments
        return isinstance(value, dict) and all(fits(k, keys) and fits(v, values) for k, v in value.items())
    kind = {None: NoneType, float: int | float}.get(hint, origin or hint)
    if not isinstance(kind, type | UnionType) or getattr(kind, "_is_protocol", False):
        return True
    return isinstance(value, kind) and not (isinstance(value, bool) and hint in (int, float))


def _hints(annotated: Any) -> dict[str, Any]:
    try:
        return get_type_hints(annotated)
    except NameError:  # names that are there for the type checker alone
        return {}
