"""What fields of options name by import path."""

from __future__ import annotations

import pkgutil
from typing import Any


def imported(owner: object, name: str) -> Any:
    """What the import path in this field names, a class or another callable.

    Raises:
        ValueError: It cannot be imported, or not be called.
    """
    path, kind = getattr(owner, name), type(owner).__name__
    try:
        found = pkgutil.resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        reason = " ".join(str(error).split())
        if isinstance(error, ModuleNotFoundError) and error.name:
            reason += f"; run in the folder of {error.name.split('.')[0]}.py, or add that folder to PYTHONPATH"
        raise ValueError(f"{kind}: {name} = {path!r} cannot be imported: {reason}") from error
    if not callable(found):
        raise ValueError(f"{kind}: {name} = {path!r} is a {type(found).__name__}, not callable")
    return found
