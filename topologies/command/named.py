"""Topologies by what is written on a command line."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from topologies.command.own import Own
from topologies.graphs.files import call, file, generated
from topologies.graphs.formats.names import PACKED, is_specific
from topologies.schedule import Schedule
from topologies.topology import Topology

NODES = 16


@dataclass(frozen=True)
class FileOptions:
    """How a file is to be read: options of `topologies.file`, which says what they mean."""

    format: str | None = None
    largest_component: bool = False
    undirected: bool = False
    ignore_weights: bool = False


NOT_GIVEN = FileOptions()


def named(
    text: str,
    families: Sequence[Callable[..., Schedule]],
    n: int | None,
    weights: str | None,
    reading: FileOptions = NOT_GIVEN,
) -> Schedule:
    """What is meant by one of: ring, circulant(offsets=(1, 3)), networkx.star_graph(4), mine.small_world, a file.

    Args:
        text: a family with or without options, a call of networkx, a function of one's own by its import path with or
            without options, or a file that `topologies.file` can read.
        families: functions, which the names are those of.
        n: number of nodes; 16, or what the family, call or file has, by default.
        weights: weight rule; the family's own by default.
        reading: how the file is to be read.

    Raises:
        ValueError: it means nothing, or does not exist at n, or is no file where options for files are given.
    """
    known = {each.__name__: each for each in families}
    if is_file(text, known):
        return file(n, text, weights, **asdict(reading))
    if reading != NOT_GIVEN:
        option = next(key for key, value in asdict(reading).items() if value != getattr(NOT_GIVEN, key))
        raise ValueError(f"--{option.replace('_', '-')} goes with a file, and there is no file {text}")
    if text.startswith(("networkx.", "nx.")):
        return generated(text, n, weights)
    own = Own.read(text)
    if own is not None:
        return _weighed(own.function()(NODES if n is None else n), own.path, weights)
    name, positional, options = call(text, n)
    if positional:
        raise ValueError(f"{text!r}: options need names, as in circulant(offsets=(1, 3)); n is given by --nodes")
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(
            f"there is no topology {name!r}; {hint}see python -m topologies list, or name a file, a call such as "
            f"networkx.petersen_graph() or a function of your own such as mine.small_world"
        )
    family = known[name]
    parameters = inspect.signature(family).parameters
    for option in options:
        if option not in parameters or option == "n":
            raise ValueError(f"{name} has no option {option!r}; it has {', '.join(list(parameters)[1:]) or 'none'}")
    if n is None:
        default = parameters["n"].default
        n = NODES if default is inspect.Parameter.empty else default
    if weights is None:
        return family(n, **options)
    if "weights" in parameters:
        return family(n, **options, weights=weights)
    return _weighed(family(n, **options), name, weights)


def _weighed(topology: Schedule, name: str, weights: str | None) -> Schedule:
    """With this weight rule in the place of its own."""
    if weights is None:
        return topology
    if not isinstance(topology, Topology):
        raise ValueError(f"{name} varies with time and has weights of its own: leave out --weights")
    return Topology(topology.graph, weights, name=topology.name)


def is_file(text: str, families: Collection[str]) -> bool:
    """Whether a file is meant: by the end of the name, or because there is one and no family is called so."""
    return is_specific(text) or text.lower().endswith(PACKED) or (text not in families and Path(text).is_file())
