"""States taken apart into the rows of single nodes and what all ranks share, and put together again for any nodes.

What belongs to nodes follows from the kinds of the entries alone, never from their sizes; see `algorithms.State`. What
is shared becomes part of an outline, which is JSON; what belongs to nodes becomes named tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from algorithms import Block, Compressor, Message, Method, Posted
from gossip.checkpoint.fitting import check_fields

Outline = dict[str, Any]
NUMBERS = {float: torch.float64, int: torch.int64}


class Rows(Protocol):
    """Where the rows of nodes can be read."""

    def stack(self, name: str, nodes: Sequence[int]) -> Tensor:
        """(len(nodes), ...): the rows of at least one node."""

    def item(self, name: str, node: int) -> Tensor:
        """What a list holds for a node."""


class StateRows:
    """What states have been taken apart into.

    Args:
        algorithm: What the states belong to; it has the compressors of their messages.

    Attributes:
        outline: Section -> what its state is, the same on every rank that has nodes with data.
        rows: Name -> what the local nodes have of it.
    """

    def __init__(self, algorithm: Method) -> None:
        self.outline: dict[str, Outline] = {}
        self.rows: dict[str, Tensor] = {}
        self._algorithm = algorithm
        self._named: dict[int, tuple[str, object]] = {}  # what can be named, kept so that no identity comes again

    def take(self, section: str, state: Block, nodes: Sequence[int]) -> None:
        """Take apart a state of these local nodes.

        Raises:
            ValueError: An entry is of no kind that a state may hold, or not of so many nodes.
        """
        self.outline[section] = self._take_block(section, state, nodes)

    def name(self, value: object) -> str:
        """What a tensor, a message or what was posted is called that a state holds.

        Raises:
            ValueError: None does.
        """
        if id(value) not in self._named:
            raise ValueError(f"{type(self._algorithm).__name__} has posted what its state does not hold")
        return self._named[id(value)][0]

    def _take_block(self, name: str, block: Block, nodes: Sequence[int]) -> Outline:
        parts = {key: self._take(f"{name}.{key}", value, nodes) for key, value in vars(block).items()}
        return {"kind": "block", "class": _class_name(type(block)), "parts": parts}

    def _take(self, name: str, value: Any, nodes: Sequence[int]) -> Outline:
        if value is None or isinstance(value, bool | int | float | str):
            return {"kind": "value", "value": value}
        if isinstance(value, tuple):
            return {"kind": "tuple", "parts": [self._take(f"{name}.{i}", part, nodes) for i, part in enumerate(value)]}
        if isinstance(value, dict):
            pairs = [[key, self._take(f"{name}.{key}", part, nodes)] for key, part in value.items()]
            return {"kind": "dict", "pairs": pairs}
        if isinstance(value, Posted):
            self._named[id(value)] = name, value
            return {"kind": "posted", "value": self._take(f"{name}.value", value.value, nodes)}
        if isinstance(value, Block):
            return self._take_block(name, value, nodes)
        if id(value) in self._named:
            return {"kind": "same", "as": self._named[id(value)][0]}
        if isinstance(value, Message):
            self._named[id(value)] = name, value
            self._take_items(name, value.packed, nodes)
            made_by = value.compressor
            level = made_by.level if isinstance(made_by, Compressor) else None
            known = _compressors(self._algorithm)
            compressor = next((path for path, each in known if each.at_level(level) == made_by), None)
            if compressor is None:
                raise ValueError(f"{self._whose(name)} is a message of a compressor that the algorithm does not have")
            written = {"kind": "message", "d": value.d, "type": _written(value.dtype), "compressor": compressor}
            return written if level is None else written | {"level": list(level)}
        if isinstance(value, Tensor) and value.ndim:
            self._named[id(value)] = name, value
            self._take_stack(name, value, nodes)
            return {"kind": "stack", "shape": list(value.shape[1:]), "type": _written(value.dtype)}
        if isinstance(value, list):
            kinds = {type(item) for item in value}
            if kinds <= {Tensor}:
                self._take_items(name, value, nodes)
                return {"kind": "items"}
            if len(kinds) == 1 and (kind := kinds.pop()) in NUMBERS:
                self._take_stack(name, torch.tensor(value, dtype=NUMBERS[kind]), nodes)
                return {"kind": "numbers"}
        raise ValueError(f"{self._whose(name)} is a {type(value).__name__} of a kind that cannot be saved")

    def _take_stack(self, name: str, stack: Tensor, nodes: Sequence[int]) -> None:
        self._check(name, len(stack), nodes)
        self.rows[name] = stack.detach().cpu().contiguous()

    def _take_items(self, name: str, items: Sequence[Tensor], nodes: Sequence[int]) -> None:
        self._check(name, len(items), nodes)
        for node, item in zip(nodes, items, strict=True):
            self.rows[_of_node(name, node)] = item.detach().cpu().contiguous()

    def _check(self, name: str, size: int, nodes: Sequence[int]) -> None:
        if size != len(nodes):
            raise ValueError(f"{self._whose(name)} is of {size} nodes, and {len(nodes)} are there")

    def _whose(self, name: str) -> str:
        return f"{type(self._algorithm).__name__}: what the state has as {name}"


class StatesFromRows:
    """States put together again from their parts.

    Args:
        algorithm: What the states belong to.
        rows: What the nodes have.
        device: Where they go.
    """

    def __init__(self, algorithm: Method, rows: Rows, device: torch.device | str = "cpu") -> None:
        self._compressors = dict(_compressors(algorithm))
        self._rows = rows
        self._device = torch.device(device)
        self._named: dict[str, Any] = {}

    def state(self, section: str, outline: Outline, nodes: Sequence[int]) -> Any:
        """The state of these nodes.

        Raises:
            ValueError: It has a part of a class that nothing in this run uses.
        """
        return self._whole(section, outline, nodes)

    def named(self, name: str) -> Any:
        """What has been put together under this name."""
        return self._named[name]

    def _whole(self, name: str, entry: Outline, nodes: Sequence[int]) -> Any:
        match entry["kind"]:
            case "value":
                return entry["value"]
            case "tuple":
                return tuple(self._whole(f"{name}.{i}", part, nodes) for i, part in enumerate(entry["parts"]))
            case "dict":
                return {key: self._whole(f"{name}.{key}", part, nodes) for key, part in entry["pairs"]}
            case "block":
                kind = _class_named(entry["class"], name)
                parts = {key: self._whole(f"{name}.{key}", part, nodes) for key, part in entry["parts"].items()}
                check_fields(kind, parts, name)
                block = object.__new__(kind)
                vars(block).update(parts)
                return block
            case "posted":
                posted = Posted(self._whole(f"{name}.value", entry["value"], nodes))
                self._named[name] = posted
                return posted
            case "same":
                return self._named[entry["as"]]
            case "message":
                dtype, packed = _read(entry["type"]), tuple(self._items(name, nodes))
                compressor = self._compressors[entry["compressor"]]
                if "level" in entry:
                    compressor = compressor.at_level(tuple(entry["level"]))
                message = Message(compressor, entry["d"], dtype, self._device, packed)
                _check_decodes(name, message)
                self._named[name] = message
                return message
            case "stack":
                shape = (0, *entry["shape"])
                stack = self._rows.stack(name, nodes) if nodes else torch.empty(shape, dtype=_read(entry["type"]))
                if stack.shape[1:] != shape[1:] or stack.dtype != _read(entry["type"]):
                    raise TypeError(f"{name} has rows of {stack.dtype} {tuple(stack.shape[1:])}")
                self._named[name] = stack.to(self._device)
                return self._named[name]
            case "items":
                return [item.to(self._device) for item in self._items(name, nodes)]
            case _:
                return self._rows.stack(name, nodes).tolist() if nodes else []

    def _items(self, name: str, nodes: Sequence[int]) -> Iterator[Tensor]:
        return (self._rows.item(_of_node(name, node), node) for node in nodes)


def _class_name(kind: type[Block]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _class_named(name: str, whose: str) -> type[Block]:
    """The class of a block, one that is loaded: reading a checkpoint imports nothing.

    Of several it is the one defined last: a cell of a notebook that is run again leaves the class of before behind.
    """
    kinds = [Block]
    for kind in kinds:
        kinds += kind.__subclasses__()
    found = [kind for kind in kinds if _class_name(kind) == name]
    if not found:
        raise ValueError(f"what the checkpoint has as {whose} is a {name}, which nothing in this run uses")
    return found[-1]


def _check_decodes(name: str, message: Message) -> None:
    """Refuse a message now that could not be decoded later."""
    try:
        replace(message).dense()  # of a copy, which takes what it keeps with it
    except ValueError as error:
        raise TypeError(f"{name}: {error}") from error


def _of_node(name: str, node: int) -> str:
    return f"{name}/{node}"


def _compressors(owner: object, path: str = "") -> Iterator[tuple[str, Compressor]]:
    """Where in the fields of an algorithm its compressors are."""
    if is_dataclass(owner):
        for field in fields(owner):
            part, at = getattr(owner, field.name), f"{path}{field.name}"
            if isinstance(part, Compressor):
                yield at, part
            yield from _compressors(part, f"{at}.")


def _written(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _read(name: str) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, name)
    return dtype
