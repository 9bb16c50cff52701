"""From a file to its edges or its matrix: which format it is of, and one line about what is wrong with it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import NamedTuple
from xml.etree.ElementTree import ParseError

from topologies.graphs.formats.edge_list import looks_like_a_matrix, read_edge_list
from topologies.graphs.formats.edges import Edges
from topologies.graphs.formats.matrices import Matrix, read_mtx, read_npy, read_npz
from topologies.graphs.formats.metis import read_metis
from topologies.graphs.formats.names import format_by_name
from topologies.graphs.formats.others import (
    read_adjlist,
    read_gexf,
    read_gml,
    read_graph6,
    read_graphml,
    read_json,
    read_sparse6,
)
from topologies.graphs.formats.pajek import read_pajek
from topologies.graphs.formats.source import Source
from topologies.graphs.formats.tntp import read_tntp

Reader = Callable[[Source], Edges | Matrix]


class Format(NamedTuple):
    """A kind of file."""

    read: Reader
    about: str  # what is needed of such a file, in some words


FORMATS = {
    "edgelist": Format(read_edge_list, "two names a line, and maybe more columns"),
    "adjlist": Format(read_adjlist, "a node and its neighbours a line"),
    "mtx": Format(read_mtx, "%%MatrixMarket and a square real matrix"),
    "npy": Format(read_npy, "a square array"),
    "npz": Format(read_npz, "a square matrix that scipy has saved"),
    "gml": Format(read_gml, "graph [ node [ id 0 ] ... edge [ source 0 target 1 ] ... ]"),
    "graphml": Format(read_graphml, "XML with <graphml>"),
    "gexf": Format(read_gexf, "XML with <gexf>"),
    "json": Format(read_json, 'node-link data: "nodes" and "links" or "edges"'),
    "pajek": Format(read_pajek, "*Vertices n, then *Edges or *Arcs"),
    "metis": Format(read_metis, "the numbers of nodes and edges, then the neighbours of each node a line"),
    "tntp": Format(read_tntp, "metadata in <>, then links of two nodes"),
    "graph6": Format(read_graph6, "a line of letters for each graph"),
    "sparse6": Format(read_sparse6, "a line that begins with a colon for each graph"),
}
SIGNATURES = {  # by which the beginning of a text gives its format away
    "mtx": re.compile(r"%%MatrixMarket", re.IGNORECASE),
    "graphml": re.compile(r"<(\?xml|!--|graphml)(.|\n)*?<graphml|<graphml", re.IGNORECASE),
    "gexf": re.compile(r"<(\?xml|!--)(.|\n)*?<gexf|<gexf", re.IGNORECASE),
    "tntp": re.compile(r"<(NUMBER OF|FIRST THRU NODE|END OF METADATA)"),
    "pajek": re.compile(r"(%.*\s+)*\*(vertices|network)\b", re.IGNORECASE),
    "json": re.compile(r"\{"),
    "gml": re.compile(r"((#|creator|version|comment|directed).*\s+)*graph\s*\[", re.IGNORECASE),
    "graph6": re.compile(r">>graph6<<"),
    "sparse6": re.compile(r">>sparse6<<"),
}
LOOKED_AT = 10_000  # characters
UNREADABLE = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    SyntaxError,
    OSError,
    EOFError,
    RecursionError,
    NotImplementedError,
    MemoryError,
    ParseError,
)


def check_format(name: str) -> None:
    """Refuse what is no format.

    Raises:
        ValueError: It is none.
    """
    if name not in FORMATS:
        near = difflib.get_close_matches(name, FORMATS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"there is no format {name!r}; {hint}allowed are {', '.join(FORMATS)}")


def read(source: Source, name: str | None = None) -> Edges | Matrix:
    """What is in a file.

    Args:
        source: The file.
        name: Of the format; by default that which the beginning of the file gives away, or else the end of its name.

    Raises:
        ValueError: It cannot be read; in one line which file, what it was taken for, in which line, what is needed.
    """
    import zipfile

    import networkx as nx

    if name is not None:
        check_format(name)
    others = ", ".join(each for each in FORMATS if each != name)
    try:
        chosen, why = (name, "as asked for") if name is not None else _guess(source)
    except ValueError as error:
        raise ValueError(
            f"cannot read a graph from {source.path}: {error}; say what it is with format = (--format) one of {others}"
        ) from error
    try:
        found = FORMATS[chosen].read(source)
        if isinstance(found, Edges) and not len(found.senders) and found.n != 1:
            raise ValueError("it has no edge")
        return found
    except (*UNREADABLE, nx.NetworkXException, zipfile.BadZipFile) as error:
        problem = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, KeyError):
            problem = f"{problem} is not there"
        others = ", ".join(each for each in FORMATS if each != chosen)
        raise ValueError(
            f"cannot read a graph from {source.path} as {chosen}, {why}: {problem}; needed is {FORMATS[chosen].about}; "
            f"if it is something else, say so with format = (--format) one of {others}"
        ) from error


def _guess(source: Source) -> tuple[str, str]:
    """A format, and by what it was told."""
    by_name = format_by_name(source.name)
    if source.data.startswith(b"\x93NUMPY"):
        return "npy", "by its beginning"
    if by_name in ("npy", "npz", "graph6", "sparse6"):
        return by_name, "by its name"
    beginning = source.text[:LOOKED_AT].lstrip()
    for name, signature in SIGNATURES.items():
        if signature.match(beginning):
            return name, "by its beginning"
    if not beginning:
        raise ValueError("it is empty")
    chosen = by_name or "edgelist"
    if chosen == "edgelist" and looks_like_a_matrix(source):
        raise ValueError("it looks like a matrix; save it as .npy or .mtx, or say that it is an edgelist")
    return chosen, "by its name" if by_name else "for want of anything better"
