"""Lists of edges, a line each, as SNAP, KONECT, Network Repository, networkx, Gephi, spreadsheets and scripts write."""

from __future__ import annotations

import ast
import csv
import math
import re
import warnings
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from topologies.graphs.formats.edges import NUMBER, Collector, Edges, as_number, as_weight
from topologies.graphs.formats.source import Source, at_line

COMMENT = ("%", "#", "//")
SEPARATORS = ("\t", ";", ",", "|")
LOOKED_AT = 1000  # lines from which the separator is told
ATTRIBUTES = re.compile(r"(.*?)\s*(\{.*\})\s*")  # what networkx puts behind an edge
SENDERS = (
    "source from src u node1 node_1 nodea i start tail fromnode fromnodeid from_node from_id source_id id1".split()
)
RECEIVERS = "target to dst dest v node2 node_2 nodeb j end head tonode tonodeid to_node to_id target_id id2".split()
WEIGHTS = "weight weights w value strength count".split()
KONECT = re.compile(r"%\s*(sym|asym|bip)\b")
SNAP = re.compile(r"[#%]\s*(un)?directed\b.*graph(.*unordered pair)?", re.IGNORECASE)


class Row(NamedTuple):
    """A line that is no comment."""

    number: int  # from 1
    fields: list[str]
    weight: float | None = None  # among networkx's attributes


class Columns(NamedTuple):
    """Where what stands."""

    sender: int = 0
    receiver: int = 1
    weight: int | None = 2
    kind: int | None = None  # Gephi's "Directed" or "Undirected"


def read_edge_list(source: Source) -> Edges:
    """Two names a line, and maybe more, of which the third is the weight if it is a number.

    Between them are blanks, tabs, commas, semicolons or bars. Comments begin with %, # or //. A first line with the
    names of the columns, or with the numbers of nodes and edges, is known as such. Edges run both ways, unless a
    comment of KONECT or SNAP or a column of Gephi says "directed", and some edge does not run both ways.
    """
    rows = _rows(source)
    konect = next((KONECT.match(line) for line in source.lines if line.strip()), None)
    says = next(filter(None, (SNAP.match(line) for line in source.lines if line.startswith(COMMENT))), None)
    directed = bool(konect and konect[1] == "asym") or bool(says and not says[1] and not says[2])
    columns, rows = _without_header(rows)
    rows = _without_counts(rows, source.path)
    if not rows:
        raise ValueError("it has no line with an edge")
    sides = ("left ", "right ") if konect and konect[1] == "bip" else None
    found = Collector()
    for row in rows:
        sender, receiver = _ends(row, columns)
        if sides:
            sender, receiver = sides[0] + sender, sides[1] + receiver
        weight = _weight(row, columns)
        found.edge(sender, receiver, weight)
        if columns.kind is not None:
            one_way = _field(row, columns.kind).lower() == "directed"
            directed = directed or one_way
            if not one_way:
                found.edge(receiver, sender, weight)
    edges = found.edges(None if directed else False)
    return edges if directed or columns.kind is None else _every_other(edges)


def looks_like_a_matrix(source: Source) -> bool:
    """Whether the lines are rather the rows of a square matrix of numbers."""
    rows = _rows(source)
    k = len(rows)
    if k < 3 or any(len(row.fields) != k or not all(map(NUMBER.fullmatch, row.fields)) for row in rows):
        return False
    values = [[float(field) for field in row.fields] for row in rows]
    return k > 4 or all(values[i][j] == values[j][i] for i in range(k) for j in range(i))


def _rows(source: Source) -> list[Row]:
    """The lines that are no comments, cut into fields."""
    texts: list[tuple[int, str, float | None]] = []
    for number, line in enumerate(source.lines, 1):
        text = re.split(r"\s[#%]", line, maxsplit=1)[0].strip()
        if not text or text.startswith(COMMENT):
            continue
        attributes = ATTRIBUTES.fullmatch(text)
        texts.append((number, attributes[1], _attribute(attributes[2], number)) if attributes else (number, text, None))
    cut = _cutter([text for _, text, _ in texts[:LOOKED_AT]])
    rows = []
    for number, text, weight in texts:
        try:
            fields = cut(text)
        except csv.Error as error:
            raise at_line(number, str(error)) from error
        while fields and not fields[-1]:
            fields.pop()
        rows.append(Row(number, fields, weight))
    return rows


def _attribute(text: str, number: int) -> float:
    """The weight in a dictionary of attributes; nan if there is none."""
    try:
        found = ast.literal_eval(text)
        return as_weight(found.get("weight"))
    except (ValueError, SyntaxError, AttributeError) as error:
        raise at_line(number, f"{text} is no dictionary of attributes") from error


def _cutter(texts: Sequence[str]) -> Callable[[str], list[str]]:
    """What makes fields of a line: a separator that all lines have (but for the first, maybe), or else blanks."""
    if not all(NUMBER.fullmatch(word) for text in texts for word in text.split()):
        later = texts[1:] or texts
        separator = next((each for each in SEPARATORS if later and all(each in text for text in later)), "")
        if separator:
            return lambda text: [
                field.strip() for field in next(csv.reader([text], delimiter=separator, skipinitialspace=True))
            ]
    return _words


def _words(text: str) -> list[str]:
    if '"' not in text:
        return text.split()
    return [quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|(\S+)', text)]


def _without_header(rows: list[Row]) -> tuple[Columns, list[Row]]:
    """Where what stands, and the lines after the names of the columns, if those have any."""
    if len(rows) < 2:
        return Columns(), rows
    names = [re.sub(r"[\s.-]+", "_", field.strip("#%'\" ").lower()) for field in rows[0].fields]
    sender = next((k for k, name in enumerate(names) if name in SENDERS), None)
    receiver = next((k for k, name in enumerate(names) if name in RECEIVERS), None)
    weight = next((k for k, name in enumerate(names) if name in WEIGHTS), None)
    if sender is None or receiver is None:
        numbered = all(_is_number(row, 0) and _is_number(row, 1) for row in rows[1:])
        if not numbered or _is_number(rows[0], 0) or _is_number(rows[0], 1):
            return Columns(), rows
        return Columns(weight=weight if weight is not None and weight > 1 else None), rows[1:]
    title = {rows[0].fields[sender], rows[0].fields[receiver]}
    if any(_field(row, k) in title for row in rows[1:] for k in (sender, receiver)):
        return Columns(), rows  # a node is called so
    return Columns(sender, receiver, weight, names.index("type") if "type" in names else None), rows[1:]


def _without_counts(rows: list[Row], path: str) -> list[Row]:
    """Without a first line that has the numbers of nodes and of edges and no edge."""
    if len(rows) < 2:
        return rows
    first, rest = rows[0].fields, rows[1:]
    numbers = [int(field) for field in first if field.isdecimal()]
    if len(numbers) < len(first):
        return rows
    nodes = {field for row in rest for field in row.fields[:2]}
    if len(first) == 1:
        return rest if numbers[0] in (len(nodes), len(rest)) else rows
    if len(first) == 3 and numbers[0] == numbers[1] >= len(nodes) and numbers[2] == len(rest):
        return rest
    if len(first) != 2 or numbers[0] < len(nodes) or numbers[1] != len(rest):
        return rows
    if nodes.issuperset(first):
        likely, doubtful = False, numbers[0] == len(nodes)
    else:
        doubtful = not nodes.isdisjoint(first) and _is_range(nodes.union(first))  # an edge to the next node
        likely = not doubtful
    if doubtful:
        line = f"line {rows[0].number}, {' '.join(first)}"
        warnings.warn(f"{path}: {line}, is taken for an edge; if it counts nodes and edges, delete it", stacklevel=2)
    return rest if likely else rows


def _is_range(nodes: Collection[str]) -> bool:
    """Whether these are whole numbers without gaps."""
    numbers = [int(node) for node in nodes if node.isdecimal()]
    return len(numbers) == len(nodes) == max(numbers) - min(numbers) + 1


def _ends(row: Row, columns: Columns) -> tuple[str, str]:
    ends = _field(row, columns.sender), _field(row, columns.receiver)
    if not all(ends):
        count = len(row.fields)
        raise at_line(row.number, f"an edge needs two names, and here {'is' if count == 1 else 'are'} {count}")
    return ends


def _weight(row: Row, columns: Columns) -> float:
    if row.weight is not None:
        return row.weight
    text = "" if columns.weight is None else _field(row, columns.weight)
    return as_weight(text.replace(",", ".")) if text else math.nan


def _field(row: Row, column: int) -> str:
    return row.fields[column] if column < len(row.fields) else ""


def _is_number(row: Row, column: int) -> bool:
    return as_number(_field(row, column)) is not None


def _every_other(edges: Edges) -> Edges:
    """Without the way back of undirected edges, each of which follows the way there."""
    return Edges(edges.labels, edges.senders[::2], edges.receivers[::2], edges.weights[::2], False)
