"""Which cells a study has, from the words of a command line and from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gossip.errors import DataError, UsageError
from gossip.study.description import from_words, merged, plain, read, study_of
from gossip.study.values import Range, split, text_of, words


def cells(**kept: Any) -> list[dict[str, Any]]:
    return [dict(cell.options) for cell in study_of(kept).grid.cells()]


def test_all_combinations_the_last_option_varying_fastest() -> None:
    assert cells(run={"steps": 5}, set={"topology": ["ring", "star"], "nodes": [4, 8]}) == [
        {"steps": 5, "topology": topology, "nodes": nodes} for topology in ("ring", "star") for nodes in (4, 8)
    ]


def test_a_value_twice_is_one_cell() -> None:
    assert len(cells(set={"topology": ["ring", "ring"]})) == 1


def test_options_that_are_zipped_vary_together() -> None:
    found = cells(set={"topology": "torus"}, zip=[{"nodes": [4, 9], "topology.rows": [2, 3]}])
    assert [(cell["nodes"], cell["topology.rows"]) for cell in found] == [(4, 2), (9, 3)]


def test_exclusions_and_conditions() -> None:
    found = cells(
        set={"topology": ["ring", "star"], "algorithm": ["ChocoSGD", "ExactDiffusion"]},
        exclude=[{"topology": "star", "algorithm": "ChocoSGD"}],
        when=[{"if": {"algorithm": "ChocoSGD"}, "set": {"algorithm.gamma": [0.1, 0.3]}, "run": {"steps": 7}}],
    )
    assert [(cell["topology"], cell.get("algorithm.gamma"), cell.get("steps")) for cell in found] == [
        ("ring", 0.1, 7),
        ("ring", 0.3, 7),
        ("ring", None, None),
        ("star", None, None),
    ]


def test_a_class_with_its_fields_is_one_value() -> None:
    choco = {"class_path": "ChocoSGD", "init_args": {"gamma": 0.3}}
    assert cells(set={"algorithm": ["ExactDiffusion", choco]}) == [
        {"algorithm": "ExactDiffusion"},
        {"algorithm": "ChocoSGD", "algorithm.gamma": 0.3},
    ]
    assert cells(run={"algorithm": choco}, set={"nodes": 4})[0]["algorithm.gamma"] == 0.3


def test_the_command_line_says_the_same_as_a_file(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(
        "run: {steps: 5}\nset: {topology: [ring, star]}\nzip: {nodes: [4, 9], algorithm.lr: [0.1, 0.2]}\n"
        "exclude: {topology: star, nodes: 9}\nwhen: {if: {topology: star}, set: {algorithm.momentum: [0, 0.9]}}\n"
        "tune: {oracle.batch: 1..100}\nseeds: 2\ntarget: {test_loss: 0.1}\n"
    )
    study = study_of(read(file))
    said = from_words(
        sets=[["steps=5", "topology=ring,star"]],
        zips=[["nodes=4,9", "algorithm.lr=0.1,0.2"]],
        excludes=[["topology=star", "nodes=9"]],
        whens=[["topology=star", "then", "algorithm.momentum=0,0.9"]],
        tunes=[["oracle.batch=1..100"]],
    )
    assert study_of(merged({"seeds": 2, "target": {"test_loss": 0.1}}, said)) == study
    assert study_of(yaml.safe_load(yaml.safe_dump(plain(study)))) == study  # as it is kept


def test_words_replace_what_a_file_says() -> None:
    said = from_words([["steps=5"], ["topology=star"]], [], [], [], [])
    study = study_of(merged({"run": {"steps": 9, "nodes": 4}, "set": {"topology": ["ring"]}}, said))
    assert [dict(cell.options) for cell in study.grid.cells()] == [{"nodes": 4, "topology": "star", "steps": 5}]


def test_words_that_tune_or_set_replace_the_other_in_a_file() -> None:
    kept = {"run": {"algorithm": {"class_path": "ChocoSGD", "lr": 0.1}}, "tune": {"algorithm.gamma": "0.1..1"}}
    study = study_of(merged(kept, from_words([["algorithm.gamma=0.3"]], [], [], [], [["algorithm.lr=0.01..1"]])))
    (cell,) = study.grid.cells()
    assert dict(cell.options) == {"algorithm": "ChocoSGD", "algorithm.gamma": 0.3}
    assert list(cell.tuned) == ["algorithm.lr"]


@pytest.mark.parametrize(
    ("kept", "says"),
    [
        ({"set": {"topologgy": ["ring"]}}, "a study has no option 'topologgy' to vary; did you mean topology?"),
        ({"set": {"seed": [1]}}, "--seeds 3"),
        ({"set": {"transport": ["auto"]}}, "no option 'transport'"),
        ({"set": {"nodes": []}}, "nodes has no values"),
        ({"zip": {"nodes": [4, 8], "steps": [1]}}, "nodes has 2, steps has 1 values"),
        ({"set": {"nodes": [4]}, "zip": {"nodes": [4], "steps": [1]}}, "nodes is given twice"),
        ({"set": {"nodes": [4]}, "exclude": {"nodes": 5}}, "no cell is excluded by nodes=5"),
        ({"set": {"nodes": [4]}, "exclude": {"nodes": 4}}, "all combinations are excluded"),
        ({"set": {"nodes": [4]}, "when": {"if": {"nodes": 5}, "set": {"steps": 1}}}, "condition nodes=5"),
        ({"set": {"nodes": [4]}, "when": {"set": {"steps": 1}}}, "has an if"),
        ({"set": {"nodes": [4]}, "seeds": 0}, "seeds = 0 is not allowed"),
        ({"set": {"nodes": [4]}, "seeds": [-1]}, "seeds = [-1] is not allowed"),
        ({"set": {"nodes": [4]}, "tune": {"algorithm.lr": "1..0.1"}}, "it must be LOW..HIGH"),
        ({"set": {"nodes": [4]}, "tune": {"algorithm.lr": 0.1}}, "it must be LOW..HIGH"),
        ({"set": ["nodes"]}, "it must be a mapping"),
        ({"set": {"nodes": [4]}, "target": {"a": 1, "b": 2}}, "one metric and a number"),
    ],
)
def test_what_is_wrong_is_said(kept: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as raised:
        study_of(kept).grid.cells()
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"sets": [["nodes"]]}, "'nodes' is not understood; write KEY=VALUE"),
        ({"sets": [["nodes=4"], ["nodes=5"]]}, "nodes is given twice"),
        ({"sets": [["nodes=4,,5"]]}, "'4,,5' is not a list of values"),
        ({"sets": [["nodes=[4"]]}, "'[4' is not a value"),
        ({"whens": [["nodes=4"]]}, "--when is KEY=VALUE ... then"),
    ],
)
def test_words_that_are_wrong(words: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as raised:
        from_words(**{name: [] for name in ("sets", "zips", "excludes", "whens", "tunes")} | words)
    assert says in str(raised.value)


def test_files_that_are_no_study(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read(tmp_path / "none.yaml")
    wrong = (("- 1", "is no study"), ("a: [", "is no YAML"), ("sett: {}", "'sett', which no study has"))
    for text, says in (*wrong, (3000 * "[" + 3000 * "]", "to a depth of more than 50")):
        (tmp_path / "study.yaml").write_text(text)
        with pytest.raises(UsageError, match=says):
            read(tmp_path / "study.yaml")


@settings(deadline=None, max_examples=30)
@example([1e-5, -2e17, [1, 2]])
@given(st.lists(st.one_of(st.integers(), st.floats(-1e3, 1e3), st.booleans(), st.lists(st.integers(0, 9))), min_size=1))
def test_values_are_read_as_they_are_written(values: list[Any]) -> None:
    assert split(",".join(map(text_of, values))) == values


def test_classes_stand_before_their_fields() -> None:
    given = {
        "algorithm.compressor.fraction": 0.1,
        "algorithm.compressor": "TopK",
        "evaluate_nodes": 3,
        "algorithm": "Lead",
    }
    assert words(given) == [
        "--evaluate-nodes=3",
        "--algorithm=Lead",
        "--algorithm.compressor=TopK",
        "--algorithm.compressor.fraction=0.1",
    ]


def test_ranges() -> None:
    grid = Range.parse("algorithm.lr", "0.01..1")
    assert [grid.value(place) for place in range(grid.points)] == [0.01, 0.03162, 0.1, 0.3162, 1.0]
    assert Range.parse("algorithm.lr", "1..8:4") == Range(1, 8, 4)
    assert Range(1, 8, 4).value(1.5) == pytest.approx(8**0.5, rel=1e-3)
