"""The command `python -m gossip.reproduce`: what it lists, refuses, writes and returns."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import pytest
from matplotlib.figure import Figure

from gossip.errors import DataError, UsageError
from gossip.network import Communicator
from gossip.reproduce import NAMES, find
from gossip.reproduce.__main__ import main, reproduce
from gossip.reproduce.study import Claim, Findings, Say, Study, to_json
from tests.conftest import OnRanks


@pytest.fixture
def coin(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A study named "coin", first of all; the seeds that it was called with. It fails with more than two of them."""
    called: list[int] = []

    def run(seeds: Sequence[int], say: Say) -> Findings:
        called.extend(seeds)
        say("tossing")
        claims = [Claim("coins fall", "all did", True), Claim("few do", f"{len(seeds)} did", len(seeds) <= 2)]
        rows = [{"coin": f"no. {seed}", "height": 1.23456 * (1 + seed)} for seed in seeds]
        return Findings(rows, claims, lambda figure: figure.subplots().plot(seeds), {"heights": [1.0, float("nan")]})

    module = ModuleType("gossip.reproduce.studies.coin")
    module.STUDY = Study("Penny 1900, arXiv 0000.00000", "coins fall", run, seeds=2)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr("gossip.reproduce.NAMES", ("coin", *NAMES))
    monkeypatch.setattr("gossip.reproduce.__main__.NAMES", ("coin", *NAMES))
    return called


def test_every_study_says_in_a_line_what_it_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(NAMES)
    for name, line in zip(NAMES, lines, strict=True):
        study = find(name)
        assert study.paper in line and study.claim in line
        assert "arXiv" in study.paper
        assert study.seeds >= 1


def test_a_folder_may_be_called_list(coin: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["coin", "--output", "list"]) == 0
    assert coin and (tmp_path / "list" / "results.json").is_file()


@pytest.mark.usefixtures("coin")
def test_claims_that_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reproduce(["coin", "--output", str(tmp_path / "new" / "folder")], Communicator()) == 0
    printed = capsys.readouterr().out
    for text in ("s  tossing", "Penny 1900", "no. 1", "2.469", "holds   coins fall: all did", "holds   few do: 2 did"):
        assert text in printed
    record = json.loads((tmp_path / "new" / "folder" / "results.json").read_text())
    assert record.pop("seconds") >= 0
    assert record == {
        "study": "coin",
        "paper": "Penny 1900, arXiv 0000.00000",
        "claim": "coins fall",
        "seeds": 2,
        "claims": [
            {"text": "coins fall", "measured": "all did", "holds": True},
            {"text": "few do", "measured": "2 did", "holds": True},
        ],
        "table": [{"coin": "no. 0", "height": 1.23456}, {"coin": "no. 1", "height": 2.46912}],
        "curves": {"heights": [1.0, None]},
    }
    assert "</svg>" in (tmp_path / "new" / "folder" / "plot.svg").read_text()


def test_a_claim_that_fails(
    tmp_path: Path, coin: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["coin", "--seeds", "3"]) == 1
    assert coin == [0, 1, 2]
    printed = capsys.readouterr().out
    assert "holds   coins fall" in printed and "FAILED  few do: 3 did" in printed
    assert json.loads(Path("runs/reproduce/coin/results.json").read_text())["claims"][1]["holds"] is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["con"], "there is no study 'con'; did you mean coin? it may be coin, "),
        (["???"], "there is no study '???'; it may be coin, "),
        (["coin", "--seeds", "0"], "--seeds 0 is not allowed; it must be >= 1"),
        (["coin", "--seeds", "few"], "argument --seeds: invalid int value: 'few'"),
        (["coin", "--sead", "1"], "unrecognized arguments: --sead 1"),
        ([], "the following arguments are required: NAME"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str], message: str, coin: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError) as refused:
        reproduce(arguments, Communicator())
    assert str(refused.value).startswith(message)
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == f"gossip: error: {refused.value}\n"
    assert coin == []


def test_output_that_cannot_be_written_is_refused_before_anything_is_computed(tmp_path: Path, coin: list[int]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="choose another --output"):
        reproduce(["coin", "--output", str(tmp_path / "file")], Communicator())
    assert coin == []


def test_under_mpirun_one_rank_speaks(on_ranks: Callable[..., list[OnRanks]]) -> None:
    known, unknown = on_ranks([["-m", "gossip.reproduce", name] for name in ("list", "nothing")], ranks=2)
    assert known.codes == [0, 0], known.stderr
    assert [line.split()[0] for line in known.stdout[0].splitlines()] == list(NAMES)
    assert known.stdout[1] == ""
    assert unknown.codes == [2, 2]
    assert unknown.stderr[0].count("there is no study 'nothing'") == 1
    assert unknown.stderr[1] == ""


def test_tables_have_four_digits() -> None:
    findings = Findings([{"a": 1, "b": 0.123456, "c": "x"}], [], lambda figure: None)
    assert findings.columns() == {"a": ["1"], "b": ["0.1235"], "c": ["x"]}
    assert json.loads(to_json({"a": [float("inf"), {"b": (1, 2.5)}]})) == {"a": [None, {"b": [1, 2.5]}]}
    assert findings.draw(Figure()) is None
