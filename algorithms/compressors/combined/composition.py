"""A quantizer of the entries that a sparsifier keeps: what `Composed`, `QTopK` and `SignTopK` share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor

from algorithms.compressors.compressor import Compressor
from algorithms.compressors.remembering import memory_of_parts, part_memory
from algorithms.compressors.sparsifiers.sparsifier import Sparsifier
from algorithms.compressors.theory import B1, B2, B3
from algorithms.compressors.wire import frames, scaling
from algorithms.layout import Layout
from algorithms.randomness import Key
from algorithms.state import Block


class SparsifierThenQuantizer(NamedTuple):
    """The steps of an operator: c Q(T) for the entries T that the sparsifier keeps.

    Attributes:
        sparsifier: What keeps some of the entries.
        quantizer: Q.
        scaled: Whether c = 1 / (1 + omega) for an unbiased Q after a biased sparsifier; else c = 1.
    """

    sparsifier: Sparsifier
    quantizer: Compressor
    scaled: bool


@dataclass(frozen=True)
class Composition(Compressor):
    """What `Composed` does with the parts that a class names."""

    @property
    def parts(self) -> SparsifierThenQuantizer:
        raise NotImplementedError

    @property
    def random(self) -> bool:  # type: ignore[override]
        return self.parts.sparsifier.random or self.parts.quantizer.random

    @property
    def on_device(self) -> bool:  # type: ignore[override]
        return self.parts.sparsifier.on_device and self.parts.quantizer.on_device

    @property
    def biased(self) -> bool:
        return self.parts.sparsifier.biased or self.parts.quantizer.biased

    def start(self, layout: Layout, k: int, *, dtype: torch.dtype = torch.float32) -> Block | None:
        """That of the sparsifier and, where it always keeps as many entries, that of the quantizer for so many."""
        sparsifier, quantizer, _ = self.parts
        sizes = sparsifier.sizes(layout.d)
        second = quantizer.start(Layout.vector(sizes[0]), k, dtype=dtype) if len(sizes) == 1 else None
        return memory_of_parts([sparsifier.start(layout, k, dtype=dtype), second])

    def encode(self, x: Tensor, key: Key, memory: Block | None = None) -> Tensor:
        sparsifier, quantizer, _ = self.parts
        kept, section = sparsifier.select(x, key.part(0), part_memory(memory, 0))
        sections = [section.to(x.device)]
        if len(kept):
            sections.append(
                quantizer.encoded(x.index_select(0, kept), key.part(1), part_memory(memory, 1)).to(x.device)
            )
        payload = torch.cat(sections)
        if not sparsifier.biased:  # which makes numbers larger
            scaling.try_decoding(payload, x, self)
        return payload

    def decode(self, payload: Tensor, out: Tensor) -> None:
        kept, values = self._read(payload, out)
        out[:] = 0
        out.index_copy_(0, kept, values)

    def accumulate(self, payload: Tensor, weight: float, out: Tensor) -> None:
        kept, values = self._read(payload, out)
        out.index_add_(0, kept, weight * values)

    def _read(self, payload: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        sparsifier, quantizer, _ = self.parts
        kept, rest = sparsifier.read(payload, len(out))
        values = out.new_empty(len(kept))
        if len(kept):
            quantizer.decode(rest, values)
            scale = sparsifier.scale(payload, len(out)) * self._shrinkage(len(kept))
            values = values if scale == 1 else frames.finite(values * scale)
        else:
            self.check_length(rest, 0)
        return kept.to(out.device), values

    def for_layout(self, layout: Layout) -> Self:
        return self  # the kept entries make no tensors

    def check_dimension(self, d: int) -> None:
        sparsifier, quantizer, _ = self.parts
        sparsifier.check_dimension(d)
        sizes = sparsifier.sizes(d)
        for k in {max(1, sizes[0]), sizes[-1]}:
            quantizer.check_dimension(k)
            if not self._shrinkage(k) > 0:
                raise ValueError(
                    f"{type(self).__name__}: no omega is known of {quantizer} to scale with; use scaled = False"
                )

    def omega(self, d: int) -> float:
        sparsifier = self.parts.sparsifier
        return math.inf if self.biased else (1 + sparsifier.omega(d)) * (1 + self._largest_omega(d)) - 1

    def alpha(self, d: int) -> float:
        """E|C(x) - x|^2 = |x|^2 - |T|^2 + E|Q(T) - T|^2 for the kept entries T of a biased sparsifier."""
        sparsifier = self.parts.sparsifier
        if not sparsifier.biased or sparsifier.alpha(d) == 0:
            return super().alpha(d)
        sizes = self._sizes(d)
        if sparsifier.largest and self._shrinkage(sizes[0]) == 1:
            return self.parts.quantizer.alpha_of_largest(sizes[0], d)
        return sparsifier.alpha(d) * min(self._contraction(k) for k in sizes)

    def b1(self, d: int) -> B1 | None:
        if not self._projects(d):
            return super().b1(d)
        scale = min(self._shrinkage(k) for k in self._sizes(d))
        return B1(scale**2 * self.parts.sparsifier.alpha(d), self._beta(d))

    def b2(self, d: int) -> B2 | None:
        if not self._projects(d):
            return super().b2(d)
        scale = min(self._shrinkage(k) for k in self._sizes(d))
        return B2(scale * self.parts.sparsifier.alpha(d), self._beta(d))

    def b3(self, d: int) -> B3 | None:
        if not self._projects(d) or self.parts.scaled:
            return super().b3(d)
        zeta = 1 + self._largest_omega(d)
        return B3(zeta / self.parts.sparsifier.alpha(d), 1 / zeta)

    def paper_bits(self, d: int, itemsize: int) -> float:
        sparsifier, quantizer, _ = self.parts
        k = max(1, round(sparsifier.kept(d)))
        return sparsifier.index_bits(d, k) + quantizer.paper_bits(k, itemsize)

    def entropy_bits(self, payload: Tensor, d: int, itemsize: int) -> float:
        sparsifier, quantizer, _ = self.parts
        kept, rest = sparsifier.read(payload, d)
        k = len(kept)
        return sparsifier.index_bits(d, k) + (quantizer.entropy_bits(rest, k, itemsize) if k else 0)

    def payload_bytes(self, d: int, itemsize: int) -> int | None:
        sparsifier, quantizer, _ = self.parts
        index, sizes = sparsifier.index_bytes(d), sparsifier.sizes(d)
        numbers = quantizer.payload_bytes(sizes[0], itemsize) if len(sizes) == 1 else None
        return None if index is None or numbers is None else index + numbers

    def _sizes(self, d: int) -> range:
        sizes = self.parts.sparsifier.sizes(d)
        return sizes if sizes[0] else sizes[1:]

    def _shrinkage(self, k: int) -> float:
        """What k quantized entries are multiplied by because of the quantizer's variance."""
        sparsifier, quantizer, scaled = self.parts
        shrinks = scaled and sparsifier.biased and not quantizer.biased
        return 1 / (1 + quantizer.omega(k)) if shrinks else 1.0

    def _contraction(self, k: int) -> float:
        """By how much the quantizer, scaled or not, contracts k entries."""
        shrinkage = self._shrinkage(k)
        return shrinkage if shrinkage < 1 else self.parts.quantizer.alpha(k)

    def _largest_omega(self, d: int) -> float:
        return max(self.parts.quantizer.omega(k) for k in self._sizes(d))

    def _projects(self, d: int) -> bool:
        """Whether this is an unbiased quantizer with a known variance, after a projection that contracts."""
        sparsifier, quantizer, _ = self.parts
        known = sparsifier.biased and sparsifier.alpha(d) > 0 and not quantizer.biased
        return known and math.isfinite(self._largest_omega(d))

    def _beta(self, d: int) -> float:
        return 1 if self.parts.scaled else 1 + self._largest_omega(d)
