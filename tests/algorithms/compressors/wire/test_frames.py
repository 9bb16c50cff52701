"""Numbers and parts of payloads."""

from __future__ import annotations

import pytest
import torch

from algorithms.compressors.wire import frames


def part(*numbers: int) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.uint8)


@pytest.mark.parametrize("bound", [1, 2, 255, 256, 257, 1 << 16, (1 << 16) + 1, 1 << 40, 1 << 64])
def test_numbers(bound: int) -> None:
    size = frames.number_bytes(bound)
    assert 256**size >= bound and (size == 0 or 256 ** (size - 1) < bound)
    for number in {0, bound // 3, bound - 1}:
        packed = torch.cat([frames.from_number(number, bound), part(7, 8)])
        assert len(packed) == size + 2
        found, rest = frames.read_number(packed, bound)
        assert found == number and rest.tolist() == [7, 8]
    if size:
        with pytest.raises(ValueError, match=f"payload of {size - 1} bytes instead of at least {size}"):
            frames.read_number(torch.zeros(size - 1, dtype=torch.uint8), bound)
    if 256**size > bound:
        with pytest.raises(ValueError, match=f"number {bound}, which must be below {bound}"):
            frames.read_number(part(*bound.to_bytes(size, "little")), bound)


PARTS = [part(1, 2, 3), part(), part(4), part(5, 6)]


@pytest.mark.parametrize(
    ("lengths", "packed"),
    [
        (None, [3, 1, 2, 3, 0, 1, 4, 2, 5, 6]),
        ([3, 0, 1, 2], [1, 2, 3, 4, 5, 6]),
        ([3, 0, 1, None], [1, 2, 3, 4, 5, 6]),
        ([3, None, 1, 2], [1, 2, 3, 0, 4, 5, 6]),
        ([None, None, None, None], [3, 1, 2, 3, 0, 1, 4, 5, 6]),
    ],
)
def test_parts(lengths: list[int | None] | None, packed: list[int]) -> None:
    joined = frames.join(PARTS, lengths)
    assert joined.tolist() == packed
    found = frames.split_payload(joined, 4 if lengths is None else lengths)
    assert [each.tolist() for each in found] == [each.tolist() for each in PARTS]


def test_parts_that_are_too_short_or_too_many() -> None:
    for payload, lengths in ((part(1, 2), [3]), (part(1, 2, 3), [2]), (part(5, 1), [None, None]), (part(1), [0])):
        with pytest.raises(ValueError, match="payload of several parts is damaged"):
            frames.split_payload(payload, lengths)
    with pytest.raises(ValueError, match="payload of several parts is damaged"):
        frames.split_payload(frames.join(PARTS), 3)
