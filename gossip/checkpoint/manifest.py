"""What a manifest must look like, so that whatever somebody has written there is refused before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from math import inf, prod
from typing import Any

import torch

from gossip.checkpoint.places import FIXED, HISTORY
from gossip.names import ROWS

LARGEST = 2**53  # of all numbers: larger ones, no program has counted
DEEPEST = 64  # list within list
SECTIONS = ("algorithm", "oracle", "network", "model")
NUMBERS = ("train_loss", "test_loss", "consensus_distance", "seconds")  # of every record


def check_manifest(manifest: Mapping[str, Any]) -> None:
    """Refuse what no run has written.

    Raises:
        ValueError: It says what is wrong where.
    """
    _check_depth(manifest)
    for name, least in (("step", 0), ("ranks", 1), ("nodes", 1)):
        _check_count(_part(manifest, name), name, least)
    seconds = _part(manifest, "seconds")
    _need(_is_number(seconds) and 0 <= seconds < inf, "seconds", seconds, "a number >= 0")
    _need(isinstance(_part(manifest, "written"), str), "written", manifest["written"], "a time")
    for name in ("configuration", "layout", "clock"):
        _mapping(_part(manifest, name), name)
    for name, times in manifest["clock"].items():
        _check_times(times, f"clock.{name}")
    for name, shape in manifest["layout"].items():
        _check_counts(shape, f"layout.{name}")
    _check_files(_part(manifest, "files"), manifest["nodes"])
    outlines = _Outlines()
    states = _mapping(_part(manifest, "states"), "states")
    for section in SECTIONS:
        outlines.check(section, _part(states, section, "states"))
        _need(states[section]["kind"] == "block", f"states.{section}", states[section]["kind"], "a block")
    for name in ("posted", "posted_means"):
        for each in _list(_part(manifest, name), name):
            _need(isinstance(each, str) and each in outlines.posted, name, each, "what the state has posted")
    _check_model(states["model"], outlines, sum(prod(shape) for shape in manifest["layout"].values()))
    if "state_dict" in manifest:
        _check_state_dict(manifest, outlines.named)
    for counts in _list(_part(manifest, "wire"), "wire"):
        _check_counts(counts, "wire", 2)


def check_history(history: Any) -> None:
    """Refuse what is no list of records.

    Raises:
        ValueError: It says what is wrong where.
    """
    _check_depth(history)
    for record in _list(history, "the history"):
        _check_count(_part(_mapping(record, "a record"), "step", "a record"), "step of a record")
        for name in NUMBERS:
            value = _part(record, name, "a record")
            _need(_is_number(value), f"{name} of a record", value, "a number")


@dataclass
class _Outlines:
    """What states are, as their outlines say; see `gossip.checkpoint.entries`."""

    stacks: dict[str, list[int]] = field(default_factory=dict)
    """Name -> the shape of a row, of what has been seen."""

    named: set[str] = field(default_factory=set)
    """What later entries may be the same as."""

    posted: set[str] = field(default_factory=set)
    """What has been posted."""

    def check(self, name: str, entry: Any) -> None:
        """Refuse an entry that is of no kind, or not as its kind is."""
        kind = _part(_mapping(entry, name), "kind", name)
        match kind:
            case "value":
                value = _part(entry, "value", name)
                _need(value is None or isinstance(value, bool | int | float | str), name, value, "a number or a text")
                _need(type(value) is not int or abs(value) <= LARGEST, name, value, f"at most {LARGEST}")
            case "tuple":
                for i, part in enumerate(_list(_part(entry, "parts", name), name)):
                    self.check(f"{name}.{i}", part)
            case "dict":
                for pair in _list(_part(entry, "pairs", name), name):
                    valid = isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str | int | float | None)
                    _need(valid, name, pair, "a key and what it has")
                    self.check(f"{name}.{pair[0]}", pair[1])
            case "block":
                _need(isinstance(_part(entry, "class", name), str), f"{name}.class", entry["class"], "a class")
                for key, part in _mapping(_part(entry, "parts", name), name).items():
                    self.check(f"{name}.{key}", part)
            case "posted":
                self.check(f"{name}.value", _part(entry, "value", name))
                self.named.add(name)
                self.posted.add(name)
            case "same":
                same = _part(entry, "as", name)
                _need(isinstance(same, str) and same in self.named, name, same, "what has been named before it")
            case "message":
                _check_count(_part(entry, "d", name), f"{name}.d")
                _check_type(_part(entry, "type", name), name)
                _need(isinstance(_part(entry, "compressor", name), str), name, entry["compressor"], "a compressor")
                level = _list(entry.get("level", []), name)
                _need(all(isinstance(each, bool) for each in level), name, level, "true or false of each tensor")
                self.named.add(name)
            case "stack":
                _check_counts(_part(entry, "shape", name), f"{name}.shape")
                _check_type(_part(entry, "type", name), name)
                self.stacks[name] = entry["shape"]
                self.named.add(name)
            case "items" | "numbers":
                pass
            case _:
                _need(False, f"{name}.kind", kind, "that of a part of a state")


def _check_model(entry: Any, outlines: _Outlines, d: int) -> None:
    x = _part(entry["parts"], "x", "states.model")
    name = x["as"] if x["kind"] == "same" else "model.x"
    _need(outlines.stacks.get(name) == [d], "states.model.x", name, f"a stack with rows of {d} numbers, as in layout")


def _check_state_dict(manifest: Mapping[str, Any], named: set[str]) -> None:
    """Refuse a tensor of the model that is to be taken from where it is not."""
    _check_count(_part(manifest, "with_data"), "with_data", 1)
    _need(manifest["with_data"] <= manifest["nodes"], "with_data", manifest["with_data"], f"<= {manifest['nodes']}")
    for key, source in _mapping(manifest["state_dict"], "state_dict").items():
        match source:
            case ["parameter", str(name)]:
                valid = name in manifest["layout"]
            case ["own", str(name)]:
                valid = f"oracle.buffers.{name}" in named
            case ["fixed", str(_)]:
                valid = FIXED in manifest["files"]
            case _:
                valid = False
        _need(valid, f"state_dict.{key}", source, "a part of this checkpoint")


def _check_files(files: Any, nodes: int) -> None:
    hosted = []
    for name, about in _mapping(files, "files").items():
        _need(
            name in (HISTORY, FIXED) or ROWS.fullmatch(name), "a name in files", name, "that of a file of a checkpoint"
        )
        _check_count(_part(_mapping(about, name), "bytes", name), f"bytes of {name}")
        _need(isinstance(_part(about, "checksum", name), str), f"checksum of {name}", about["checksum"], "a text")
        if ROWS.fullmatch(name):
            own = _check_counts(_part(about, "nodes", name), f"nodes of {name}")
            _need(bool(own) and own == sorted(set(own)), f"nodes of {name}", own, "ascending numbers")
            hosted.append(own)
    _need(HISTORY in files, "files", list(files), f"with {HISTORY}")
    numbers = sorted(chain(*hosted))
    _need(numbers == list(range(len(numbers))), "the nodes in files", numbers, "0, 1, 2 and so on, each once")
    _need(len(numbers) >= nodes, "the number of nodes in files", len(numbers), f">= {nodes}")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST):
        parts = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        level = list(chain(*parts))
        if not level:
            return
    raise ValueError(f"has lists in lists to a depth of more than {DEEPEST}")


def _check_count(value: Any, where: str, least: int = 0) -> None:
    _need(type(value) is int and least <= value <= LARGEST, where, value, f"a whole number >= {least}")


def _check_counts(value: Any, where: str, size: int | None = None) -> list[int]:
    for each in _list(value, where):
        _check_count(each, where)
    counts: list[int] = value
    _need(size is None or len(counts) == size, where, value, f"{size} numbers")
    return counts


def _is_number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) <= LARGEST)


def _check_times(value: Any, where: str) -> None:
    if isinstance(value, list):
        for each in value:
            _check_times(each, where)
    else:
        _need(_is_number(value) and 0 <= value < inf, where, value, "a number >= 0")


def _check_type(name: Any, where: str) -> None:
    known = isinstance(name, str) and isinstance(getattr(torch, name, None), torch.dtype)
    _need(known, f"{where}.type", name, "a type of numbers")


def _part(whole: Mapping[str, Any], name: str, where: str = "the manifest") -> Any:
    if name not in whole:
        raise ValueError(f"is malformed: {where} has no {name!r}")
    return whole[name]


def _mapping(value: Any, where: str) -> dict[str, Any]:
    _need(isinstance(value, dict), where, value, "a mapping")
    mapping: dict[str, Any] = value
    return mapping


def _list(value: Any, where: str) -> list[Any]:
    _need(isinstance(value, list), where, value, "a list")
    items: list[Any] = value
    return items


def _need(valid: object, where: str, value: Any, allowed: str) -> None:
    if not valid:
        shown = repr(value)
        shown = shown if len(shown) <= 60 else f"{shown[:60]}..."
        raise ValueError(f"is malformed: {where} is {shown}, which must be {allowed}")
