"""The timeline of an asynchronous run on its page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gossip.drivers.schedule import GRADIENT, MESSAGE, SECOND, START, Record, Schedule
from gossip.records.report.page import write_report
from gossip.records.report.timeline import GRADIENTS, SHOWN, staleness, timeline
from tests.gossip.records.report.test_page import CONFIG, HISTORY, Page, summary
from topologies import ring

pytest.importorskip("matplotlib")


def schedule() -> Schedule:
    """Node 0 computes from 0 to 2 s and from 2 to 6 s, node 1 from 0 to 4 s; a message goes from 0 to 1."""
    record = Record(2)
    for second, kind, node, sender, cause in (
        (0, START, 0, 0, -1),
        (0, START, 1, 1, -1),
        (2, GRADIENT, 0, 0, 0),
        (3, MESSAGE, 1, 0, 2),
        (4, GRADIENT, 1, 1, 1),
        (6, GRADIENT, 0, 0, 2),
    ):
        record.add((second * SECOND, kind, node, sender, cause))
    return record.schedule()


def test_bars_are_gradients_and_lines_are_messages() -> None:
    from matplotlib.collections import LineCollection

    (axes,) = timeline(schedule()).axes
    (messages,) = (each for each in axes.collections if isinstance(each, LineCollection))
    bars = [each for each in axes.collections if each is not messages]
    extents = [[path.get_extents() for path in each.get_paths()] for each in bars]
    assert [[(box.x0, box.x1) for box in row] for row in extents] == [[(0, 2), (2, 6)], [(0, 4)]]
    assert [round((row[0].y0 + row[0].y1) / 2, 6) for row in extents] == [0, 1]
    assert np.array_equal(messages.get_segments(), [[[2, 0], [3, 1]]])
    assert axes.get_xlim() == (0, 6)
    assert axes.get_xlabel() == "time (s)"


def test_only_the_beginning_of_some_nodes_is_drawn() -> None:
    record, n = Record(100), 100
    for node in range(n):
        record.add((0, START, node, node, -1))
    for step in range(40):
        for node in range(n):
            record.add(((step + 1) * SECOND, GRADIENT, node, node, step * n + node))
    (axes,) = timeline(record.schedule()).axes
    shown = [int(label.get_text()) for label in axes.get_yticklabels()]
    assert len(shown) == SHOWN and shown[0] == 0 and shown[-1] == n - 1
    assert axes.get_xlim() == (0, GRADIENTS)


def test_staleness_is_in_shares_of_all_gradients() -> None:
    (axes,) = staleness(schedule()).axes
    shares = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in axes.patches}
    assert shares == {0: pytest.approx(100 / 3), 1: pytest.approx(200 / 3)}


def report(path: Path, **told: float) -> str:
    about = summary(HISTORY[-1]) | told
    write_report(path, summary=about, history=HISTORY, topology=ring(2), config=CONFIG, schedule=schedule())
    return path.read_text(encoding="utf-8")


def test_the_page_says_what_nodes_did(tmp_path: Path) -> None:
    text = report(tmp_path / "report.html", updates_per_second=0.5)
    page = Page(text)
    assert page.tags["svg"] == 5
    assert len(page.ids) == len(set(page.ids))
    assert "0.5 gradients per second" in text and "real time (s)" in text
    assert "16.7 % of the time on average, 0.0 to 33.3 %" in text


def test_the_page_tells_no_rate_where_seconds_mean_nothing(tmp_path: Path) -> None:
    text = report(tmp_path / "report.html")
    assert "gradients per second" not in text and "16.7 % of the time on average" in text
