"""Skewed symbols near their entropy: asymmetric numeral systems, by the library constriction."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.compressors.wire import frames
from algorithms.compressors.wire.frames import Bytes

LARGEST_BASE = 1 << 12  # the frequencies of more symbols would take more than they save


def encode(symbols: Tensor, base: int) -> Tensor:
    """Symbols (n,) below `base`: how often each occurs, as variable-length numbers, and the code words."""
    array = symbols.cpu().numpy()
    counts = np.bincount(array, minlength=base)
    return torch.cat([frames.varints(counts.tolist()), torch.from_numpy(words(array, counts))])


def decode(packed: Tensor, n: int, base: int) -> Tensor:
    """The n symbols, which are all there is in `packed`, as int64.

    Raises:
        ValueError: if it does not hold them.
    """
    numbers, code = frames.read_varints(packed, base)
    _expect(sum(numbers) == n)
    return torch.from_numpy(read_words(code.numpy(), np.array(numbers)))


def words(symbols: NDArray[np.int64], counts: NDArray[np.int64]) -> Bytes:
    """The code words of symbols that occur so often each, which the receiver must know."""
    import constriction

    coder = constriction.stream.stack.AnsCoder()
    if _several(counts):
        coder.encode_reverse(symbols.astype(np.int32), _model(counts))
    code = np.ascontiguousarray(coder.get_compressed(), "<u4").view(np.uint8)
    return np.trim_zeros(code, "b")  # the last word is never zero, but its highest bytes may be


def read_words(code: Bytes, counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The symbols of such code words.

    Raises:
        ValueError: if these are no such words.
    """
    import constriction

    if not _several(counts):
        _expect(not len(code))
        return np.full(counts.sum(), counts.argmax())
    padded = np.pad(code, (0, -len(code) % 4))
    coder = constriction.stream.stack.AnsCoder(padded.view("<u4").astype(np.uint32))
    found = coder.decode(_model(counts), int(counts.sum())).astype(np.int64)
    _expect((np.bincount(found, minlength=len(counts)) == counts).all())
    return found


def _expect(valid: bool | np.bool_) -> None:
    if not valid:
        raise ValueError("entropy-coded symbols are damaged")


def _several(counts: NDArray[np.int64]) -> bool:
    """Whether there is more than one kind of symbol, and so anything to code."""
    return int(np.count_nonzero(counts)) > 1


def _model(counts: NDArray[np.int64]) -> Any:
    import constriction

    return constriction.stream.model.Categorical(counts / counts.sum(), perfect=False)
