"""What a parser lets pass and no training can take: null where a value is needed, and unfinished classes."""

from __future__ import annotations

import pkgutil
from inspect import Parameter, signature

from jsonargparse import Namespace

from algorithms.own_code import PROJECT
from gossip.options.kinds import KINDS, UNFINISHED

LARGEST = 2**63 - 1


def check_values(name: str, value: object) -> None:
    """Look at an option that was parsed, and at all that is below it.

    Args:
        name: Of the option, without the hyphens.
        value: What was parsed: for a class its path and what it is to be made with.

    Raises:
        ValueError: Some option is null that may not be, names a class that cannot be used by itself, or is a whole
            number that no memory can hold so many of.
    """
    if isinstance(value, int) and not -LARGEST <= value <= LARGEST:
        raise ValueError(f"--{name.replace('_', '-')} = {value} is not allowed; whole numbers are below 2^63")
    if not isinstance(value, Namespace) or "class_path" not in value:
        return
    kind = pkgutil.resolve_name(value["class_path"])
    unfinished = kind in KINDS.values() and kind.__subclasses__()
    ours = kind.__module__.split(".")[0] in PROJECT  # a class of the user's may have such a name
    if unfinished or (ours and kind.__name__ in UNFINISHED):
        raise ValueError(f"--{name}: {kind.__name__} is what others derive from; name one of these")
    made_with = value.get("init_args") or Namespace()
    parameters = signature(getattr(kind, "wrapped_function", kind)).parameters
    for key, each in vars(made_with).items():
        if each is None and key in parameters and not _may_be_null(parameters[key]):
            raise ValueError(f"--{name}.{key} may not be null; leave it out for its default")
        check_values(f"{name}.{key}", each)


def _may_be_null(parameter: Parameter) -> bool:
    """Of a parameter without a default, whose annotation is the text of the source: whether it says so."""
    if parameter.annotation is Parameter.empty or parameter.default is None or parameter.default is Parameter.empty:
        return True
    return "None" in str(parameter.annotation)
