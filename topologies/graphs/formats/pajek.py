"""Pajek's files, .net and .paj."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence

from topologies.graphs.formats.edges import Collector, Edges, as_weight
from topologies.graphs.formats.source import Source, at_line

WORD = re.compile(r'"([^"]*)"|(\S+)')
OTHERS = ("partition", "vector", "permutation", "cluster", "hierarchy")  # what a project holds besides networks
LISTS = ("arcs", "edges", "arcslist", "edgeslist", "matrix")


def read_pajek(source: Source) -> Edges:
    """The first network of a file; directed if it has arcs. A node is called by its id where labels repeat.

    networkx's own reader knows no comments, merges nodes of equal labels, and stops at lists of neighbours.
    """
    network = _Network()
    section = ""
    for number, line in enumerate(source.lines, 1):
        text = line.strip()
        if not text or text.startswith("%"):
            continue
        words = [quoted or plain for quoted, plain in WORD.findall(text)]
        if not text.startswith("*"):
            network.take(section, words, number)
            continue
        before, section = section, words[0][1:].split(":")[0].lower()
        if section == "vertices" and before in OTHERS:
            section = before  # of how many it is about
            continue
        if section in ("network", "vertices") and network.n is not None:
            warnings.warn(f"{source.path} holds several networks, of which the first is read", stacklevel=2)
            break
        network.begin(section, words, number)
    return network.edges()


class _Network:
    """What has been read of a network."""

    def __init__(self) -> None:
        self.n: int | None = None
        self.labels: dict[int, str] = {}
        self.found = Collector()
        self.directed: bool | None = False
        self.both_ways: list[tuple[int, int, float]] = []  # which matters among arcs
        self.row = 0  # of a matrix

    def begin(self, section: str, words: Sequence[str], number: int) -> None:
        """A line with an asterisk."""
        if section == "vertices":
            if len(words) < 2 or not words[1].isdecimal():
                raise at_line(number, "*Vertices needs the number of nodes")
            self.n = int(words[1])
            for node in range(1, self.n + 1):
                self.found.node(node)
        elif section in LISTS:
            if self.n is None:
                raise at_line(number, f"*{section} before *Vertices")
            if section.startswith("arcs"):
                self.directed = True
            elif section == "matrix" and not self.directed:
                self.directed = None
        elif section not in ("network", *OTHERS):
            raise at_line(number, f"*{section} is none of *Vertices, {', '.join('*' + each for each in LISTS)}")

    def take(self, section: str, words: Sequence[str], number: int) -> None:
        """A line without one."""
        if section in OTHERS:
            return
        if section == "vertices":
            node = self._node(words[0], number)
            if len(words) > 1:
                self.labels[node] = words[1]
        elif section == "matrix":
            self._row(words, number)
        elif section not in LISTS:
            raise at_line(number, "a network begins with *Vertices")
        elif len(words) < 2:
            raise at_line(number, f"*{section} needs two nodes a line")
        else:
            first = self._node(words[0], number)
            listed = section.endswith("list")
            for word in words[1:] if listed else words[1:2]:
                weight = as_weight(words[2]) if not listed and len(words) > 2 else float("nan")
                ends = first, self._node(word, number)
                self.found.edge(*ends, weight)
                if section.startswith("edges"):
                    self.both_ways.append((*ends, weight))

    def edges(self) -> Edges:
        """All of it."""
        if self.n is None:
            raise ValueError("there is no line *Vertices")
        for first, second, weight in self.both_ways if self.directed else ():
            self.found.edge(second, first, weight)
        labels = [self.labels.get(node, str(node)) for node in range(1, self.n + 1)]
        return self.found.edges(self.directed, labels if len(set(labels)) == self.n else None)

    def _row(self, words: Sequence[str], number: int) -> None:
        assert self.n is not None
        self.row += 1
        if len(words) != self.n or self.row > self.n:
            raise at_line(number, f"*Matrix needs {self.n} rows of {self.n} numbers")
        for column, word in enumerate(words, 1):
            if as_weight(word):
                self.found.edge(self.row, column, as_weight(word))

    def _node(self, word: str, number: int) -> int:
        if not word.isdecimal() or not 1 <= int(word) <= (self.n or 0):
            raise at_line(number, f"{word!r} is none of the nodes 1..{self.n}")
        return int(word)
