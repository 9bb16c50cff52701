"""Induced compressors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algorithms import QSGD, Compressor, Identity, Induced, PermK, RandomK, ScaledSign, Threshold, TopK
from algorithms.compressors.wire import indices, symbols
from algorithms.randomness import Draw
from tests.algorithms.compressors.helpers import HEADER, compress, same_bits
from tests.algorithms.helpers import Array

PAIRS: list[tuple[Compressor, Compressor]] = [
    (TopK(k=3), QSGD(levels=2)),
    (ScaledSign(), RandomK(k=2, unbiased=True)),
    (RandomK(k=2), QSGD(levels=1)),
]


def decoded(compressor: Compressor, x: Array, key: object) -> Array:
    out = torch.empty(len(x), dtype=torch.float64)
    compressor.decode(compressor.encode(torch.from_numpy(x), key), out)  # type: ignore[arg-type]
    return out.numpy()


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=str)
def test_induced(first: Compressor, second: Compressor) -> None:
    x = np.random.default_rng(0).normal(size=(4, 11))
    found = compress(Induced(first, second), x).dense().numpy()
    for row in range(4):
        key = Draw(0, "compression", range(4), 0).key(row)
        begun = decoded(first, x[row], key.part(0))
        np.testing.assert_array_equal(found[row], begun + decoded(second, x[row] - begun, key.part(1)))
    omega = second.omega(11) * (1 - first.alpha(11))
    assert Induced(first, second).omega(11) == pytest.approx(omega)
    assert omega < second.omega(11)


def test_length() -> None:
    x = np.random.default_rng(0).normal(size=(1, 11))
    kept = np.flatnonzero(np.abs(x[0]) >= np.sort(np.abs(x[0]))[-3])
    sparse = len(indices.encode(kept, 11)) + 3 * 8
    quantized = 8 + symbols.length(11, 5)
    # The length of what Top-k makes varies, so it is sent; that of signs is known.
    assert compress(Induced(TopK(k=3), QSGD(levels=2)), x).nbytes.tolist() == [HEADER + 1 + sparse + quantized]
    assert compress(Induced(ScaledSign(), QSGD(levels=2)), x).nbytes.tolist() == [HEADER + 8 + 2 + quantized]
    assert Induced(ScaledSign(), QSGD(levels=2)).payload_bytes(11, 8) == 8 + 2 + quantized
    both = Induced(TopK(k=3), QSGD(levels=2))
    assert both.paper_bits(11, 4) == TopK(k=3).paper_bits(11, 4) + QSGD(levels=2).paper_bits(11, 4)


def test_equal_parts_and_exact_ones() -> None:
    x = torch.randn(2, 9, generator=torch.Generator().manual_seed(0)).double()
    assert same_bits(compress(Induced(Identity(), QSGD()), x).dense(), x)
    assert Induced(Identity(), QSGD()).omega(9) == 0
    np.testing.assert_allclose(compress(Induced(TopK(k=2), Identity()), x).dense(), x, rtol=1e-15)
    assert Induced(TopK(k=2), PermK(4)).omega(8) == pytest.approx(3 * 3 / 4)


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"^Induced: unbiased = TopK\(.*\) is biased"):
        Induced(TopK(k=1), TopK(k=1))
    with pytest.raises(ValueError, match=r"^Induced: compressor = Threshold\(.*\) is no contraction"):
        Induced(Threshold(1), QSGD()).check_dimension(9)
    with pytest.raises(ValueError, match="payload"):
        Induced(TopK(k=1), QSGD()).decode(torch.tensor([200, 0], dtype=torch.uint8), torch.empty(9))
