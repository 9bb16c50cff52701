"""Every compressor in a run; and one clear line where it cannot be used. See tests/mpi/ranks for the bits."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms import Compressor
from gossip.bench.compression.operators import exported
from gossip.train.__main__ import main
from gossip.workloads import Digits
from tests.conftest import Run
from tests.mpi.compressors import NO_CONTRACTIONS, compressed

RUN = "--workload Digits --workload.hidden 8 --topology ring --steps 2 --output null --quiet".split()
CHOCO = ["--algorithm", "ChocoSGD", "--algorithm.gamma", "theory", "--algorithm.compressor"]
ON_RANKS = [  # options of the compressor, and what is said if it is refused
    ("TopK --algorithm.compressor.fraction 0.1", None),
    ("ScaledSign", None),
    (
        "Composed --algorithm.compressor.sparsifier TopK --algorithm.compressor.sparsifier.fraction 0.1 "
        "--algorithm.compressor.quantizer NaturalDithering",
        None,
    ),
    ("PerTensor --algorithm.compressor.compressor ScaledSign", None),
    ("TopK", "give exactly one of fraction"),
    ("QSGD --algorithm.compressor.levels 1", "is no contraction of 610 numbers"),
    ("Composed", "sparsifier"),
    ("TopQ", "did you mean TopK?"),
]


def test_operators_do_something_each_of_its_own() -> None:
    found = {name: results["model"] for name in exported() if (results := compressed(name)) is not None}
    assert set(exported()) - set(found) == NO_CONTRACTIONS
    assert all(np.isfinite(model).all() for model in found.values())
    assert all(np.ptp(model, axis=0).any() for model in found.values())
    assert len({model.tobytes() for model in found.values()}) > 0.8 * len(found)


def usable(kind: type[Compressor]) -> bool:
    """Whether a class without options is a contraction of the models of these runs."""
    layout = Digits(hidden=8).shard(1, seed=0).layout
    try:
        operator = kind().for_layout(layout)
        operator.check_dimension(layout.d)
    except (TypeError, ValueError):
        return False
    return operator.alpha(layout.d) > 0


@pytest.mark.parametrize("name", sorted(exported()))
def test_every_name_runs_or_is_refused_in_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main([*RUN, "--nodes", "3", *CHOCO, name])
    printed = capsys.readouterr()
    assert printed.out == ""
    if usable(exported()[name]):
        assert (code, printed.err) == (0, "")
        return
    assert code == 2
    (line,) = printed.err.splitlines()
    assert line.startswith("gossip: error: ")
    assert "Traceback" not in line and len(line) < 1000


def test_some_names_run_and_some_do_not() -> None:
    names = {name for name, kind in exported().items() if usable(kind)}
    assert {"Identity", "ScaledSign"} <= names
    assert not {"TopK", "RandomK", "Contraction"} & names


@pytest.mark.parametrize(("compressor", "says"), ON_RANKS)
def test_on_three_ranks(python: Run, compressor: str, says: str | None) -> None:
    done = python("-m", "gossip.train", *RUN, *CHOCO, *compressor.split(), ranks=3)
    if says is None:
        assert (done.returncode, done.stderr) == (0, "")
        return
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("gossip: error: ") and says in line
