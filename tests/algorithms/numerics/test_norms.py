"""Norms: right, and the same bits compiled or not, whatever the other rows are; and numba is not loaded for little."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from algorithms.numerics.compiled import COMPILED, parts_of, use_compiled
from algorithms.numerics.norms import l2_norms, part_norms, row_norms, sums_of_entries

ROWS = [1.0, 1e-200, 1e200, 0.0, 3e-3]  # what rows are multiplied by: squares vanish, or overflow


def rows(dtype: torch.dtype, d: int = 700) -> torch.Tensor:
    x = torch.randn(len(ROWS), d, dtype=torch.float64, generator=torch.Generator().manual_seed(d))
    scales = torch.tensor(ROWS, dtype=torch.float64)[:, None]
    return (x * scales.clamp(0, 1e30)).to(dtype) if dtype == torch.float32 else x * scales


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_row_norms_are_those_of_each_row_alone(dtype: torch.dtype) -> None:
    x = rows(dtype)
    for whole in (0, COMPILED):
        with parts_of(whole):
            together = row_norms(x)
            alone = torch.cat([l2_norms(row, len(row)) for row in x])
            assert torch.equal(together, alone)
            assert torch.equal(together[[0, 3, 4]], row_norms(x[[0, 3, 4]]))
            np.testing.assert_allclose(together, [np.hypot.reduce(row) for row in x.double().numpy()], rtol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_norms_have_the_same_bits_compiled_or_not(dtype: torch.dtype) -> None:
    x, places = rows(dtype), [slice(0, 3), slice(3, 600), slice(650, 700)]
    found = []
    for whole in (0, COMPILED):
        with parts_of(whole):
            assert use_compiled(1) == (whole > 0)
            found.append((part_norms(x, places), row_norms(x), l2_norms(x[4], 64), sums_of_entries(x[4], 64)))
    for first, second in zip(*found, strict=True):
        assert torch.equal(first, second)
    assert found[0][0].shape == (len(ROWS), len(places))


def test_the_size_alone_decides() -> None:
    assert not use_compiled(COMPILED - 1)
    assert use_compiled(COMPILED)
    with parts_of(COMPILED):
        with parts_of(8):
            assert use_compiled(1)
        assert use_compiled(1)
    assert not use_compiled(1)


def test_numba_is_not_loaded_for_little() -> None:
    program = (
        "import sys, torch, algorithms\n"
        "from algorithms.randomness import Draw\n"
        "x = torch.randn(2, 50)\n"
        "for each in (algorithms.TopK(k=3), algorithms.QSGD(), algorithms.ScaledSign(), algorithms.RandomK(k=3),\n"
        "             algorithms.NaturalCompression(), algorithms.PowerSGD(rank=1)):\n"
        "    each.compress(x, Draw(0, 'test', [0, 1], 0)).dense()\n"
        "from algorithms.numerics.norms import row_norms\n"
        "row_norms(x)\n"
        "assert 'numba' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
