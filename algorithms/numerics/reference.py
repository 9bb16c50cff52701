"""What `loops` does with buckets, in plain torch: for accelerators and few numbers, and to check the loops against.

Only element-wise operations, each rounded by itself, so the results are the same bits.
"""

from __future__ import annotations

import torch
from torch import Tensor

LANES, STEPS = 64, 64
"""How sums run: in blocks of LANES x STEPS entries, of which entry i belongs to lane i % LANES; see `loops.sums_of`."""


def _in_buckets(x: Tensor, bucket: int) -> Tensor:
    """(buckets, bucket), the last one filled with zeros."""
    return torch.nn.functional.pad(x, (0, -len(x) % bucket)).view(-1, bucket)


def largest_of(x: Tensor, bucket: int) -> Tensor:
    """(buckets,) the largest magnitude in each."""
    return _in_buckets(x.abs(), bucket).amax(dim=1)


def sums_of(x: Tensor, squared: bool, bucket: int) -> Tensor:
    """(buckets,) the sum of the magnitudes in each, or of the squares, in double precision."""
    values = x.double() ** 2 if squared else x.abs().double()
    values = _in_buckets(values, bucket)
    while True:
        blocks = -(-values.shape[1] // (LANES * STEPS))
        padded = torch.nn.functional.pad(values, (0, blocks * LANES * STEPS - values.shape[1]))
        steps = padded.view(len(values), blocks, STEPS, LANES).unbind(dim=2)
        lanes = torch.zeros_like(steps[0])
        for step in steps:
            lanes = lanes + step
        while lanes.shape[-1] > 1:
            low, high = lanes.chunk(2, dim=-1)
            lanes = low + high
        values = lanes[..., 0]
        if blocks == 1:
            return values[:, 0]
