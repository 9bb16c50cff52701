"""The state of an algorithm in a loop of one's own: saved with torch, and apart from the memory of gradients."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor

from algorithms import Algorithm, Compressor, Message, Posted, State
from algorithms.state import Block, map_tensors


def saved(state: State) -> dict[str, Any]:
    """A copy of all fields but the parameters, by name, and but that these are on their way, which is only a hint."""
    fields = {name: value for name, value in vars(state).items() if name != "x"}
    for name, value in fields.items():
        if isinstance(value, Posted) and value.value is state.x:
            fields[name] = None
    return copy.deepcopy(fields)


def restored(state: State, fields: dict[str, Any]) -> State:
    """A state of the same class with these fields, copied, and the same parameters.

    Stacks like the parameters go where these are.
    """
    x = state.x

    def beside(value: Tensor) -> Tensor:
        return value.to(x.device) if value.shape == x.shape else value

    again = copy.copy(state)
    vars(again).update(map_tensors(copy.deepcopy(fields), beside))
    return again


def leave_memory(state: State, of: Tensor) -> None:
    """Give what a state has in the memory of this tensor memory of its own."""
    memory = of.untyped_storage().data_ptr()

    def own(value: Tensor) -> Tensor:
        return value.clone() if value.untyped_storage().data_ptr() == memory else value

    map_tensors(state, own)


def classes_within(algorithm: Algorithm) -> list[Any]:
    """The classes that may stand in the state of this algorithm beside tensors and numbers, for torch.load."""
    kinds: list[Any] = [Block]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return [Message, Posted, *kinds, *_compressors(algorithm)]


def _compressors(owner: object) -> list[type]:
    """The classes of the compressors in its fields, and in theirs."""
    parts = [value for value in vars(owner).values() if isinstance(value, Compressor)]
    return [kind for part in parts for kind in (type(part), *_compressors(part))]
