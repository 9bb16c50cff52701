"""The command `python -m topologies`."""

import io
import json
import os
import re
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from topologies import FAMILIES, ring
from topologies.command.main import main
from topologies.pages.style import LINES, line

pytest.importorskip("matplotlib")


def test_list_names_every_family(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [f.__name__ for f in FAMILIES]


def test_describe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "exponential", "--nodes", "8", "--json", str(tmp_path / "e.json")]) == 0
    out = capsys.readouterr().out
    assert "spectral_gap                 0.5\n" in out and out.splitlines()[-1].count("█") > 1
    record = json.loads((tmp_path / "e.json").read_text())
    keys = "nodes edges spectral_gap second_eigenvalue smallest_eigenvalue diameter max_degree doubly_stochastic "
    assert set((keys + "symmetric rounds_to_consensus").split()) <= set(record)
    assert (record["nodes"], record["edges"], record["max_degree"], record["symmetric"]) == (8, 24, 3, False)


def test_describe_a_file_with_weights_and_a_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nx.write_graphml(nx.barbell_graph(4, 0), tmp_path / "cluster.graphml")
    plot = tmp_path / "graph.svg"
    assert main(["describe", str(tmp_path / "cluster.graphml"), "--weights", "fdla", "--plot", str(plot)]) == 0
    assert "<svg" in plot.read_text() and "nodes                        8\n" in capsys.readouterr().out
    np.save(tmp_path / "w.npy", ring(5).matrix.toarray())
    assert main(["describe", str(tmp_path / "w.npy")]) == 0


def test_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    html, numbers = tmp_path / "compare.html", tmp_path / "compare.json"
    names = ["ring", "base_graph", "circulant(offsets=(1, 3))", "networkx.complete_bipartite_graph(6, 6)", "star"]
    assert main(["compare", *names, "--nodes", "12", "--html", str(html), "--json", str(numbers)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["topology", "s"] and lines[1].startswith("base_graph")
    times = [float(line.split()[1]) for line in lines[1:]]
    assert times == sorted(times) and len(times) == 5
    assert {each["name"] for each in json.loads(numbers.read_text())} >= {"ring", "circulant", "complete_bipartite"}
    page = html.read_text()
    assert page.count("<svg") == 5 + 2
    assert "src=" not in page and "<link" not in page and "<script" not in page
    assert (
        "12 nodes" in page and "1,000,000 parameters of 4 bytes" in page and "5e-05 s" in page and "1.25 GB/s" in page
    )


def test_pages_have_the_style_of_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A page that fits any screen, light or dark, whose pictures' ids are theirs alone and are found."""
    names = ["ring", "circulant(offsets=(1, 3))", "circulant(offsets=(1, 4))"]
    assert main(["compare", *names, "--nodes", "9", "--html", str(tmp_path / "c.html")]) == 0
    assert main(["gallery", str(tmp_path / "g.html")]) == 0
    for page in ((tmp_path / "c.html").read_text(), (tmp_path / "g.html").read_text()):
        assert '<meta name="viewport"' in page and "prefers-color-scheme: dark" in page
        assert not any(f"{color}" in page.partition("</style>")[2] for color in LINES.values())  # but variables
        ids = re.findall(r' id="([^"]*)"', page)
        assert len(ids) == len(set(ids)) and not any(" " in each for each in ids)
        assert set(re.findall(r'(?:url\(#|href="#)([^)"]*)', page)) <= set(ids)
    page = (tmp_path / "c.html").read_text()
    assert page.count("circulant(offsets=(1, 3))") == 5  # its row, its picture and what that shows, and both legends


def test_lines_are_told_apart_without_colours() -> None:
    looks = [line(k) for k in range(56)]
    assert len({tuple(look.values()) for look in looks}) == 56
    assert len({(look["linestyle"], look["marker"]) for look in looks[:28]}) == 28


def test_gallery_has_every_family(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gallery", str(tmp_path / "all.html")]) == 0
    page = (tmp_path / "all.html").read_text()
    shown = [family.__name__ for family in FAMILIES if f"<b>{family.__name__}</b>" in page]
    assert set(shown) == {family.__name__ for family in FAMILIES} - {"file"} and page.count("<svg") == len(shown)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("describe rong", "there is no topology 'rong'; did you mean ring? see python -m topologies list"),
        ("describe hypercube --nodes 12", "hypercube needs a power of two, got n = 12; nearest are 8 and 16"),
        ("describe ring(size=3)", "ring has no option 'size'; it has weights"),
        ("describe ring(3)", "options need names"),
        ("describe ring --weights x", "unknown weights 'x'"),
        ("describe base_graph --weights fdla", "varies with time and has weights of its own"),
        ("describe none.graphml", "cannot read a graph from none.graphml"),
        ("describe ring --latency -1", "Links: latency = -1.0 is not allowed"),
        ("describe ring --parameters nan", "--parameters must be >= 0"),
        ("compare", "the following arguments are required: topology"),
        ("say ring", "invalid choice: 'say'"),
    ],
)
def test_wrong_usage_takes_one_line(arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments.split()) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.count("\n") == 1 and captured.out == ""


def test_files_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "ring", "--nodes", "4", "--json", "/no/such/folder/x.json"]) == 3
    assert "cannot write /no/such/folder/x.json" in capsys.readouterr().err


def test_options_of_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.dat").write_text("5 6\n6 7\n7 6\n6 7\n1 2\n")
    options = ["--format", "edgelist", "--largest-component"]
    assert main(["describe", str(tmp_path / "a.dat"), *options]) == 0
    captured = capsys.readouterr()
    assert "nodes                        3\nedges                        2\n" in captured.out
    assert captured.err.startswith("topologies: warning: ") and "1 edge is there again" in captured.err
    assert main(["describe", "ring", "--largest-component"]) == 2
    assert "--largest-component goes with a file, and there is no file ring" in capsys.readouterr().err


def test_a_matrix_that_reaches_no_consensus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "speeds.edgelist").write_text("0 1 10\n1 2 10\n2 3 10\n3 0 10\n")
    assert main(["describe", str(tmp_path / "speeds.edgelist"), "--weights", "edge_weights"]) == 0
    captured = capsys.readouterr()
    assert "rounds_to_consensus          -\n" in captured.out and "second_eigenvalue            39\n" in captured.out
    assert "speeds reaches no consensus: its W has a second eigenvalue -39," in captured.err
    assert captured.err.count("\n") == 1


def test_letters_that_the_output_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", stream)
    assert main(["describe", "path", "--nodes", "3"]) == 0
    assert stream.buffer.getvalue().splitlines()[-3:] == [b"##.", b"###", b".##"]  # type: ignore[attr-defined]


def test_output_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr("sys.stdout", full)
        assert main(["list"]) == 3
    assert capfd.readouterr().err == "topologies: error: cannot write to standard output (No space left on device)\n"
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as broken:
        monkeypatch.setattr("sys.stdout", broken)
        assert main(["list"]) == 0  # whoever reads has enough
    monkeypatch.setattr("sys.stdout", None)
    assert main(["list"]) == 3
    assert capfd.readouterr().err == "topologies: error: standard output is closed\n"
    monkeypatch.setattr("sys.stderr", None)
    assert main(["describe", "nowhere"]) == 2
