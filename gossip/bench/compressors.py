"""`compressors`: what compression costs a node."""

from __future__ import annotations

import sys
from dataclasses import MISSING, dataclass, fields
from functools import partial

import numpy as np
import torch

import algorithms
from algorithms import QSGD, Compressor, TopK
from algorithms.randomness import Draw, generator
from gossip.bench.command import Command, Row, option, whole
from gossip.bench.timing import Case, interleaved, repeated
from gossip.network import Communicator

VALUES = {  # of fields that a class cannot do without
    "bits": 4,
    "bucket": 512,
    "compressor": QSGD(),
    "contraction": TopK(fraction=0.01),
    "fraction": 0.01,
    "levels": 16,
    "nodes": 16,
    "quantizer": QSGD(),
    "rank": 2,
    "sparsifier": TopK(fraction=0.01),
    "threshold": 0.1,
    "unbiased": QSGD(),
}


@dataclass(frozen=True)
class Compressors(Command):
    """Compressing one float32 vector, packing it for the wire, and unpacking it, against copying it. All operators
    of the library are measured, on every rank at the same time."""

    dimension: int = option(1_000_000, "entries of the vector", whole)

    def run(self, communicator: Communicator) -> list[Row]:
        rows = []
        for name, kind in sorted(exported().items()):
            compressor = build(kind)
            try:
                if compressor is None:
                    raise ValueError("it needs options that are not known here")
                compressor.check_dimension(self.dimension)
            except ValueError as error:  # the same on every rank
                if communicator.rank == 0:
                    print(f"left out {name}: {error}", file=sys.stderr)
                continue
            rows += self._measure(compressor, communicator)
        return rows

    def _measure(self, compressor: Compressor, communicator: Communicator) -> list[Row]:
        d = self.dimension
        x = torch.from_numpy(generator(0, "bench").standard_normal((1, d)).astype(np.float32))
        draw = Draw(0, "bench", [communicator.rank], 0)
        message = compressor.compress(x, draw)
        buffer = message.pack(0)
        cases: dict[str, Case] = {
            "compress": repeated(partial(compressor.compress, x, draw)),
            "pack": repeated(partial(message.pack, 0)),
            "unpack": repeated(partial(message.unpack, buffer)),
        }
        baseline = {"copy": repeated(partial(np.copyto, np.ones_like(x.numpy()), x.numpy()))}
        seconds = interleaved(cases | baseline, self.repeats, communicator)
        note = f"{int(message.bits[0]) / d:.4g} bits per entry, {compressor.paper_bits(d, 4) / d:.4g} in the paper"
        return [
            Row(
                case=f"{type(compressor).__name__} {case}",
                transport=None,
                topology=None,
                ranks=communicator.size,
                dimension=d,
                seconds=seconds[case],
                baseline="copy",
                baseline_seconds=seconds["copy"],
                note=note,
            )
            for case in cases
        ]


def exported() -> dict[str, type[Compressor]]:
    """name -> the operators that `algorithms` exports."""
    return {
        name: kind
        for name, kind in vars(algorithms).items()
        if isinstance(kind, type) and issubclass(kind, Compressor) and kind is not Compressor
    }


def build(kind: type[Compressor]) -> Compressor | None:
    """An operator with its defaults or, where these do not do, with the values above; None if neither do."""
    needed = [each.name for each in fields(kind) if each.default in (None, MISSING) and each.default_factory is MISSING]
    known = {name: VALUES[name] for name in needed if name in VALUES}
    for values in ({}, known):
        try:
            return kind(**values)
        except (TypeError, ValueError):
            continue
    return None
