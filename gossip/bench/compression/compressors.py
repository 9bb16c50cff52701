"""`compressors`: what compression costs a node."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch

from algorithms import Compressor
from gossip.bench.command import Command, block_option, option, whole
from gossip.bench.compression.forecast import DurationForecast, prepared
from gossip.bench.compression.operators import OPERATORS, build, exported, label, named, parameters
from gossip.bench.compression.torch_forms import torch_form
from gossip.bench.timing import Case, interleaved, repeated
from gossip.console import table
from gossip.errors import say
from gossip.network import Communicator

WEIGHT = 0.3  # of a row that is added to a sum


@dataclass(frozen=True)
class CostRow:
    """One operator at one size.

    Attributes:
        operator: The name of the operator.
        parameters: What the operator was given, as Python has it.
        ranks: Number of processes.
        dimension: Entries of the vector, d.
        encode_seconds: Seconds from the vector to the packed message.
        decode_seconds: Seconds to add the packed message, times a weight, to a sum.
        copy_seconds: Seconds of `torch.Tensor.copy_` of the vector.
        torch_seconds: Seconds of a few lines of torch from the vector to the compressed one, unpacked; None where there
            are no such lines.
        bits_per_entry: Bits on the wire for an entry, header included.
        paper_bits_per_entry: Bits for an entry by the paper's formula; None where it has none.
    """

    operator: str
    parameters: str
    ranks: int
    dimension: int
    encode_seconds: float
    decode_seconds: float
    copy_seconds: float
    torch_seconds: float | None
    bits_per_entry: float
    paper_bits_per_entry: float | None

    @property
    def encode_ratio(self) -> float:
        """Time over that of the copy."""
        return self.encode_seconds / self.copy_seconds

    @property
    def decode_ratio(self) -> float:
        """Time over that of the copy."""
        return self.decode_seconds / self.copy_seconds

    @property
    def speedup_over_torch(self) -> float | None:
        """Time of torch's form over that of encoding, which packs as well."""
        return None if self.torch_seconds is None else self.torch_seconds / self.encode_seconds

    def record(self) -> dict[str, Any]:
        """What other programs get."""
        ratios = ("encode_ratio", "decode_ratio", "speedup_over_torch")
        return asdict(self) | {name: getattr(self, name) for name in ratios}


@dataclass(frozen=True)
class Compressors(Command):
    """Compressing a float32 vector to a packed message (encode), and adding what a packed message stands for, times a
    weight, to another vector (decode): in GB of the vector a second, and as the ratio of the time to that of copying
    the vector with torch. Where an operator takes a few lines of torch, encoding is compared with these too, although
    they pack nothing. All ranks measure at the same time."""

    repeats: int = option(7, "timed blocks of each case and baseline, of which the median counts", whole)
    operator: tuple[str, ...] = option((), OPERATORS.format("measure"))
    dimension: tuple[int, ...] = option((10_000, 1_000_000, 25_000_000), "entries of the vector", whole)
    block: float = block_option()
    patience: float = option(3.0, "seconds that one encoding may take; larger vectors are left out", float, least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.operator:
            named(name)  # to refuse what is none

    def run(self, communicator: Communicator) -> list[CostRow]:
        """Measure each operator at each size; collective. What cannot be measured is left out, and says why."""
        rows: list[CostRow] = []
        for name in self.operator or sorted(exported()):
            compressor = build(named(name))
            if compressor is None:
                _leave_out(name, "its parameters are not known here", communicator)
                continue
            forecast = DurationForecast(compressor, self.patience, communicator)
            for d in sorted(set(self.dimension)):
                objection = forecast.objection(d)
                if objection is not None:
                    _leave_out(f"{label(compressor)} at d = {d:,}", objection, communicator)
                    continue
                rows.append(self._measure(compressor, d, communicator))
        return rows

    def columns(self, rows: Sequence[CostRow]) -> Mapping[str, list[str]]:
        """The table: a line for each operator and size."""

        def speed(row: CostRow, seconds: float) -> str:
            return table.number(4 * row.dimension / seconds / 1e9)

        return {
            "operator": [row.operator + (f"({row.parameters})" if row.parameters else "") for row in rows],
            "ranks": [str(row.ranks) for row in rows],
            "dimension": [f"{row.dimension:,}" for row in rows],
            "bits/entry": [f"{row.bits_per_entry:.4g}" for row in rows],
            "in the paper": [
                "-" if row.paper_bits_per_entry is None else f"{row.paper_bits_per_entry:.4g}" for row in rows
            ],
            "encode GB/s": [speed(row, row.encode_seconds) for row in rows],
            "decode GB/s": [speed(row, row.decode_seconds) for row in rows],
            "copy GB/s": [speed(row, row.copy_seconds) for row in rows],
            "encode/copy": [table.number(row.encode_ratio) for row in rows],
            "decode/copy": [table.number(row.decode_ratio) for row in rows],
            "torch/encode": [
                "" if row.speedup_over_torch is None else table.number(row.speedup_over_torch) for row in rows
            ],
        }

    def _measure(self, compressor: Compressor, d: int, communicator: Communicator) -> CostRow:
        operator, x, draw = prepared(compressor, d, communicator.rank)
        message = operator.compress(x, draw)
        packed, total, copied = message.pack(0), torch.zeros(d), torch.ones_like(x)
        cases: dict[str, Case] = {
            "encode": repeated(partial(operator.compress, x, draw)),
            "decode": repeated(partial(message.add_to, total, packed, WEIGHT)),
            "copy": repeated(partial(copied.copy_, x)),
        }
        form = torch_form(compressor)
        if form is not None:
            cases["torch"] = repeated(partial(form, x[0]))
        seconds = interleaved(cases, self.repeats, communicator, shortest=self.block)
        return CostRow(
            operator=type(compressor).__name__,
            parameters=parameters(compressor),
            ranks=communicator.size,
            dimension=d,
            encode_seconds=seconds["encode"],
            decode_seconds=seconds["decode"],
            copy_seconds=seconds["copy"],
            torch_seconds=seconds.get("torch"),
            bits_per_entry=int(message.bits[0]) / d,
            paper_bits_per_entry=None if math.isnan(message.paper_bits) else message.paper_bits / d,
        )


def _leave_out(what: str, why: str, communicator: Communicator) -> None:
    if communicator.rank == 0:
        say(f"left out {what}: {why}")
