"""Letters come out of what travels as they went in."""

from __future__ import annotations

import pytest
import torch

from algorithms import QSGD
from algorithms.compressors.message import Message
from algorithms.randomness import Draw
from gossip.network.letters import LETTER, packed, unpacked
from gossip.network.mail import Letter


@pytest.mark.parametrize("label", ["", "answer", "straße"])
@pytest.mark.parametrize("d", [1, 7])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_of_a_row(dtype: torch.dtype, d: int, label: str) -> None:
    row = torch.randn(1, d).to(dtype)
    buffer = packed(Letter(3, 70_000, row, label, 2**40))
    assert int.from_bytes(buffer[:8].tobytes(), "little") == LETTER
    letter = unpacked(buffer.copy())
    assert (letter.sender, letter.to, letter.label, letter.cause) == (3, 70_000, label, 2**40)
    assert isinstance(letter.value, torch.Tensor)
    assert letter.value.dtype == dtype and torch.equal(letter.value, row)


def test_of_a_message() -> None:
    message = QSGD(levels=7).compress(torch.randn(1, 30), Draw(0, "test", (0,), 0))
    letter = unpacked(packed(Letter(0, 1, message, "model", 5)).copy())
    assert isinstance(letter.value, Message) and letter.value.compressor == QSGD(levels=7)
    assert torch.equal(letter.row, message.dense()) and letter.size == int(message.nbytes.sum())
