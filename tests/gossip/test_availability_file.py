"""Availability of clients by a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import gossip
from gossip.errors import DataError, GossipError
from gossip.options.command_line import parse

TABLE = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 0]])
ANY = np.random.default_rng(0)


@pytest.mark.parametrize("text", ["1,0,1\n0,0,1\n1,0,0\n", "1 0 1\n0 0 1\n\n1 0 0", "1, 0, 1\n0, 0, 1\n1, 0, 0"])
def test_who_is_there_when(text: str, tmp_path: Path) -> None:
    (tmp_path / "who.csv").write_text(text)
    np.save(tmp_path / "who.npy", TABLE.astype(bool))
    for name in ("who.csv", "who.npy"):
        rule = gossip.AvailabilityFile(str(tmp_path / name))
        for r in range(7):
            assert rule.available(r, 3, ANY).tolist() == (TABLE[:, r % 3] == 1).tolist()
    with pytest.raises(ValueError, match=r"who\.npy has rows for 3 clients, there are 4$"):
        rule.available(0, 4, ANY)


@pytest.mark.parametrize("text", [b"", b"1,0\n1\n", b"1,2\n0,1\n", b"a,b\n", b"\xff\xfe1"], ids=range(5))
@pytest.mark.parametrize("name", ["who.csv", "who.npy"])
def test_what_is_no_table_is_refused_in_one_line_that_names_the_file(text: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(text)
    with pytest.raises(
        DataError, match=rf"^AvailabilityFile: .*{name} is not a table of 0 and 1, a row for each client"
    ):
        gossip.AvailabilityFile(str(tmp_path / name))


def test_on_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "who.csv"
    words = ["--algorithm", "FedAvg", "--algorithm.availability", "AvailabilityFile"]
    words += ["--algorithm.availability.file", str(file), "--algorithm.delivery.dropout", "0.1"]
    with pytest.raises(GossipError, match=rf"^AvailabilityFile: cannot read '{file}' \(No such file or directory\)$"):
        parse(words, ranks=1)
    file.write_text("1,0")
    algorithm = parse(words, ranks=1).algorithm
    assert algorithm.availability == gossip.AvailabilityFile(str(file))  # type: ignore[attr-defined]
    assert algorithm.delivery.dropout == 0.1  # type: ignore[attr-defined]
