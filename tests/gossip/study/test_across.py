"""What comes out across the values of a numeric option."""

from __future__ import annotations

from pathlib import Path

from gossip.study.across import lines, numeric_options
from gossip.study.figures import across_options, figure_front, write_figures
from gossip.study.results import Cell, Kept

LOSSES = {"ring": {4: 1.0, 16: 2.0, 64: 6.0}, "complete": {4: 1.0, 16: 1.0, 64: 1.0}}


def cell(topology: str, nodes: int, loss: float) -> Cell:
    """Two seeds, of which one ends a little higher than the other; the loss is 1 at least after 10 steps or never."""
    options = {"topology": topology, "nodes": nodes}
    runs = [
        Kept(
            Path(), options, seed, "finished", "", "",
            [{"step": step, "test_loss": end} for step, end in ((0, 9.0), (10, loss + (2 * seed - 1) / 4))],
        )
        for seed in (0, 1)
    ]  # fmt: skip
    return Cell(f"{topology}, nodes={nodes}", options, runs)


CELLS = [cell(topology, nodes, loss) for topology, losses in LOSSES.items() for nodes, loss in losses.items()]


def test_cells_that_differ_in_one_option_make_a_line() -> None:
    assert numeric_options(CELLS) == ["nodes"]
    found = lines(list(reversed(CELLS)), "nodes", lambda cell: cell.final("test_loss"))
    means = {name: {at: seen.mean for at, seen in points} for name, points in found.items()}
    assert means == LOSSES
    assert [at for at, _ in found["ring"]] == [4, 16, 64]


def test_two_values_and_names_make_none() -> None:
    assert numeric_options([each for each in CELLS if each.options["nodes"] != 16]) == []
    assert numeric_options([*CELLS, Cell("else", {"topology": "ring"}, [])]) == []
    single = [cell(topology, nodes, 1.0) for topology, nodes in (("ring", 4), ("star", 5), ("path", 6))]
    assert numeric_options(single) == []  # each differs in its topology, too


def test_a_target_that_some_seeds_never_reach_has_no_point() -> None:
    figures = dict(across_options(CELLS, "test_loss", 1.25))
    (axes,) = figures["steps-to-target-across-nodes"].axes
    drawn = [container.lines[0].get_xdata().tolist() for container in axes.containers]
    assert drawn == [[4], [4, 16, 64]]
    (axes,) = figures["test_loss-across-nodes"].axes
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["4", "16", "64"]
    assert [text.get_text() for text in figures["test_loss-across-nodes"].legends[0].get_texts()] == list(LOSSES)


def test_the_front(tmp_path: Path) -> None:
    losses = {"costly": (1000.0, 1.0), "cheap": (10.0, 3.0), "beaten": (500.0, 2.5), "between": (100.0, 2.0)}
    cells = [
        Cell(
            name,
            {},
            [Kept(Path(), {}, 0, "finished", "", "", [{"step": 9, "test_loss": loss, "bytes_sent_per_node": cost}])],
        )
        for name, (cost, loss) in losses.items()
    ]
    made = figure_front([*cells, Cell("diverged", {}, [])], "test_loss")
    (axes,) = made.axes
    assert axes.get_xscale() == "log"
    (front,) = [drawn for drawn in axes.lines if drawn.get_drawstyle() == "steps-post"]
    assert front.get_xydata().tolist() == [[10, 3], [100, 2], [1000, 1], [1000, 1]]
    assert [container.lines[0].get_markersize() for container in axes.containers] == [8, 8, 5, 8]
    assert [text.get_text() for text in made.legends[0].get_texts()] == list(losses)
    assert "test_loss-front.svg" in {path.name for path in write_figures(cells, "test_loss", 1.0, tmp_path)}


def test_they_are_among_the_figures(tmp_path: Path) -> None:
    written = {path.name for path in write_figures(CELLS, "test_loss", 1.25, tmp_path)}
    assert {"test_loss-across-nodes.svg", "steps-to-target-across-nodes.pdf"} <= written
    assert all((tmp_path / name).stat().st_size for name in written)
