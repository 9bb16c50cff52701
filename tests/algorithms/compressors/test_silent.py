"""Rows of nodes that send nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algorithms import QSGD, Compressor, Identity, PerTensor, RandomK, SignTopK, TopK
from algorithms.compressors.wire import frames
from algorithms.randomness import Draw

DRAW = Draw(0, "test", range(4), 0)
SENT = torch.tensor([True, False, True, False])


@pytest.mark.parametrize(
    "compressor", [Identity(), TopK(k=2), RandomK(k=2), QSGD(), PerTensor(SignTopK(k=1), ((3,), (4,)))], ids=str
)
def test_silent_rows(compressor: Compressor) -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 7)))
    message, full = compressor.compress(x, DRAW, sent=SENT), compressor.compress(x, DRAW)
    assert message.nbytes.tolist() == [full.nbytes[0], 1, full.nbytes[2], 1]
    assert message.entropy_bits[1] == 1 and message.entropy_bits[0] == full.entropy_bits[0]
    wanted = full.dense() * SENT[:, None]
    assert torch.equal(message.dense(), wanted)
    stack = torch.ones(4, 7, dtype=torch.float64)
    message.add(stack)
    assert torch.equal(stack, 1 + wanted)
    for row in range(4):
        out = torch.ones(7, dtype=torch.float64)
        message.add_to(out, message.pack(row), 0.5)
        assert torch.equal(out, 1 + 0.5 * wanted[row])
    together = np.concatenate([message.pack(row) for row in range(4)])
    assert torch.equal(message.unpack(together), wanted)
    assert message.received(together).nbytes.tolist() == message.nbytes.tolist()
    single = compressor.compress(x[1:2], DRAW, sent=SENT[1:2])
    stack = torch.ones(1, 7, dtype=torch.float64)
    single.add(stack)
    assert torch.equal(stack, torch.ones(1, 7, dtype=torch.float64))


def test_only_the_flag_is_silent() -> None:
    message = TopK(k=2).compress(torch.ones(1, 7), Draw(0, "test", range(1), 0))
    row = message.pack(0)
    assert not frames.is_silent(row) and frames.is_silent(frames.SILENT.numpy())
    for broken in (np.ones(1, np.uint8), np.zeros(0, np.uint8), np.r_[np.zeros(1, np.uint8), row[1:]], row[:1]):
        with pytest.raises(ValueError, match="TopK: "):
            message.unpack(broken)
    with pytest.raises(ValueError, match="TopK: 2 rows where 1 were expected"):
        message.received(np.r_[row, frames.SILENT.numpy()], 1)
