"""Tensor by tensor, as deep-learning systems compress."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Self

from algorithms.compressors.combined.partition import Partition, Piece
from algorithms.compressors.compressor import Compressor
from algorithms.layout import Layout


@dataclass(frozen=True)
class PerTensor(Partition):
    """An operator on each tensor of the model by itself.

    Alistarh, Grubic, Li, Tomioka, Vojnovic, "QSGD: Communication-Efficient SGD via Gradient Quantization and
    Encoding", NeurIPS 2017, arXiv 1610.02132; Lin, Han, Mao, Wang, Dally, "Deep Gradient Compression", ICLR 2018,
    arXiv 1712.01887.

    Its alpha is the least one of the tensors, its omega the largest; bits are the sum. The operator is told the shape
    of its tensor. Tensors without entries are skipped. Draws are independent. Biases and scales of normalization are
    few numbers, and systems often send them whole: `vectors=Identity()`.

    Payload: those of the tensors in order, behind their lengths where these vary; the last one is the rest.

    Args:
        compressor: The operator.
        shapes: Of the tensors, in order. A run fills in those of its model; without, a vector is one tensor, to which
            `compressor` is applied.
        vectors: The operator of tensors of one dimension, or of none; None for the same as of the others.
    """

    shapes: tuple[tuple[int, ...], ...] | None = None
    vectors: Compressor | None = None

    @property
    def random(self) -> bool:  # type: ignore[override]
        return any(each.random for each in self._operators)

    @property
    def on_device(self) -> bool:  # type: ignore[override]
        return all(each.on_device for each in self._operators)

    @property
    def biased(self) -> bool:
        return any(each.biased for each in self._operators)

    def for_layout(self, layout: Layout) -> Self:
        return replace(self, shapes=tuple(tuple(shape) for shape in layout.shapes.values()))

    def pieces(self, d: int) -> list[Piece]:
        if self.shapes is None:
            return [Piece(self.compressor, d)]
        held = sum(map(prod, self.shapes))
        if held != d:
            raise ValueError(f"PerTensor: the tensors hold {held} numbers, the vector has {d}")
        return [
            Piece(self.operator(shape).for_layout(Layout({"x": shape})), prod(shape))
            for shape in self.shapes
            if prod(shape)
        ]

    def operator(self, shape: tuple[int, ...]) -> Compressor:
        """What compresses a tensor of this shape."""
        return self.vectors if self.vectors is not None and len(shape) < 2 else self.compressor

    @property
    def _operators(self) -> list[Compressor]:
        return [self.compressor] if self.vectors is None else [self.compressor, self.vectors]
