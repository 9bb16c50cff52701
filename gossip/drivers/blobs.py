"""What one node of an asynchronous run has, as bytes, and back.

A node has a program, whose fields are its own, and what it waits for: nothing that would be a row of a stack. So it
becomes one blob, which goes wherever the node goes. Reading one makes no object but of the classes that a program is
made of, and runs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from algorithms import Block, Compressor, Message, Method, NodeProgram

OUTLINE = "outline"
PLAIN = (bool, int, float, str, type(None))


def packed(tree: Any, method: Method) -> Tensor:
    """(bytes,) uint8: a tree of tensors, messages, numbers, texts, lists, tuples, dicts, blocks and programs.

    Args:
        tree: What it is.
        method: Whose it is: itself and its parts, such as compressors, are left out and known by their places in it.

    Raises:
        ValueError: A part is of another kind.
    """
    import safetensors.torch

    tensors: dict[str, Tensor] = {}
    outline = _Packer(method, tensors).outline(tree, "")
    content = safetensors.torch.save(tensors, {OUTLINE: json.dumps(outline)})
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def unpacked(blob: Tensor, method: Method) -> Any:
    """What `packed` was given.

    Raises:
        ValueError, or another error that malformed data lead to: It is damaged, or of a method with other parts.
    """
    import safetensors
    import safetensors.torch

    content = blob.numpy().tobytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    tensors = safetensors.torch.load(content)
    return _Unpacker(method, tensors).whole(json.loads(header["__metadata__"][OUTLINE]))


def parts_of(owner: object, path: str = "") -> Iterator[tuple[str, object]]:
    """What a method consists of, by where it is: itself, and all of its fields that have fields."""
    yield path, owner
    for field in fields(owner):  # type: ignore[arg-type]
        part = getattr(owner, field.name)
        if is_dataclass(part):
            yield from parts_of(part, f"{path}.{field.name}")


class _Packer:
    def __init__(self, method: Method, tensors: dict[str, Tensor]) -> None:
        self._places = {id(part): path for path, part in parts_of(method)}
        self._parts = list(parts_of(method))  # kept, so that no identity comes again
        self._method, self._tensors = method, tensors

    def outline(self, value: Any, name: str) -> Any:
        if id(value) in self._places:
            return {"part": self._places[id(value)]}
        if isinstance(value, Tensor):
            return {"tensor": self._keep(value)}
        if isinstance(value, Message):
            place = next((path for path, part in self._parts if part == value.compressor), None)
            if place is None:
                raise ValueError(f"{self._whose(name)} is a message of a compressor that the method does not have")
            rows = [self._keep(row) for row in value.packed]
            return {"message": rows, "d": value.d, "type": _name(value.dtype), "compressor": place}
        if isinstance(value, PLAIN):
            return {"value": value}
        if isinstance(value, list | tuple):
            kind = "list" if isinstance(value, list) else "tuple"
            return {kind: [self.outline(part, f"{name}[{i}]") for i, part in enumerate(value)]}
        if isinstance(value, dict):
            return {"dict": [[self.outline(k, name), self.outline(v, f"{name}[{k}]")] for k, v in value.items()]}
        if isinstance(value, Block | NodeProgram):
            kind = f"{type(value).__module__}.{type(value).__qualname__}"
            return {"object": kind, "parts": {k: self.outline(v, f"{name}.{k}") for k, v in vars(value).items()}}
        raise ValueError(f"{self._whose(name)} is a {type(value).__name__} of a kind that cannot be saved")

    def _keep(self, tensor: Tensor) -> str:
        key = str(len(self._tensors))
        self._tensors[key] = tensor.detach().cpu().contiguous().clone()
        return key

    def _whose(self, name: str) -> str:
        return f"{type(self._method).__name__}: what a node has as {name.removeprefix('.')}"


class _Unpacker:
    def __init__(self, method: Method, tensors: dict[str, Tensor]) -> None:
        self._parts, self._tensors = dict(parts_of(method)), tensors

    def whole(self, entry: Any) -> Any:
        match entry:
            case {"part": path}:
                return self._parts[path]
            case {"tensor": key}:
                return self._tensors[key]
            case {"message": rows, "d": d, "type": name, "compressor": place}:
                compressor = self._parts[place]
                assert isinstance(compressor, Compressor)
                kept = tuple(self._tensors[key] for key in rows)
                return Message(compressor, d, getattr(torch, name), torch.device("cpu"), kept)
            case {"value": value}:
                return value
            case {"list": parts}:
                return [self.whole(part) for part in parts]
            case {"tuple": parts}:
                return tuple(self.whole(part) for part in parts)
            case {"dict": pairs}:
                return {self.whole(key): self.whole(value) for key, value in pairs}
            case {"object": name, "parts": parts}:
                kind = _class_named(name)
                made: Any = object.__new__(kind)
                vars(made).update({key: self.whole(value) for key, value in parts.items()})
                return made
            case _:
                raise ValueError("a part of no known kind")


def _class_named(name: str) -> type:
    """A class of blocks or programs that is loaded: reading imports nothing. Of several the one defined last."""
    kinds: list[type] = [Block, NodeProgram]
    for kind in kinds:
        kinds += kind.__subclasses__()
    found = [kind for kind in kinds if f"{kind.__module__}.{kind.__qualname__}" == name]
    if not found:
        raise ValueError(f"a node has a {name}, which nothing in this run uses")
    return found[-1]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
