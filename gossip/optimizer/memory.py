"""What an algorithm remembers of past gradients of a parameter: at rest with it, and taken along to a wider vector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from algorithms import Algorithm, State
from algorithms.network import Network, Posted
from algorithms.optimizers.moments import Moments
from algorithms.optimizers.torch_optimizer import TorchMemory
from algorithms.state import Block
from gossip.optimizer.places import Place


@contextmanager
def at_rest(state: State, idle: Sequence[int], places: Sequence[Place]) -> Iterator[None]:
    """Within it nothing is remembered of these parameters, which so stay where they are but for what neighbours send.

    Afterwards it is as before, as in torch's optimizers, which pass over parameters without a gradient.

    Args:
        state: Of the algorithm, whose step is made within.
        idle: The parameters, by number.
        places: Where each parameter lies.
    """
    parts = list(_past(state, idle, places))
    before = [part.clone() for part in parts]
    for part in parts:
        part.zero_()
    yield
    after = list(_past(state, idle, places))
    for part, value in zip(after, before, strict=False):  # what the first step has made is new, and 0 there
        part.copy_(value)


def _past(part: Any, idle: Sequence[int], places: Sequence[Place], inside: bool = False) -> Iterator[Tensor]:
    """Views of what is remembered of past gradients of these parameters, in a part of a state."""
    if not idle:
        return
    if isinstance(part, TorchMemory):
        kept = [part.kept.get(str(i), {}) for i in idle]
        yield from (row for each in kept for key, rows in each.items() if key != "step" for row in rows)
    elif isinstance(part, Tensor):
        if inside and part.ndim == 2 and part.shape[1] == places[-1].stop:
            yield from (part[:, places[i].columns] for i in idle)
    elif isinstance(part, Block):
        for name, each in vars(part).items():
            yield from _past(each, idle, places, inside or name in part.past)


@dataclass(frozen=True)
class Widening:
    """How the parameters from before lie among those of a wider vector.

    Attributes:
        numbers: Which parameter of the wider vector each of them is, ascending.
        places: Where each parameter of the wider vector lies.
    """

    numbers: Sequence[int]
    places: Sequence[Place]

    @cached_property
    def columns(self) -> Tensor:
        """(d before,): which numbers of the wider vector those from before are."""
        parts = [torch.arange(place.start, place.stop) for place in (self.places[i] for i in self.numbers)]
        return torch.cat(parts)

    def of(self, old: Tensor, new: Tensor | None) -> Tensor:
        """(..., d): values from before in their columns, and in the others what is new, or 0."""
        shape = (*old.shape[:-1], self.places[-1].stop)
        wide = torch.zeros(shape, dtype=old.dtype, device=old.device) if new is None else new.clone()
        wide[..., self.columns] = old
        return wide

    def late(self, moments: Moments) -> tuple[tuple[int, int, int], ...]:
        """Which columns know nothing of how many updates; see `Moments`."""
        before = [
            (int(self.columns[first]), int(self.columns[stop - 1]) + 1, updates)
            for first, stop, updates in moments.late
            if stop > first
        ]
        joined = [place for number, place in enumerate(self.places) if number not in self.numbers]
        return (*before, *((place.start, place.stop, moments.updates) for place in joined))


def widened(algorithm: Algorithm, old: State, x: Tensor, widening: Widening, network: Network) -> State:
    """The state of a model with more parameters than before, those of which nothing is remembered yet; collective.

    A method whose state says something of each node alone goes on with it. Others start anew from the models, as after
    the loss of a node, but remember the past gradients of each node.

    Args:
        algorithm: Of the wider vectors.
        old: The state of the narrower ones.
        x: (1, d), the parameters.
        widening: Where the parameters from before lie in it.
        network: Where nothing is under way.
    """
    alone = type(algorithm).survive is not Algorithm.survive and algorithm.mass(old) is None
    new = algorithm.start(x if alone else widening.of(algorithm.model(old), x), network)
    merged: State = _merged(old, new, widening, alone)
    merged.step = old.step
    return merged


def _merged(old: Any, new: Any, widening: Widening, inside: bool) -> Any:
    """A part of the wider state: inside of what is taken along with the values of the narrower one."""
    if isinstance(new, TorchMemory) and isinstance(old, TorchMemory):
        kept = old.kept and {str(i): {} for i in range(len(widening.places))}
        return TorchMemory(kept | {str(number): old.kept[str(i)] for i, number in enumerate(widening.numbers) if kept})
    if isinstance(new, Block) and type(old) is type(new):
        for name, each in vars(new).items():
            setattr(new, name, _merged(getattr(old, name), each, widening, inside or name in new.past))
        if isinstance(new, Moments) and isinstance(old, Moments):
            new.late = widening.late(old)
        return new
    if not inside or isinstance(old, Posted | None):
        return new
    if not isinstance(old, Tensor) or old.shape[-1:] != widening.columns.shape:
        return old
    return widening.of(old, new)
