"""Compressors on the gradients of a network."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from algorithms import Composed, Compressor, Contraction, Layout, NaturalDithering, TopK
from algorithms.randomness import Draw
from gossip.bench.compression.errors import relative_errors
from gossip.bench.compression.frontier import gradients

NODES = 3


@pytest.fixture(scope="module")
def model() -> tuple[Layout, torch.Tensor]:
    """The layout of a perceptron on Mnist and its gradients on several nodes, after some steps."""
    return gradients(hidden=16, steps=60, count=NODES)


def bits_and_error(compressor: Compressor, model: tuple[Layout, torch.Tensor]) -> tuple[float, float]:
    """Bits per entry, and the squared error relative to the gradient's square, on average."""
    layout, x = model
    message = compressor.for_layout(layout).compress(x, Draw(0, "test", range(NODES), 0))
    return float(message.bits.double().mean()) / layout.d, float(relative_errors(message.dense(), x).mean())


def dithering(levels: int) -> NaturalDithering:
    return NaturalDithering(levels=levels, norm="max", bucket=512)


def alone() -> Iterator[Compressor]:
    """Natural dithering of everything, as it is and scaled to contract."""
    for levels in range(1, 6):
        yield dithering(levels)
        yield Contraction(dithering(levels))


@pytest.mark.parametrize("fraction", [0.01, 0.03, 0.1, 0.15])
def test_top_k_and_natural_dithering_together_beat_each_alone(
    model: tuple[Layout, torch.Tensor], fraction: float
) -> None:
    """Beznosikov, Horváth, Richtárik, Safaryan (2020): a lower error at no more bits."""
    together = Composed(TopK(fraction=fraction), dithering(7))
    bits, error = bits_and_error(together, model)
    # Top-k alone with as many bits keeps less than this share, and natural dithering alone has no fewer.
    richer = [bits_and_error(TopK(fraction=step * fraction / 20), model) for step in range(1, 21)]
    enough = [each for each in richer if each[0] >= bits]
    assert enough and enough[0][1] > 1.05 * error
    assert [each for each in map(lambda other: bits_and_error(other, model), alone()) if each[0] < bits] == []
    least = min((bits_and_error(other, model) for other in alone()), key=lambda each: each[0])
    assert least[0] >= bits and least[1] > error


def test_at_the_same_bits_as_natural_dithering(model: tuple[Layout, torch.Tensor]) -> None:
    """With the bits of each natural dithering, most of the fewer entries that matter are worth more than all."""
    for levels in (1, 2):
        bits, error = min(
            (bits_and_error(other, model) for other in (dithering(levels), Contraction(dithering(levels)))),
            key=lambda each: each[1],
        )
        fitting = [
            found
            for fraction in (0.1, 0.15, 0.2, 0.25, 0.3, 0.35)
            if (found := bits_and_error(Composed(TopK(fraction=fraction), dithering(5)), model))[0] <= bits
        ]
        assert min(each[1] for each in fitting) < 0.8 * error
