"""What the name of a file says about it."""

from __future__ import annotations

from pathlib import PurePath

SUFFIXES = {
    ".graphml": "graphml",
    ".xml": "graphml",
    ".gml": "gml",
    ".gexf": "gexf",
    ".json": "json",
    ".adjlist": "adjlist",
    ".net": "pajek",
    ".paj": "pajek",
    ".g6": "graph6",
    ".s6": "sparse6",
    ".mtx": "mtx",
    ".npy": "npy",
    ".npz": "npz",
    ".graph": "metis",
    ".metis": "metis",
    ".tntp": "tntp",
    ".edgelist": "edgelist",
    ".edges": "edgelist",
    ".weighted": "edgelist",
    ".pairs": "edgelist",
    ".el": "edgelist",
}
VAGUE = {".txt": "edgelist", ".csv": "edgelist", ".tsv": "edgelist", ".dat": "edgelist", ".data": "edgelist"}
"""Ends of names that other files have too."""

PACKED = (".gz", ".bz2", ".xz", ".zip", ".tar", ".tgz", ".tbz2")
KONECT = "out."


def unpacked_name(name: str) -> str:
    """The name without the ends that packing has put behind it, and without folders."""
    name = PurePath(name).name
    while name.lower().endswith(PACKED):
        name = name[: name.rindex(".")]
    return name


def format_by_name(name: str) -> str | None:
    """The format that files of this name are mostly of; None if it says nothing."""
    name = unpacked_name(name).lower()
    if name.startswith(KONECT):
        return "edgelist"
    suffix = PurePath(name).suffix
    return SUFFIXES.get(suffix) or VAGUE.get(suffix)


def is_specific(name: str) -> bool:
    """Whether files of this name are hardly ever anything but graphs."""
    name = unpacked_name(name).lower()
    return name.startswith(KONECT) or PurePath(name).suffix in SUFFIXES


def stem(name: str) -> str:
    """The name for reports: without folders and ends, of out.zebra what follows."""
    name = unpacked_name(name)
    return name[len(KONECT) :] if name.lower().startswith(KONECT) and name[len(KONECT) :] else PurePath(name).stem
