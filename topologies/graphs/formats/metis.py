"""The files of METIS, Chaco and KaHIP, .graph."""

from __future__ import annotations

from topologies.graphs.formats.edges import Collector, Edges
from topologies.graphs.formats.source import Source, at_line


def read_metis(source: Source) -> Edges:
    """A first line with the numbers of nodes and edges, then the neighbours of each node, from 1, on a line of its own.

    Source: G. Karypis, METIS 5.1.0 manual, section 4.5.
    """
    rows = [(number, line.split()) for number, line in enumerate(source.lines, 1) if not line.lstrip().startswith("%")]
    while rows and not rows[0][1]:
        del rows[0]
    if not rows:
        raise ValueError("it is empty")
    number, head = rows[0]
    if not 2 <= len(head) <= 4 or not all(word.isdecimal() for word in head):
        raise at_line(number, "the first line needs the numbers of nodes and of edges, and maybe two numbers more")
    n, m = int(head[0]), int(head[1])
    sizes, weighed, weighted = (flag != "0" for flag in (head[2] if len(head) > 2 else "0").zfill(3)[-3:])
    ahead = int(sizes) + (int(head[3]) if len(head) > 3 else 1) * int(weighed)
    rows = rows[1:]
    for number, words in rows[n:]:
        if words:
            raise at_line(number, f"the first line says {n} nodes, and here is one more")
    found = Collector()
    for node in range(1, n + 1):
        found.node(node)
    for node, (number, words) in enumerate(rows[:n], 1):
        step = 2 if weighted else 1
        for k in range(ahead, len(words), step):
            if not words[k].isdecimal() or not 1 <= int(words[k]) <= n:
                raise at_line(number, f"{words[k]!r} is none of the nodes 1..{n}")
            if k + step > len(words):
                raise at_line(number, f"neighbour {words[k]} has no weight")
            try:
                found.edge(node, int(words[k]), float(words[k + 1]) if weighted else float("nan"))
            except ValueError as error:
                raise at_line(number, f"the weight {words[k + 1]!r} is no number") from error
    ends = sum(a != b for a, b in zip(found.senders, found.receivers, strict=True))
    if ends != 2 * m and len(found.senders) != 2 * m:
        raise ValueError(f"the first line says {m} edges, and the lines after it have {ends / 2:g}")
    return found.edges(directed=False)
