"""Splits that the user gives: by groups, and by files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gossip
from algorithms import DecentralizedSGD
from gossip.errors import DataError, GossipError
from gossip.options.command_line import parse
from gossip.workloads import ByGroup, Digits, FromFile, LogisticRegression
from gossip.workloads.splits import held_out
from topologies import ring

IDS = ["c", "a", "b", "a", "c", "c", "b", "a", "a"]
LABELS = np.zeros(9)


def lists(shards: Any) -> list[list[int]]:
    return [shard.tolist() for shard in shards]


@pytest.mark.parametrize("form", ["texts", "array", "npy", "lines"])
def test_each_node_has_a_group(form: str, tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", IDS)
    (tmp_path / "ids.txt").write_text("\n".join(IDS) + "\n")
    split = {
        "texts": lambda: ByGroup(IDS),
        "array": lambda: ByGroup(np.array([7, -1, 3, -1, 7, 7, 3, -1, -1])),
        "npy": lambda: ByGroup(file=str(tmp_path / "ids.npy")),
        "lines": lambda: ByGroup(file=str(tmp_path / "ids.txt")),
    }[form]()
    assert lists(split.assign(LABELS, 3, 0)) == [[1, 3, 7, 8], [2, 6], [0, 4, 5]]
    # The largest goes to node 0, and the others to node 1, which has less also with the first of them.
    assert lists(split.assign(LABELS, 2, 5)) == [[1, 3, 7, 8], [0, 4, 5, 2, 6]]


def test_numbers_in_text_are_in_the_order_of_numbers(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("10\n9\n10\n")
    assert lists(ByGroup(file=str(tmp_path / "ids.txt")).assign(LABELS[:3], 2, 0)) == [[1], [0, 2]]


def test_a_file_says_who_has_what(tmp_path: Path) -> None:
    parts = [[4, 0], [1], [2, 4, 3]]
    (tmp_path / "who.json").write_text(json.dumps(parts))
    np.savez(tmp_path / "who.npz", *(np.array(part) for part in parts))
    for name in ("who.json", "who.npz"):
        assert lists(FromFile(str(tmp_path / name)).assign(LABELS, 3, 0)) == parts


def test_a_column_of_all_data_as_the_message_says() -> None:
    random = np.random.default_rng(0)
    features, column = random.normal(size=(40, 3)), np.arange(40) // 8
    with pytest.raises(
        ValueError, match="ByGroup: groups has ids of 40 examples, the training examples are 32; of a"
    ) as at:
        LogisticRegression(features, column % 2, split=ByGroup(column)).shard(5, 0)
    said = str(at.value).rpartition("these are ")[2]
    groups = eval(said, {"column": column, "gossip": gossip})
    shard = LogisticRegression(features, column % 2, split=ByGroup(groups)).shard(5, 0)
    own = held_out(40)[0]
    for node in range(5):
        np.testing.assert_array_equal(shard.features_and_targets(node)[0], features[own[column[own] == node]])


@pytest.mark.parametrize("name", ["who.json", "who.npz"])
@pytest.mark.parametrize(
    "text", [b"", b"[", b"3", b"[]", b"[[]]", b"[[0], [-1]]", b"[[0.5]]", b"[[[0]]]", b"PK\x03\x04"]
)
def test_files_of_something_else_are_refused_in_one_line_that_names_them(
    name: str, text: bytes, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(text)
    with pytest.raises(DataError, match=rf"^FromFile: [^\n]*{name}[^\n]* not a list of numbers of examples, from 0 on"):
        FromFile(str(tmp_path / name))


@pytest.mark.parametrize(("name", "text"), [("ids.npy", b"1,2"), ("ids.txt", b""), ("ids.txt", b"\xff\xff")])
def test_files_without_ids_are_refused(name: str, text: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(text)
    with pytest.raises(DataError, match=rf"^ByGroup: .*{name} does not hold one id for each training example$"):
        ByGroup(file=str(tmp_path / name))


def test_what_does_not_fit_the_run_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "who.json"
    file.write_text("[[0], [9]]")
    with pytest.raises(ValueError, match=r"FromFile: .*who\.json has examples for 2 nodes, there are 3"):
        FromFile(str(file)).assign(LABELS, 3, 0)
    with pytest.raises(ValueError, match=r"FromFile: .*who\.json gives node 1 example 9, there are 0 to 8"):
        FromFile(str(file)).assign(LABELS, 2, 0)
    with pytest.raises(ValueError, match="ByGroup: groups has 3 groups, too few for 4 nodes"):
        ByGroup(IDS).assign(LABELS, 4, 0)
    with pytest.raises(
        ValueError, match="ByGroup: file = None is not allowed; it must be given if there are no groups"
    ):
        ByGroup()
    with pytest.raises(GossipError, match="ByGroup: groups do not hold one id for each training example"):
        ByGroup(np.zeros((3, 2)))


def test_on_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "who.json"
    words = ["--workload", "Digits", "--workload.split", "FromFile", "--workload.split.file", str(file)]
    with pytest.raises(GossipError, match=rf"^FromFile: cannot read '{file}' \(No such file or directory\)$"):
        parse(words, ranks=1)
    file.write_text("[[3, 1], [0, 5, 7]]")
    workload: Any = parse(words, ranks=1).workload
    assert [workload.shard(2, 0).examples(node) for node in range(2)] == [2, 3]


def test_a_checkpoint_of_another_file_is_refused(tmp_path: Path) -> None:
    """What was in the file decides about the models, and not its name alone."""
    file = tmp_path / "who.json"
    options: dict[str, Any] = {"output": tmp_path / "runs", "checkpoint_every": 2, "report": False}

    def run(resume: object = None) -> gossip.Result:
        workload: Any = Digits(hidden=2, split=FromFile(str(file)))
        return gossip.run(workload, ring(2), DecentralizedSGD(), steps=2, resume=resume, **options)

    file.write_text("[[0, 1], [2, 3]]")
    directory = run().directory
    run(resume=directory)
    file.write_text("[[0, 1], [2, 4]]")
    with pytest.raises(GossipError, match="parts"):
        run(resume=directory)
