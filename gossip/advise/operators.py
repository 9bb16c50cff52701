"""Compressors to choose from, with the length of their messages and what they lose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from algorithms import QSGD, Compressor, Contraction, ScaledSign, TopK
from algorithms.compressors.message import Message
from algorithms.randomness import Draw
from gossip.advise.candidates import Operator

MEASURED = 1_000_000  # entries; messages of more are as much longer

CHOICE: tuple[tuple[Compressor, Mapping[str, Any]], ...] = (
    (TopK(fraction=0.01), {"fraction": 0.01}),
    (TopK(fraction=0.1), {"fraction": 0.1}),
    (ScaledSign(), {}),
    (
        Contraction(QSGD(levels=7, norm="max", bucket=512)),
        {"compressor": "QSGD", "compressor.levels": 7, "compressor.norm": "max", "compressor.bucket": 512},
    ),
)
"""A compressor, and its options below that of the algorithm."""


def operators(parameters: int) -> list[Operator]:
    """Each on a Gaussian vector of so many entries, or of a million if there are more."""
    found = []
    for compressor, options in CHOICE:
        x, message = _compressed(compressor, parameters)
        lost = float((message.dense() - x).double().square().sum() / x.double().square().sum())
        found.append(Operator(compressor, options, message_bytes(compressor, parameters), 1 - lost))
    return found


def message_bytes(compressor: Compressor, parameters: int) -> int:
    """The length of the message of a Gaussian vector."""
    x, message = _compressed(compressor, parameters)
    return round(int(message.nbytes[0]) * parameters / x.shape[1])


def _compressed(compressor: Compressor, parameters: int) -> tuple[torch.Tensor, Message]:
    x = torch.randn(1, min(parameters, MEASURED), generator=torch.Generator().manual_seed(0))
    return x, compressor.compress(x, Draw(0, "advice", [0], 0))
