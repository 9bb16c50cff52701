"""Topologies that users write: functions of the number of nodes, by import path and with options."""

from __future__ import annotations

import difflib
import inspect
import pkgutil
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import networkx as nx

from topologies.graphs.files import call
from topologies.schedule import Schedule
from topologies.topology import Topology

PATH = re.compile(r"\s*([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)\s*(\(.*\))?\s*", re.DOTALL)


@dataclass(frozen=True)
class Own:
    """A function of the number of nodes, such as mine.small_world(rewiring=0.5).

    Attributes:
        path: The import path of the function.
        options: What it is called with beside the number of nodes.
    """

    path: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        return f"{self.path}({given})" if given else self.path

    @classmethod
    def read(cls, text: str) -> Own | None:
        """What is meant by mine.small_world or mine.small_world(rewiring=0.5); None if this is no import path.

        Raises:
            ValueError: The options are no literals, or have no names.
        """
        found = PATH.fullmatch(text)
        if found is None:
            return None
        name, positional, options = call(f"{found[1].rpartition('.')[2]}{found[2] or ''}")
        if positional:
            raise ValueError(f"{text!r}: options need names, as in mine.{name}(rewiring=0.5); n is given by --nodes")
        return cls(found[1], options)

    def function(self) -> Callable[[int], Schedule]:
        """Makes the topology of so many nodes.

        Raises:
            ValueError: There is no such function, or it has no such options.
        """
        family = resolved(self.path)
        if not callable(family):
            raise ValueError(f"{self.path} is a {type(family).__name__}; name a function of the number of nodes")
        _, *known = inspect.signature(family).parameters.values()
        names = [each.name for each in known]
        anything = any(each.kind is each.VAR_KEYWORD for each in known)
        for option in self.options:
            if option not in names and not anything:
                near = difflib.get_close_matches(option, names, n=1)
                hint = f"did you mean {near[0]}? " if near else ""
                raise ValueError(f"{self.path} has no option {option!r}; {hint}it has {', '.join(names) or 'none'}")
        return partial(self._made, family)

    def _made(self, family: Callable[..., Any], n: int) -> Schedule:
        made = family(n, **self.options)
        if isinstance(made, nx.Graph):
            return Topology(made, name=self.path.rpartition(".")[2])
        if not isinstance(made, Schedule):
            raise ValueError(
                f"{self.path} gives a {type(made).__name__}; it must give a topologies.Topology, a Schedule or a "
                f"networkx graph"
            )
        return made


def resolved(path: str) -> Any:
    """What an import path names.

    Raises:
        ValueError: Nothing, or its module cannot be imported; in one line with what to do.
    """
    try:
        return pkgutil.resolve_name(path)
    except ImportError as error:
        raise ValueError(f"{path} cannot be imported: {error}{where_to_look(error)}") from error
    except AttributeError as error:
        there = [name for name in dir(error.obj) if not name.startswith("_")]
        near = difflib.get_close_matches(error.name or "", there, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"{path} cannot be imported: {error}{hint}") from error


def where_to_look(error: ImportError) -> str:
    """What to do if a module was not found; nothing if it was, and something in it went wrong."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return ""
    file = error.name.partition(".")[0]
    return f"; run the command in the folder of {file}.py, or add that folder to PYTHONPATH"
