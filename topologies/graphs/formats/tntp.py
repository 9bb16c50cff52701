"""Road networks as the Transportation Networks for Research collection has them, .tntp."""

from __future__ import annotations

import re

from topologies.graphs.formats.edges import Collector, Edges
from topologies.graphs.formats.source import Source, at_line

ENTRY = re.compile(r"\s*<([^>]+)>\s*(.*)")


def read_tntp(source: Source) -> Edges:
    """Links from the first to the second column after the metadata; undirected if each runs both ways.

    Source: github.com/bstabler/TransportationNetworks, its README.
    """
    about: dict[str, str] = {}
    found = Collector()
    ended = False
    for number, line in enumerate(source.lines, 1):
        entry = ENTRY.match(line)
        if entry:
            about[entry[1].upper()] = entry[2].split("~")[0].strip()
            ended = ended or entry[1].upper() == "END OF METADATA"
            continue
        words = line.split("~")[0].replace(";", " ").split()
        if not words or not ended:
            continue
        if len(words) < 2 or not words[0].isdecimal() or not words[1].isdecimal():
            raise at_line(number, "a link needs the numbers of two nodes")
        if not found.numbers:
            for node in range(1, _number(about, "NUMBER OF NODES") + 1):
                found.node(node)
        found.edge(int(words[0]), int(words[1]))
    if not ended:
        raise ValueError("there is no line <END OF METADATA>")
    links = _number(about, "NUMBER OF LINKS")
    if links and links != len(found.senders):
        raise ValueError(f"the metadata say {links} links, and there are {len(found.senders)}")
    return found.edges(directed=None)


def _number(about: dict[str, str], key: str) -> int:
    """The number that the metadata have for this, 0 if none."""
    text = about.get(key, "")
    return int(text) if text.isdecimal() else 0
