"""The report page: self-contained, complete, and written whatever the numbers are."""

import math
import re
from collections import Counter
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from gossip.records.report.page import write_report
from topologies import Schedule, one_peer_exponential, random_out, randomized_gossip, ring, star

pytest.importorskip("matplotlib")

Record = dict[str, Any]
Written = Callable[..., str]

VOID = {"meta", "br", "hr", "img", "link", "input"}
CONFIG = "algorithm: ChocoSGD\nnote: <script>alert('&')</script> $title https://example.org\n"


class Page(HTMLParser):
    """Checks that elements close in order, and collects what the tests ask for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.ids: list[str | None] = []
        self.references: list[str] = []
        self.data: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.handle_startendtag(tag, attributes)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "srcset", "action"):
                self.references.append(value or "")
            self.references += [f"#{used}" for used in re.findall(r"url\(#(.*?)\)", value or "")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.data.append(data)


def record(step: int, **changes: Any) -> Record:
    values: Record = {
        "step": step,
        "train_loss": 2.3 / (1 + step),
        "gradient_norm": 1.5,
        "test_loss": 2.4 / (1 + step),
        "test_accuracy": 0.1 + step / 1000,
        "node_test_loss": 2.5 / (1 + step),
        "node_test_accuracy": 0.09 + step / 1000,
        "consensus_distance": 0.125 * step,
        "bytes_sent_per_node": 104_000 * step,
        "messages_sent_per_node": 2 * step,
        "seconds": 0.25 * step,
    }
    return values | changes


def summary(last: Record, **changes: Any) -> Record:
    values: Record = {
        "algorithm": "ChocoSGD",
        "topology": "ring",
        "workload": "digits",
        "nodes": 8,
        "ranks": 4,
        "steps": last["step"],
        "seed": 123457,
        "spectral_gap": 0.19526214587563495,
        "status": "finished",
    }
    kept = ("seconds", "train_loss", "test_loss", "consensus_distance", "bytes_sent_per_node")
    values |= {key: last[key] for key in (*kept, "messages_sent_per_node")}
    return values | {"test_accuracy": last.get("test_accuracy")} | changes


HISTORY = [record(step) for step in range(0, 500, 10)]


def write(path: Path, history: list[Record] = HISTORY, topology: Schedule | None = None, **changes: Any) -> str:
    totals = summary(history[-1], **changes)
    write_report(path, summary=totals, history=history, topology=topology or ring(8), config=CONFIG)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of an ordinary run."""
    return write(tmp_path_factory.mktemp("run") / "report.html")


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return lambda *args, **changes: write(tmp_path / "report.html", *args, **changes)


def test_page_is_self_contained(text: str) -> None:
    page = Page(text)
    assert not re.search(r"https?://", text.replace("https://example.org", ""))
    assert not re.search(r"@import|url\((?!#)", text)
    assert page.tags["script"] == page.tags["link"] == page.tags["img"] == 0
    assert all(reference.startswith("#") for reference in page.references)


def test_one_svg_per_figure_with_unique_ids_that_resolve(text: str) -> None:
    page = Page(text)
    assert page.tags["svg"] == 3
    assert page.ids and len(page.ids) == len(set(page.ids))
    assert page.references and {reference[1:] for reference in page.references} <= set(page.ids)


def test_simulated_time_is_shown_beside_the_real_one(written: Written, text: str) -> None:
    history = [record(step, simulated_seconds=60.0 * step) for step in range(0, 500, 10)]
    clocked = written(history, simulated_seconds=history[-1]["simulated_seconds"])
    assert "<dt>simulated time</dt><dd>8 h 10 min</dd>" in clocked
    assert "simulated time (h)" in clocked  # an axis
    assert "simulated time" not in text


def test_every_summary_value_is_shown_exactly(written: Written) -> None:
    text = written(extra="a < b")
    for value in summary(HISTORY[-1], extra="a &lt; b").values():
        assert f'<data value="{value}">' in text
    assert "59.0 %" in text and "50.96 MB" in text and "2 min" in text


def test_every_record_is_in_the_table(text: str) -> None:
    assert Page(text).tags["tr"] == len(HISTORY) + 1 + len(summary(HISTORY[-1]))


def test_text_is_escaped(written: Written) -> None:
    text = written(algorithm="<b>&", status="</b>")
    page = Page(text)
    assert "<script" not in text
    assert CONFIG in page.data
    assert "<title>&lt;b&gt;&amp; on ring</title>" in text


def test_same_run_same_page(text: str, written: Written) -> None:
    assert written() == text


def test_colors_follow_the_mode(text: str) -> None:
    for svg in re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)[:2]:
        assert "#d55e00" not in svg and "#0072b2" not in svg
        assert "var(--" in svg


def test_axes_have_units_and_plain_text(text: str) -> None:
    text = unescape(text)
    for label in (">step<", ">sent per node (MB)<", ">time (min)<", ">accuracy (%)<", ">consensus distance<"):
        assert label in text


def test_without_accuracy_and_communication(written: Written) -> None:
    history = [record(step, bytes_sent_per_node=0, messages_sent_per_node=0) for step in (0, 1, 2)]
    history = [{key: each[key] for key in each if "accuracy" not in key} for each in history]
    text = written(history)
    assert Page(text).tags["svg"] == 3
    assert "accuracy (%)" not in text and "sent per node (" not in text


@pytest.mark.parametrize(
    "history",
    [
        [record(0)],
        [record(0, consensus_distance=0.0), record(5, consensus_distance=0.0)],
        [record(0, node_test_loss=None, node_test_accuracy=None), record(1)],
        [record(0), record(1, **dict.fromkeys(("train_loss", "test_loss", "consensus_distance"), math.nan))],
        [record(0), record(1, **dict.fromkeys(("train_loss", "test_loss", "consensus_distance"), math.inf))],
        [record(0), record(1, train_loss=1e308, test_loss=-1e308, consensus_distance=1e300)],
        [record(0), record(1, train_loss=1e-320, test_loss=0.0, consensus_distance=5e-324)],
        [record(0), record(1, train_loss=-3.0)],
        [record(0, **{key: None for key in record(0) if key != "step"})] * 2,
        [record(0, **{key: math.nan for key in record(0) if key != "step"})] * 2,
    ],
)
def test_any_numbers(written: Written, history: list[Record]) -> None:
    page = Page(written(history, status="diverged", spectral_gap=None))
    assert page.tags["svg"] == 3
    assert "diverged" in page.data


@pytest.mark.parametrize("topology", [ring(1), star(5), one_peer_exponential(8), random_out(8)])
def test_topologies(written: Written, topology: Schedule) -> None:
    assert Page(written(topology=topology)).tags["svg"] == 3


def test_what_the_graph_is(written: Written) -> None:
    for topology, says in (
        (randomized_gossip(8), "8 nodes · 28 edges · rounds without end · doubly stochastic"),
        (random_out(8), "8 nodes · 16 directed edges · column stochastic"),
        (one_peer_exponential(8), "period of 3 rounds · doubly stochastic"),
    ):
        assert says in " ".join(Page(written(topology=topology)).data)
