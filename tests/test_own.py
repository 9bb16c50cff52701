"""Algorithms, compressors and topologies of one's own, as the README and docs/own.md have them, by import path."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch

import gossip
from algorithms import (
    QSGD,
    Blocks,
    Cedas,
    ChocoSGD,
    Composed,
    Compressor,
    Contraction,
    DecentralizedSGD,
    Full,
    Induced,
    RandomK,
    TopK,
)
from algorithms.randomness import Draw
from gossip.bench.__main__ import main as bench
from gossip.errors import UsageError
from gossip.options.command_line import parse
from gossip.workloads import LeastSquares
from tests.conftest import REPOSITORY
from topologies import ring
from topologies.command.main import main as topologies

BLOCKS = [
    text
    for page in ("README.md", "docs/own.md")
    for text in re.findall(r"```python\n(.*?)```", (REPOSITORY / page).read_text(), re.DOTALL)
]
MODULES = {
    "damped": "DampedSGD",
    "halved": "EveryOther",
    "mine": "small_world",
    "feedback": "FeedbackSGD",
    "printing": "Printing",
}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the files of the documentation, in which the command runs."""
    for name, word in MODULES.items():
        (text,) = [each for each in BLOCKS if f"class {word}" in each or f"def {word}(" in each]
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield tmp_path
    for name in MODULES:
        sys.modules.pop(name, None)


def imported(name: str) -> ModuleType:
    return importlib.import_module(name)


def problem() -> LeastSquares:
    random = np.random.default_rng(0)
    features = random.normal(size=(8, 20, 5))
    return LeastSquares(features, features @ random.normal(size=5))


def solved(algorithm: Any, steps: int = 400) -> float:
    result = gossip.run(problem(), ring(8), algorithm, oracle=Full(), steps=steps, output=None)
    return float(result.summary["distance_to_optimum"])


def test_a_method_that_sends_messages(own: Path) -> None:
    kind = imported("feedback").FeedbackSGD
    assert solved(kind(lr=0.05, gamma=0.3)) < 2e-2
    assert solved(kind(lr=0.05, gamma=0.3, compressor=QSGD(levels=7))) < 2e-2
    assert solved(imported("damped").DampedSGD(lr=0.05), 200) < 1e-3


def test_a_compressor_that_gives_bytes(own: Path) -> None:
    every_other = imported("halved").EveryOther()
    assert solved(ChocoSGD(lr=0.05, gamma=0.3, compressor=every_other)) < 1e-3
    x = torch.randn(64, 9, generator=torch.Generator().manual_seed(0))
    found = every_other.compress(x, Draw(0, "own", range(64), 0)).dense()
    even = found[:, 1::2].abs().sum(1) == 0
    assert 0 < even.sum() < 64 and torch.equal(found[even][:, ::2], x[even][:, ::2])
    message = every_other.compress(x[:1], Draw(0, "own", [0], 0))
    with pytest.raises(ValueError, match=r"^EveryOther: "):
        message.unpack(message.pack(0)[:-1])


@pytest.mark.parametrize("inside", ["alone", "blocks", "composed", "induced", "contraction"])
def test_it_may_be_a_part_of_others(own: Path, inside: str) -> None:
    every_other = imported("halved").EveryOther()
    operator: Compressor = {
        "alone": lambda: every_other,
        "blocks": lambda: Blocks(every_other, 4),
        "composed": lambda: Composed(TopK(k=5), every_other),
        "induced": lambda: Induced(every_other, RandomK(k=2, unbiased=True)),
        "contraction": lambda: Composed(TopK(k=5), Contraction(QSGD(levels=1))),
    }[inside]()
    x = torch.randn(3, 9, generator=torch.Generator().manual_seed(0))
    message = operator.compress(x, Draw(0, "own", range(3), 0))
    assert torch.equal(message.unpack(np.concatenate([message.pack(row) for row in range(3)])), message.dense())


def test_a_payload_that_is_none() -> None:
    class Wrong(Compressor):
        def __init__(self, payload: object) -> None:
            object.__setattr__(self, "payload", payload)

        def encode(self, x, key):  # type: ignore[no-untyped-def]
            return self.payload  # type: ignore[attr-defined]

    for payload, says in (
        (torch.ones(3), r"a tensor of torch.float32, \(3,\)"),
        (torch.ones(2, 2, dtype=torch.uint8), r"a tensor of torch.uint8, \(2, 2\)"),
        (np.zeros(3, np.uint8), "a ndarray"),
        (None, "a NoneType"),
    ):
        with pytest.raises(TypeError, match=rf"^Wrong.encode gives {says}.*it must give bytes or a uint8 tensor"):
            Wrong(payload).compress(torch.ones(1, 3), Draw(0, "own", [0], 0))


def test_constants_that_a_class_does_not_say(own: Path) -> None:
    class Silent(Compressor):
        pass

    for algorithm, says in (
        (ChocoSGD(compressor=Silent(), gamma=0.1), "if it is one, Silent has a method alpha(self, d)"),
        (Cedas(compressor=Silent()), "if it is one, Silent has biased = False and a method omega(self, d)"),
    ):
        with pytest.raises(ValueError, match="which this method needs") as raised:
            gossip.run(problem(), ring(8), algorithm, steps=1, output=None)
        assert says in str(raised.value) and "\n" not in str(raised.value)


def test_options_of_an_own_topology(own: Path) -> None:
    for arguments, rewiring in (
        (["--topology", "mine.small_world"], 0.2),
        (["--topology", "mine.small_world", "--topology.rewiring", "0.5"], 0.5),
        (["--topology=mine.small_world", "--topology.rewiring=0.5"], 0.5),
        (["--topology", "mine.small_world(rewiring=0.5)"], 0.5),
    ):
        training = parse([*arguments, "--workload", "Digits", "--nodes", "12"], ranks=1)
        wanted = imported("mine").small_world(12, rewiring)
        assert nx.utils.graphs_equal(training.topology.graph, wanted.graph)
        assert training.config is not None
        (own / "config.yaml").write_text(training.config)
    again = parse(["--config", "config.yaml"], ranks=1)
    assert nx.utils.graphs_equal(again.topology.graph, wanted.graph)
    changed = parse(["--config", "config.yaml", "--topology.rewiring", "0"], ranks=1)
    assert nx.utils.graphs_equal(changed.topology.graph, imported("mine").small_world(12, 0).graph)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--topology mine.small_world --topology.rewirin 0.5", "has no option 'rewirin'; did you mean rewiring?"),
        ("--topology mine.smallworld", "did you mean small_world?"),
        ("--topology mine.nx", "mine.nx is a module; name a function of the number of nodes"),
        ("--topology yours.small_world", "run the command in the folder of yours.py, or add that folder to PYTHONPATH"),
        ("--algorithm yours.Method", "run the command in the folder of yours.py, or add that folder to PYTHONPATH"),
        ("--topology halved.EveryOther", "EveryOther"),
        ("--topology mine.small_world(0.5)", "options need names, as in mine.small_world(rewiring=0.5)"),
    ],
)
def test_what_is_wrong_takes_one_line(own: Path, arguments: str, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse([*arguments.split(), "--workload", "Digits"], ranks=1)
    assert says in str(raised.value) and "\n" not in str(raised.value)
    assert str(raised.value).count("PYTHONPATH") <= 1


def test_topologies_takes_import_paths(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (own / "graphs.py").write_text(
        "import networkx as nx\ndef plain(n):\n    return nx.cycle_graph(n)\ndef wrong(n):\n    return 7\n"
    )
    assert topologies(["describe", "mine.small_world", "--nodes", "12"]) == 0
    assert "edges                        24\n" in capsys.readouterr().out
    own_ones = ["mine.small_world", "mine.small_world(rewiring=0.9)", "graphs.plain"]
    assert topologies(["compare", "ring", *own_ones, "--nodes", "12"]) == 0
    assert all(each in capsys.readouterr().out for each in ("mine.small_world(rewiring=0.9)",))
    assert topologies(["describe", "mine.small_world", "--weights", "uniform"]) == 0
    for text, says in (
        (
            "graphs.wrong",
            "graphs.wrong gives a int; it must give a topologies.Topology, a Schedule or a networkx",
        ),
        ("yours.f", "No module named 'yours'; run the command in the folder of yours.py, or add that folder to PYTHON"),
    ):
        capsys.readouterr()
        assert topologies(["describe", text]) == 2
        error = capsys.readouterr().err
        assert says in error and error.count("\n") == 1
    sys.modules.pop("graphs")


def test_bench_takes_import_paths(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["compressors", "--repeats", "1", "--dimension", "100", "--operator"]
    assert bench([*options, "halved.EveryOther", "TopK"]) == 0
    out = capsys.readouterr().out
    assert "EveryOther" in out and "TopK(fraction=0.01)" in out
    for name, says in (
        ("TopKay", "--operator does not know 'TopKay'; did you mean TopK?"),
        ("mine.small_world", "--operator mine.small_world is no class that derives from algorithms.Compressor"),
        ("yours.Operator", "run the command in the folder of yours.py, or add that folder to PYTHONPATH"),
    ):
        assert bench([*options, name]) == 2
        error = capsys.readouterr().err
        assert says in error and error.count("\n") == 1


def test_the_defaults_are_still_classes() -> None:
    assert parse(["--workload", "Digits"], ranks=1).topology.name == "exponential"
    assert isinstance(parse(["--workload", "Digits"], ranks=1).algorithm, DecentralizedSGD)
    assert parse(["--workload", "Digits", "--topology", "topologies.ring"], ranks=1).topology.name == "ring"


def test_a_logger(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loggers = parse(["--logger", "printing.Printing"], 1).loggers
    options: Any = {"oracle": Full(), "evaluate_every": 2, "report": False, "output": own / "runs"}
    result = gossip.run(problem(), ring(8), DecentralizedSGD(lr=0.05), steps=4, loggers=loggers, **options)
    assert result.directory is not None
    first, *rows = capsys.readouterr().out.splitlines()
    assert first == f"{result.directory.parent.name}/{result.directory.name} after 0 records"
    assert rows == [f"{record['step']} {record['train_loss']}" for record in result.history]
