"""`frontier`: what compression operators lose, over the bits that they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from algorithms import Compressor, Layout
from algorithms.checks import check
from algorithms.compressors.sparsifiers.sparsifier import Sparsifier
from algorithms.randomness import Draw, generator
from gossip.bench.command import Command, option, whole
from gossip.bench.compression.errors import DATA, ErrorRow, relative_errors
from gossip.bench.compression.forecast import DurationForecast
from gossip.bench.compression.operators import OPERATORS, curve, exported, label, named, parameters
from gossip.errors import say
from gossip.network import Communicator
from gossip.workloads import Mnist

LEARNING_RATE = 0.1
FORMATS = (".pdf", ".png", ".svg")
KINDS = {  # where the class does not tell
    "Atomo": "low rank",
    "Bernoulli": "sparsifiers",
    "PowerSGD": "low rank",
    "QTopK": "combinations",
    "SignTopK": "combinations",
}


@dataclass(frozen=True)
class Frontier(Command):
    """The squared error |C(x) - x|^2 / |x|^2 of compression operators over their bits per entry, for Gaussian and
    Laplace vectors and for gradients of a perceptron on Mnist, all scaled to a mean square of 1, as a table and as a
    picture, together with the bound error >= 4^(-bits per entry) of Albasyoni, Safaryan, Condat and Richtarik (arXiv
    2010.03246). Under mpirun the first rank does it all."""

    repeats: int = option(3, "vectors of each kind, over which errors are averaged", whole)
    operator: tuple[str, ...] = option((), OPERATORS.format("show"))
    hidden: int = option(64, "width of the perceptron's hidden layer, which decides the length of all vectors", whole)
    steps: int = option(100, "steps of training before the gradient is taken", whole, least=0)
    patience: float = option(5.0, "seconds that a compression may take; slower operators are left out", float, least=0)
    output: str = option("frontier.svg", f"file for the picture, a name ending in {' or '.join(FORMATS)}")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.operator:
            named(name)  # to refuse what is none
        check(Path(self.output).suffix in FORMATS, self, "output", f"a name ending in {' or '.join(FORMATS)}")

    def files(self) -> list[str]:
        """What is going to be written: the picture, and the rows if asked for."""
        return [self.output, *super().files()]

    def run(self, communicator: Communicator) -> list[ErrorRow]:
        """Measure and draw on the first rank; collective."""
        return communicator.from_root(self._measure_and_draw)

    def columns(self, rows: Sequence[ErrorRow]) -> Mapping[str, list[str]]:
        """The table: a line for each operator and kind of data."""
        return {
            "operator": [row.operator + (f"({row.parameters})" if row.parameters else "") for row in rows],
            "kind": [row.kind for row in rows],
            "data": [row.data for row in rows],
            "bits/entry": [f"{row.bits_per_entry:.4g}" for row in rows],
            "error": [f"{row.error:.3g}" for row in rows],
            "4^-bits": [f"{row.bound:.3g}" for row in rows],
            "unbiased": ["yes" if row.unbiased else "no" for row in rows],
        }

    def _measure_and_draw(self) -> list[ErrorRow]:
        layout, vectors = gradients(self.hidden, self.steps, self.repeats)
        random = generator(0, "bench")
        data = {
            "Gaussian": torch.from_numpy(random.standard_normal(vectors.shape)).float(),
            "Laplace": torch.from_numpy(random.laplace(size=vectors.shape)).float(),
            "gradient": vectors,
        }
        data = {kind: x / x.square().mean(1, keepdim=True).sqrt() for kind, x in data.items()}
        rows = [
            ErrorRow(
                operator=name.rpartition(".")[2],
                parameters=parameters(compressor),
                data=kind,
                bits_per_entry=float(message.bits.double().mean()) / layout.d,
                error=float(relative_errors(message.dense(), data[kind]).mean()),
                unbiased=not compressor.biased,
                kind=_kind(compressor),
            )
            for name in self.operator or sorted(exported())
            for compressor in self._feasible(name, layout.d)
            for kind in DATA
            for message in [compressor.for_layout(layout).compress(data[kind], _draw(self.repeats))]
        ]
        from gossip.bench.compression.picture import draw

        draw(rows, Path(self.output))
        return rows

    def _feasible(self, name: str, d: int) -> list[Compressor]:
        """The operators of a class that take vectors of d entries, and not too long for it."""
        feasible = []
        for compressor in curve(named(name)):
            objection = DurationForecast(compressor, self.patience, Communicator()).objection(d)
            if objection is None:
                feasible.append(compressor)
            else:
                say(f"left out {label(compressor)}: {objection}")
        return feasible


def gradients(hidden: int, steps: int, count: int) -> tuple[Layout, Tensor]:
    """Gradients of a perceptron on Mnist, each over all images of one of `count` nodes, (count, d), and how the
    tensors lie in them; all at the same point, after some steps of gradient descent."""
    shards = Mnist(hidden=hidden).shard(count, seed=0)
    x = shards.initial()
    for _ in range(steps):
        x = x - LEARNING_RATE * shards.gradient(x.repeat(count, 1), range(count)).gradient.mean(0)
    return shards.layout, shards.gradient(x.repeat(count, 1), range(count)).gradient


def _draw(rows: int) -> Draw:
    return Draw(0, "bench", range(rows), 0)


def _kind(compressor: Compressor) -> str:
    if type(compressor).__name__ in KINDS:
        return KINDS[type(compressor).__name__]
    if any(isinstance(value, Compressor) for value in vars(compressor).values()):
        return "combinations"
    return "sparsifiers" if isinstance(compressor, Sparsifier) else "quantizers"
