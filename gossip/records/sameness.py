"""Whether all ranks are asked for the same: where they are not, they would train to wrong numbers without a word."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import xxhash

from gossip.errors import UsageError
from gossip.processes.communicator import Communicator
from gossip.records.configuration import described, flat

SEEDED = {  # what is often drawn at random
    "topology": "a random graph needs a seed",
    "workload": "data that are drawn or shuffled at random need a seed",
    "start": "a start that is drawn at random needs a seed",
}
CHECKSUM = re.compile(r"[0-9a-f]{16}$")  # of an array
LONGEST = 60  # characters of a value that is shown


def refuse_disagreement(processes: Communicator, **parts: Any) -> None:
    """Refuse to run where some rank has another one of these parts than rank 0; collective.

    Args:
        processes: The ranks.
        parts: What all of them must have alike, by name; of arrays the content counts.

    Raises:
        UsageError: on every rank, naming a rank and a part.
    """
    if processes.size == 1:
        return
    mine = processes.together(lambda: described(**parts))
    digests = processes.gather(_digest(mine))
    if len(set(digests)) == 1:
        return
    each = processes.gather({name: _digest(part) for name, part in mine.items()})
    name = next(name for name in each[0] if any(other.get(name) != each[0][name] for other in each))
    others = [rank for rank, other in enumerate(each) if other.get(name) != each[0][name]]
    shown = [processes.broadcast(mine[name], root=rank) for rank in (0, others[0])]
    raise UsageError(_in_words(name, others, *shown))


def _digest(part: Any) -> str:
    return xxhash.xxh3_128_hexdigest(json.dumps(part, default=str).encode())


def _in_words(name: str, ranks: Sequence[int], first: Any, other: Any) -> str:
    """That these ranks have another part of this name than rank 0."""
    which = f"rank {ranks[0]} has" if len(ranks) == 1 else f"{len(ranks)} ranks, rank {ranks[0]} the first, have"
    mend = SEEDED.get(name, "every rank must ask for the same")
    what = "number of steps" if name == "steps" else name.replace("_", " ")
    return f"{which} another {what} than rank 0{_difference(name, first, other)}; {mend}"


def _difference(name: str, first: Any, other: Any) -> str:
    """The first one, in words; "" where it says nothing."""
    one, two = (dict(flat(part, name)) if isinstance(part, Mapping) else {name: part} for part in (first, other))
    path = next(path for path in [*one, *two] if one.get(path, "absent") != two.get(path, "absent"))
    here, there = (str(values.get(path, "absent")) for values in (one, two))
    if CHECKSUM.search(here) or max(len(here), len(there)) > LONGEST:
        return f", in {path}" if path != name else ""
    return f": {path.rstrip('.')} is {there} there and {here} on rank 0"
