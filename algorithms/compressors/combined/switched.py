"""One of two operators on each tensor of the model, which may change from round to round."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple, Self

import torch
from torch import Tensor

from algorithms.compressors.compressor import Compressor
from algorithms.compressors.linear import Averaging, LinearCompressor
from algorithms.compressors.message import Message
from algorithms.compressors.sparsifiers.top_k import TopK
from algorithms.compressors.wire import frames
from algorithms.layout import Layout
from algorithms.randomness import Draw, Key
from algorithms.state import Block


class Group(NamedTuple):
    """The tensors that one of the operators compresses together."""

    compressor: Compressor
    entries: Tensor
    """Where their numbers lie in the vector."""
    layout: Layout


@dataclass
class SwitchedMemory(Block):
    """What the two operators remember of their tensors.

    Attributes:
        chosen: The tensors for which this is: those of the light operator.
        parts: The memories of the light operator and of the strong one; None of one that does not remember.
    """

    chosen: tuple[bool, ...]
    parts: tuple[Block | None, Block | None]


@dataclass(frozen=True)
class Switched(LinearCompressor):
    """A light or a strong compression of each tensor of the model, for `Accordion`, which chooses.

    Agarwal, Wang, Lee, Venkataraman, Papailiopoulos, "Adaptive Gradient Communication via Critical Learning Regime
    Identification", MLSys 2021, arXiv 2010.16248.

    The tensors that are compressed lightly are one vector, and the others are another: an operator such as `PowerSGD`
    or `PerTensor` is told their shapes. It is linear where both operators are, and averages the two vectors one after
    the other. Its alpha and omega are the worse ones of both operators on all tensors, whichever are chosen; its bits
    are those of the two vectors. What an operator remembers is forgotten where it gets other tensors.

    Payload: that of the light operator and that of the strong one, each behind its length if it varies.

    Args:
        light: The operator for tensors that must lose little.
        strong: That for the others.
        chosen: (tensors,) which of them are compressed lightly; none by default.
        shapes: Of the tensors, in order. A run fills in those of its model; without, a vector is one tensor.
    """

    light: Compressor = field(default_factory=lambda: TopK(fraction=0.25))
    strong: Compressor = field(default_factory=lambda: TopK(fraction=0.01))
    chosen: tuple[bool, ...] | None = None
    shapes: tuple[tuple[int, ...], ...] | None = None

    def for_layout(self, layout: Layout) -> Self:
        return replace(self, shapes=tuple(tuple(shape) for shape in layout.shapes.values()))

    @property
    def level(self) -> tuple[bool, ...] | None:
        return self.chosen

    def at_level(self, level: tuple[bool, ...] | None) -> Self:
        return replace(self, chosen=level)

    @property
    def random(self) -> bool:  # type: ignore[override]
        return self.light.random or self.strong.random

    @property
    def biased(self) -> bool:
        return self.light.biased or self.strong.biased

    @property
    def linear(self) -> bool:
        return all(isinstance(each, LinearCompressor) and each.linear for each in (self.light, self.strong))

    def tensors(self, d: int) -> Layout:
        """The tensors of a vector of d numbers.

        Raises:
            ValueError: if those of the model hold another number of them.
        """
        layout = Layout({str(i): shape for i, shape in enumerate(self.shapes or ((d,),))})
        if layout.d != d:
            raise ValueError(f"Switched: the tensors hold {layout.d} numbers, the vector has {d}")
        return layout

    def groups(self, d: int) -> tuple[Group | None, Group | None]:
        """The tensors of the light operator and those of the strong one; None for no tensors."""
        return _groups(self.light, self.strong, tuple(self.tensors(d).shapes.values()), self._choice(d))

    def start(self, layout: Layout, k: int, *, dtype: torch.dtype = torch.float32) -> Block | None:
        if not any(self._whole(each, layout.d).start(layout, k, dtype=dtype) for each in (self.light, self.strong)):
            return None
        memory = SwitchedMemory((), (None, None))
        self._refresh(memory, layout.d, k, dtype)
        return memory

    def compress(self, x: Tensor, draw: Draw, memory: Block | None = None, *, sent: Tensor | None = None) -> Message:
        self._refresh(memory, x.shape[1], len(x), x.dtype)
        return super().compress(x, draw, memory, sent=sent)

    def encode(self, x: Tensor, key: Key, memory: Block | None = None) -> Tensor:
        groups = self.groups(len(x))
        payloads = [
            group.compressor.encoded(x[group.entries], key.part(i), _part(memory, i))
            for i, group in enumerate(groups)
            if group is not None
        ]
        return frames.join(payloads, _lengths(groups, x.itemsize))

    def decode(self, payload: Tensor, out: Tensor) -> None:
        groups = self.groups(len(out))
        payloads = iter(frames.split_payload(payload, _lengths(groups, out.itemsize)))
        for group in groups:
            if group is not None:
                part = torch.empty(len(group.entries), dtype=out.dtype)
                group.compressor.decode(next(payloads), part)
                out[group.entries] = part

    def mean_and_own(
        self, x: Tensor, network: Averaging, draw: Draw, memory: Block | None = None
    ) -> tuple[Tensor, Tensor]:
        self._refresh(memory, x.shape[1], len(x), x.dtype)
        mean, own = torch.empty_like(x[0]), torch.empty_like(x)
        for i, group in enumerate(self.groups(x.shape[1])):
            if group is not None:
                assert isinstance(group.compressor, LinearCompressor)
                part = replace(draw, purpose=f"{draw.purpose} {i}")
                rows = x[:, group.entries].contiguous()
                found = group.compressor.mean_and_own(rows, network, part, _part(memory, i))
                mean[group.entries], own[:, group.entries] = found
        return mean, own

    def check_dimension(self, d: int) -> None:
        for each in (self.light, self.strong):
            self._whole(each, d).check_dimension(d)

    def omega(self, d: int) -> float:
        return max(self._whole(each, d).omega(d) for each in (self.light, self.strong))

    def alpha(self, d: int) -> float:
        return min(self._whole(each, d).alpha(d) for each in (self.light, self.strong))

    def paper_bits(self, d: int, itemsize: int) -> float:
        groups = [group for group in self.groups(d) if group is not None]
        return sum(group.compressor.paper_bits(len(group.entries), itemsize) for group in groups)

    def entropy_bits(self, payload: Tensor, d: int, itemsize: int) -> float:
        groups = self.groups(d)
        payloads = frames.split_payload(payload, _lengths(groups, itemsize))
        present = (group for group in groups if group is not None)
        return sum(
            group.compressor.entropy_bits(packed, len(group.entries), itemsize)
            for group, packed in zip(present, payloads, strict=True)
        )

    def _choice(self, d: int) -> tuple[bool, ...]:
        """Which tensors are compressed lightly."""
        tensors = len(self.tensors(d).shapes)
        chosen = self.chosen or (False,) * tensors
        if len(chosen) != tensors:
            raise ValueError(f"Switched: {len(chosen)} choices for {tensors} tensors")
        return chosen

    def _whole(self, operator: Compressor, d: int) -> Compressor:
        """One of the operators for all tensors."""
        return operator.for_layout(self.tensors(d))

    def _refresh(self, memory: Block | None, d: int, k: int, dtype: torch.dtype) -> None:
        """Start what is remembered anew if it is of other tensors than those of today."""
        if memory is None:
            return
        assert isinstance(memory, SwitchedMemory), "a memory that Switched.start gave"
        chosen = self._choice(d)
        if memory.chosen != chosen:
            light, strong = (group and group.compressor.start(group.layout, k, dtype=dtype) for group in self.groups(d))
            memory.chosen, memory.parts = chosen, (light or None, strong or None)


@lru_cache(maxsize=64)
def _groups(
    light: Compressor, strong: Compressor, shapes: tuple[tuple[int, ...], ...], chosen: tuple[bool, ...]
) -> tuple[Group | None, Group | None]:
    places = Layout({str(i): shape for i, shape in enumerate(shapes)}).places

    def group(compressor: Compressor, wanted: bool) -> Group | None:
        numbers = [i for i, place in enumerate(places) if chosen[i] == wanted and place.stop > place.start]
        if not numbers:
            return None
        layout = Layout({str(i): shapes[i] for i in numbers})
        entries = torch.cat([torch.arange(places[i].start, places[i].stop) for i in numbers])
        return Group(compressor.for_layout(layout), entries, layout)

    return group(light, True), group(strong, False)


def _part(memory: Block | None, i: int) -> Block | None:
    if memory is None:
        return None
    assert isinstance(memory, SwitchedMemory), "a memory that Switched.start gave"
    return memory.parts[i]


def _lengths(groups: tuple[Group | None, Group | None], itemsize: int) -> list[int | None]:
    return [each.compressor.payload_bytes(len(each.entries), itemsize) for each in groups if each is not None]
