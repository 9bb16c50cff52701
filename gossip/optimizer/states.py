"""The state of an algorithm in a loop of one's own: saved with torch, and apart from the memory of gradients."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor

from algorithms import Algorithm, Compressor, Message, Posted, State
from algorithms.state import Block, map_tensors
from gossip.network import RunNetwork
from gossip.optimizer.groups import ACTING
from gossip.optimizer.places import Place


@dataclass(frozen=True)
class Identity:
    """Whose state it is: it fits what has the same one.

    Attributes:
        algorithm: The name of its class.
        settings: Its fields, in words, without those that parameter groups have.
        local: The class of the local optimizer; None without.
        node: The node.
        n: The number of nodes.
        shapes: Of the parameters that are trained, in the order of memory.
    """

    algorithm: str
    settings: dict[str, str]
    local: str | None
    node: int
    n: int
    shapes: list[list[int]]

    @classmethod
    def of(
        cls,
        algorithm: Algorithm,
        local: torch.optim.Optimizer | None,
        places: Sequence[Place],
        network: RunNetwork,
    ) -> Identity:
        """That of an optimizer which runs this algorithm, as it was given, on these parameters."""
        kind = None if local is None else type(local).__name__
        shapes = [list(place.shape) for place in places]
        return cls(type(algorithm).__name__, _settings(algorithm), kind, network.nodes[0], network.n, shapes)

    def check(self, given: Any, groups: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """What was saved beside the groups, if it is a state of the same.

        Args:
            given: Anything.
            groups: The parameter groups as they are.

        Raises:
            ValueError: if it is not, with the first difference.
        """
        entry = given.get("gossip") if isinstance(given, dict) else None
        if not isinstance(entry, dict):
            raise ValueError(
                "this is no state of a gossip.Optimizer, which has an entry 'gossip' beside those of torch: load what "
                "state_dict() of one has given on the same rank; from other optimizers only the model can be taken over"
            )
        if not {"state", "round", "shares", *asdict(self)} <= entry.keys():
            raise ValueError(
                "this state was saved by an older gossip and does not say whose it is: load the model alone, and let "
                "the optimizer start anew"
            )
        difference = self._difference(Identity(**{name: entry[name] for name in asdict(self)}))
        if difference is not None:
            raise ValueError(difference)
        sizes = [[len(group["params"]) for group in each] for each in (given["param_groups"], groups)]
        if sizes[0] != sizes[1]:
            raise ValueError(f"this is a state of parameter groups of {sizes[0]} parameters, and there are {sizes[1]}")
        return entry

    def _difference(self, other: Identity) -> str | None:
        if other.n != self.n:
            return f"this is the state of one of {other.n} nodes, and there are {self.n}"
        if other.node != self.node:
            return (
                f"this is the state of node {other.node} of {other.n}; each rank loads its own, and this is node "
                f"{self.node}"
            )
        if other.algorithm != self.algorithm:
            return f"a state of {other.algorithm} cannot be loaded by {self.algorithm}"
        for name, value in self.settings.items():
            if other.settings.get(name) != value:
                return (
                    f"this is a state of {self.algorithm} with {name} = {other.settings.get(name)}, and this one has "
                    f"{name} = {value}: make it with the same settings"
                )
        if other.local != self.local:
            return (
                f"this is a state with {_of_local(other.local)}, and this gossip.Optimizer has {_of_local(self.local)}"
            )
        if len(other.shapes) != len(self.shapes):
            return f"this is a state of {len(other.shapes)} trained parameters, and there are {len(self.shapes)}"
        for number, (shape, own) in enumerate(zip(other.shapes, self.shapes, strict=True)):
            if shape != own:
                return f"this is a state of other parameters: number {number} has shape {shape} there and {own} here"
        return None


def _of_local(name: str | None) -> str:
    return "no local optimizer" if name is None else f"the local optimizer {name}"


def _settings(algorithm: Algorithm, path: str = "") -> dict[str, str]:
    """Those of an algorithm and of a method within it that parameter groups do not set."""
    found: dict[str, str] = {}
    for field in fields(algorithm):
        value, name = getattr(algorithm, field.name), f"{path}{field.name}"
        if isinstance(value, Algorithm):
            found |= {name: type(value).__name__} | _settings(value, f"{name}.")
        elif field.name not in ACTING:
            found[name] = in_words(value)
    return found


def in_words(value: object) -> str:
    """A setting, the same in every process: functions and other objects by their names."""
    text = repr(value)
    return text if " at 0x" not in text else f"{type(value).__name__} {getattr(value, '__qualname__', '')}".strip()


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
    """The classes of the compressors in its fields, and in theirs, and in those of a method within it."""
    parts = [value for value in vars(owner).values() if isinstance(value, Compressor | Algorithm)]
    within = [kind for part in parts for kind in _compressors(part)]
    return [type(part) for part in parts if isinstance(part, Compressor)] + within
