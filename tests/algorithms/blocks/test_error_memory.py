"""Error feedback, and what happens without it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms import QSGD, Compressor, Contraction, Identity, RandomBlock, RandomK, ScaledSign, Threshold, TopK
from algorithms.blocks.error_memory import ErrorMemory
from algorithms.randomness import Draw

EXACT = [TopK(k=1), RandomK(k=2), RandomBlock(2, 3), Threshold(0.25), Identity()]  # what is kept is kept as it is


def draw(nodes: int, step: int) -> Draw:
    return Draw(0, "compression", range(nodes), step)


def dyadic(rows: int, d: int, seed: int) -> Tensor:
    """Multiples of 1/64 of which sums of a few hundred are exact."""
    return torch.from_numpy(np.random.default_rng(seed).integers(-500, 500, (rows, d)) / 64)


@pytest.mark.parametrize("compressor", EXACT, ids=str)
def test_what_was_sent_and_the_memory_are_all_there_was(compressor: Compressor) -> None:
    """The virtual iterate x - e follows SGD exactly, whatever is lost."""
    x, exact = dyadic(4, 6, 0), dyadic(4, 6, 0)
    error = ErrorMemory.start(x, compressor)
    lost = torch.zeros(4, 6, dtype=torch.bool)
    for step in range(50):
        update = 0.25 * dyadic(4, 6, step + 1)  # lr times a gradient
        x = x - error.compress(update, compressor, draw(4, step)).dense()
        exact = exact - update
        assert torch.equal(x - error.lost, exact)
        lost |= error.lost != 0
    assert lost.any() == (compressor != Identity())


@pytest.mark.parametrize("compressor", [ScaledSign(), Contraction(QSGD(levels=2)), ScaledSign(bucket=2)], ids=str)
def test_the_virtual_iterate_up_to_rounding(compressor: Compressor) -> None:
    x, exact = dyadic(4, 6, 0), dyadic(4, 6, 0)
    error = ErrorMemory.start(x, compressor)
    for step in range(50):
        update = 0.25 * dyadic(4, 6, step + 1)
        x = x - error.compress(update, compressor, draw(4, step)).dense()
        exact = exact - update
        torch.testing.assert_close(x - error.lost, exact, rtol=0, atol=1e-11)
    assert error.lost.abs().max() > 0.1


def test_without_compression_it_is_sgd() -> None:
    x = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    error = ErrorMemory.start(x, Identity())
    exact = x.clone()
    for step in range(10):
        update = 0.1 * x.sin()
        x = x - error.compress(update, Identity(), draw(3, step)).dense()
        exact = exact - 0.1 * exact.sin()
        assert torch.equal(x, exact)
        assert not error.lost.any()


def test_a_message_is_of_the_value_plus_the_memory() -> None:
    error = ErrorMemory.start(torch.zeros(1, 3), TopK(k=1))
    first = error.compress(torch.tensor([[1.0, 3.0, 2.0]]), TopK(k=1), draw(1, 0))
    assert first.dense().tolist() == [[0, 3, 0]] and error.lost.tolist() == [[1, 0, 2]]
    second = error.compress(torch.tensor([[1.5, 0.0, -0.25]]), TopK(k=1), draw(1, 1))
    assert second.dense().tolist() == [[2.5, 0, 0]] and error.lost.tolist() == [[0, 0, 1.75]]


# f_i(x) = <a_i, x>^2 + |x|^2 / 4 at three nodes (Beznosikov, Horváth, Richtárik, Safaryan, Example 1).
A = torch.tensor([[-3.0, 2, 2], [2, -3, 2], [2, 2, -3]], dtype=torch.float64)


def gradients(x: Tensor) -> Tensor:
    """(3, 3): of f_i at the x (3,) that all nodes have."""
    return 2 * (A @ x)[:, None] * A + x / 2


@pytest.mark.parametrize("lr", [0.005, 0.02, 0.5])
def test_top_1_without_error_feedback_diverges(lr: float) -> None:
    """From (t, t, t) all gradients are (t/2) (-11, 9, 9) and its permutations, of which Top-1 keeps what misleads."""
    x = torch.full((3,), 0.7, dtype=torch.float64)
    assert gradients(x)[0].tolist() == pytest.approx([0.35 * each for each in (-11, 9, 9)])
    for step in range(1, 40):
        x = x - lr * TopK(k=1).compress(gradients(x), draw(3, step)).dense().mean(dim=0)
        assert x.tolist() == pytest.approx([0.7 * (1 + 11 * lr / 6) ** step] * 3, rel=1e-12)


@pytest.mark.parametrize(("lr", "steps"), [(0.02, 400), (0.05, 200)])
def test_top_1_with_error_feedback_converges(lr: float, steps: int) -> None:
    x = torch.full((3, 3), 0.7, dtype=torch.float64)
    error = ErrorMemory.start(x, TopK(k=1))
    for step in range(steps):
        update = lr * gradients(x[0])
        x = x - error.compress(update, TopK(k=1), draw(3, step)).dense().mean(dim=0)
    assert x.abs().max() < 1e-3
