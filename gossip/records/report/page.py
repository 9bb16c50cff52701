"""The report of a finished run: one HTML page that needs nothing but itself.

Pictures are inline SVG whose colours are CSS variables, so that they follow the reader's light or dark mode.
Values may be None, NaN or infinite: a run that diverged gets a report as well, where whatever cannot be drawn
stands in the tables only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

import topologies
from gossip.drivers.schedule import Schedule
from gossip.records.replacing import replace_file
from gossip.records.report.curves import consensus_curve, learning_curves
from gossip.records.report.holdings import in_words, who_has_what
from gossip.records.report.timeline import GRADIENTS, staleness, timeline
from gossip.records.report.words import Records, byte_count, counted, duration, number, pretty, words
from gossip.workloads.holdings import Holdings
from topologies.pages.template import drawn, folded, page, section, svg


def write_report(
    path: Path,
    *,
    summary: Mapping[str, Any],
    history: Records,
    topology: topologies.Schedule,
    config: str,
    schedule: Schedule | None = None,
    held: Holdings | None = None,
) -> None:
    """Write the page.

    Args:
        path: the HTML file, overwritten.
        summary: what the run was and how it ended; every entry is shown.
        history: one record per evaluation, the first at step 0: `step`, losses, accuracies in [0, 1] if the
            workload has them, `consensus_distance`, `bytes_sent_per_node`, `seconds` since the start,
            `simulated_seconds` if there is such a clock, ...
        topology: who talked to whom.
        config: the resolved configuration, shown as it is.
        schedule: what happened when, of an asynchronous run.
        held: which training examples the nodes have.

    Raises:
        OSError: the file cannot be written.
    """
    from topologies.command import drawing

    with drawn():
        curves = svg(learning_curves(history), "curves", "Loss and accuracy over steps, bytes sent and time", wide=True)
        consensus = svg(consensus_curve(history), "consensus", "Consensus distance over steps")
        graph = svg(drawing.draw(topology), "graph", "Communication graph")
        data = [] if held is None else [section("Who has what", _picture(held), in_words(held))]
        asynchronous = (
            list(_asynchronous(schedule, "updates_per_second" in summary))
            if schedule is not None and len(schedule)
            else []
        )
    headlines = "".join(f"<div><dt>{key}</dt><dd>{value}</dd></div>" for key, value in _headlines(summary))
    entries = "\n".join(_entry(key, value) for key, value in summary.items())
    records = counted(len(history), "record")
    status = escape(str(summary.get("status")))
    text = page(
        f"{summary.get('algorithm')} on {summary.get('topology')}",
        f'{escape(_setting(summary))} · <b class="{status}">{status}</b>',
        [
            f"<section><dl>{headlines}</dl></section>",
            section("Learning curves", curves),
            '<div class="pair">',
            section("Consensus distance", consensus),
            section("Communication graph", graph, _facts(topology, summary)),
            "</div>",
            *asynchronous,
            *data,
            section("Summary", f'<table class="summary"><tbody>{entries}</tbody></table>'),
            folded(f"History, {records}", f'<table class="history">{_table(history)}</table>'),
            folded("Configuration", f"<pre>{escape(config)}</pre>"),
        ],
    )
    replace_file(path, text)


def _picture(held: Holdings) -> str:
    return svg(who_has_what(held), "data", "Training examples of each label at each node", wide=True)


def _asynchronous(schedule: Schedule, timed: bool) -> Iterator[str]:
    """The sections of a run in which every node went at its own pace, whose seconds mean something or nothing."""
    rate = f"{pretty(number(schedule.updates_per_second, 4))} gradients per second; " if timed else ""
    beginning = svg(timeline(schedule), "timeline", "What the nodes did in the beginning", wide=True)
    yield section(
        "Timeline of the nodes",
        beginning,
        f"The beginning, until the first of these nodes had {GRADIENTS} gradients: a bar is a gradient, from when it "
        f"was asked for, and each line a message. A node without a bar waited.",
    )
    idle = schedule.idle_seconds() / schedule.seconds if schedule.seconds else schedule.idle_seconds()
    yield section(
        "Staleness",
        svg(staleness(schedule), "staleness", "Shares of gradients by their staleness"),
        f"{rate}without a gradient to compute, a node spent {100 * idle.mean():.1f} % of the time on average, "
        f"{100 * idle.min():.1f} to {100 * idle.max():.1f} %.",
    )


def _setting(summary: Mapping[str, Any]) -> str:
    """The subtitle."""
    hosts = f"{counted(summary.get('nodes'), 'node')} on {counted(summary.get('ranks'), 'rank')}"
    steps = counted(summary.get("steps"), "step")
    return f"{hosts} · {summary.get('workload')} · {steps} · seed {summary.get('seed')}"


def _headlines(summary: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """The few numbers that matter, with their names."""
    if summary.get("test_accuracy") is not None:
        yield "test accuracy", f"{100 * summary['test_accuracy']:.1f} %"
    yield "test loss", pretty(number(summary.get("test_loss"), 4))
    if "epsilon" in summary:
        yield "epsilon", pretty(number(summary["epsilon"], 4)) if summary["epsilon"] is not None else "infinite"
    yield "consensus distance", pretty(number(summary.get("consensus_distance"), 3))
    yield "sent per node", byte_count(summary.get("bytes_sent_per_node"))
    yield "time", duration(summary.get("seconds"))
    if "simulated_seconds" in summary:
        yield "simulated time", duration(summary["simulated_seconds"])


def _facts(topology: topologies.Schedule, summary: Mapping[str, Any]) -> str:
    """One line about the communication graph."""
    graph = topology.graph
    facts = [counted(topology.n, "node")]
    facts += [counted(graph.number_of_edges(), "directed edge" if graph.is_directed() else "edge")]
    if not topology.static:
        facts += ["rounds without end" if topology.period is None else f"period of {counted(topology.period, 'round')}"]
    facts += [topology.stochasticity]
    if summary.get("spectral_gap") is not None:
        facts += [f"spectral gap {number(summary['spectral_gap'], 3)}"]
    return " · ".join(facts)


def _entry(key: str, value: Any) -> str:
    """A row of the summary: the number rounded to the eye, exact in the source."""
    human = f" ({byte_count(value)})" if key == "bytes_sent_per_node" and value else ""
    exact = f'<data value="{escape(str(value))}">{number(value)}{human}</data>'
    return f"<tr><th>{words(key)}</th><td>{exact}</td></tr>"


def _table(history: Records) -> str:
    """Head and body of the table of all records."""
    keys = list(dict.fromkeys(key for record in history for key in record))
    head = "".join(f"<th>{words(key)}</th>" for key in keys)
    rows = ("".join(f"<td>{number(record.get(key))}</td>" for key in keys) for record in history)
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
