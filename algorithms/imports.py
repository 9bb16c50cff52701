"""What fields of options name by import path."""

from __future__ import annotations

import pkgutil
from typing import Any

from algorithms.own_code import reason


def imported(owner: object, name: str) -> Any:
    """What the import path in this field names, a class or another callable.

    Raises:
        ValueError: It cannot be imported, or not be called.
    """
    path, kind = getattr(owner, name), type(owner).__name__
    try:
        found = pkgutil.resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        why = " ".join(str(error).split())
        if isinstance(error, ModuleNotFoundError) and error.name:
            why += f"; run in the folder of {error.name.split('.')[0]}.py, or add that folder to PYTHONPATH"
        raise ValueError(f"{kind}: {name} = {path!r} cannot be imported: {why}") from error
    except Exception as error:  # whatever the module does when it is loaded
        raise ValueError(f"{kind}: {name} = {path!r} cannot be imported: {reason(error)}") from error
    if not callable(found):
        raise ValueError(f"{kind}: {name} = {path!r} is a {type(found).__name__}, not callable")
    return found


def import_path(owner: object, name: str) -> str:
    """The import path in this field, or that of the class or function that stands there.

    Raises:
        ValueError: It is neither.
    """
    value, kind = getattr(owner, name), type(owner).__name__
    if isinstance(value, str):
        return value
    path = f"{getattr(value, '__module__', None)}.{getattr(value, '__qualname__', None)}"
    try:
        found = pkgutil.resolve_name(path)
    except (ImportError, AttributeError, ValueError):
        found = None
    if found is not value or not callable(value):
        raise ValueError(
            f"{kind}: {name} is a {type(value).__name__}; it must be an import path, such as 'package.module.Class', "
            f"or a class or function that has one"
        )
    return path
