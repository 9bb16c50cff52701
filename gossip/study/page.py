"""The page of a study: one HTML file that needs nothing but itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from gossip.records.report.words import counted
from gossip.study.figures import across_options, figure, metrics, quantities
from gossip.study.graphs import DRAWN, DRAWN_NODES, Graph
from gossip.study.results import Cell
from gossip.study.statistics import curve, number_in
from gossip.study.tables import QUANTITIES, Entry, Table, finite
from topologies.pages.style import LINES
from topologies.pages.template import drawn, folded, page, picture, pictures, section, svg

STYLE = """<style>
.choices { display: flex; flex-wrap: wrap; gap: .5rem 1rem; margin-bottom: .5rem; color: var(--muted); }
.choices select { font: inherit; color: var(--ink); background: var(--page); border: 1px solid var(--line);
  border-radius: 6px; max-width: 13rem; }
.plot { width: 100%; }
.best { color: var(--green); font-weight: 650; }
th[tabindex] { cursor: pointer; }
th[aria-sort=ascending]::after { content: " ↑"; } th[aria-sort=descending]::after { content: " ↓"; }
.comparison td:first-child { white-space: normal; min-width: 9rem; }
a { color: var(--blue); }
</style>"""


def plotly() -> str | None:
    """The library that draws, as text to stand in the page; None if it is not installed."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        return None
    text: str = get_plotlyjs()
    return text


def study_page(title: str, cells: Sequence[Cell], graphs: Sequence[Graph | None], found: Table) -> str:
    """The page, as HTML.

    Args:
        title: Its heading.
        cells: What it is about.
        graphs: The topology of each, where it is known.
        found: The table.
    """
    library = plotly()
    with drawn():  # the style of what is drawn here
        parts = [
            STYLE,
            f"<section><dl>{_headlines(cells, found)}</dl></section>",
            *_plots(cells, graphs, found, library is not None),
            section("Table", _table(found), _caption(found)),
            *_across(cells, found),
            *_drawings(graphs),
        ]
    parts += [_searches(cells), _unfinished(cells), _configurations(cells), _files()]
    scripts = ""
    if library is not None:
        scripts = f"<script>{library}</script>"
    data = json.dumps(finite(_data(cells, graphs, found))).replace("</", "<\\/")
    script = Path(__file__).with_name("page.js").read_text(encoding="utf-8")
    parts.append(f'<script type="application/json" id="data">{data}</script>{scripts}<script>{script}</script>')
    runs = sum(len(cell.runs) for cell in cells)
    return page(title, f"{counted(len(cells), 'cell')} · {counted(runs, 'run')}", [part for part in parts if part])


def answers(found: Table) -> list[tuple[str, str]]:
    """Which cell is best in what, in words."""
    best = []
    for place, head in enumerate(found.heads):
        names = [name for name, row in zip(found.names, found.rows, strict=True) if row[place].best]
        if names and (head.endswith("to target") or head == found.metric.replace("_", " ")):
            what = f"best {head}" if head == found.metric.replace("_", " ") else f"least {head}"
            best.append((what, names[0] if len(names) == 1 else f"{names[0]}, and {len(names) - 1} more"))
    return best


def _headlines(cells: Sequence[Cell], found: Table) -> str:
    def entry(name: str, value: str) -> str:
        return f"<div><dt>{escape(name)}</dt><dd style='font-size:1.05rem'>{escape(value)}</dd></div>"

    target = entry("target", f"{found.metric.replace('_', ' ')} {found.target:g}")
    return target + "".join(entry(what, name) for what, name in answers(found))


def _plots(cells: Sequence[Cell], graphs: Sequence[Graph | None], found: Table, interactive: bool) -> list[str]:
    xs, ys = quantities(cells), metrics(cells)
    if not xs or not ys:
        return []
    if not interactive:
        curves = svg(figure(cells, "step", found.metric), "curves", "Learning curves", wide=True)
        lacking = "pip install 'gossip-mpi[study]' makes plots on this page that can be zoomed and chosen from."
        return [section("Curves", curves, lacking)]
    ends = ["bytes_sent_per_node", *(key for key in xs if key != "bytes_sent_per_node")]
    ends += ["spectral gap"] if any(graph is not None and graph.gap is not None for graph in graphs) else []
    note = "Means over the seeds, with 95 % confidence intervals. A click on a name hides it, two show it alone."
    parts = [
        _plot("Curves", "curves", xs, ys, (xs[0], found.metric), note),
        _plot("Outcome against cost", "points", ends, ys, (ends[0], found.metric), "Large and framed: no other cell is "
              "as good for as few bytes (the Pareto front)."),
    ]  # fmt: skip
    if "consensus_distance" in ys:
        note = "Root mean square over the nodes of the distance to their average."
        parts.insert(1, _plot("Consensus", "curves", xs, ys, (xs[0], "consensus_distance"), note))
    if "spectral gap" in ends:
        note = "The share of the disagreement that a round of averaging removes at least, against what came of the run."
        parts.append(_plot("Spectral gap", "points", ends, ys, ("spectral gap", found.metric), note))
    return parts


def _plot(heading: str, kind: str, xs: Sequence[str], ys: Sequence[str], chosen: tuple[str, str], caption: str) -> str:
    def select(name: str, keys: Sequence[str], first: str) -> str:
        options = "".join(
            f'<option value="{key}"{" selected" if key == first else ""}>{key.replace("_", " ")}</option>'
            for key in keys
        )
        return f'<label>{name} <select name="{name}">{options}</select></label>'

    boxes = [("xlog", "log x"), ("ylog", "log y"), *([("bands", "bands")] if kind == "curves" else [])]
    checks = "".join(
        f'<label><input type="checkbox" name="{name}"{" checked" if name == "bands" else ""}> {text}</label>'
        for name, text in boxes
    )
    choices = f'<div class="choices">{select("y", ys, chosen[1])}{select("x", xs, chosen[0])}{checks}</div>'
    body = f'<div class="plotted" data-kind="{kind}">{choices}<div class="plot"></div></div>'
    return section(heading, body, caption)


def _table(found: Table) -> str:
    def cell(entry: Entry) -> str:
        value = "" if entry.value is None else repr(entry.value)
        return f'<td data-value="{value}"{" class=best" if entry.best else ""}>{escape(entry.text)}</td>'

    heads = "".join(f"<th>{escape(head)}</th>" for head in ["cell", *found.heads])
    rows = "\n".join(
        f'<tr><td data-value="{escape(name)}">{escape(name)}</td>{"".join(map(cell, row))}</tr>'
        for name, row in zip(found.names, found.rows, strict=True)
    )
    return f'<table class="comparison sortable"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'


def _caption(found: Table) -> str:
    return (
        f"Means over the seeds ± half the 95 % confidence interval (Student's t); the best in green, among cells whose "
        f"runs all have it. To target: the first evaluation with a {found.metric.replace('_', ' ')} of "
        f"{found.target:g}, for the seeds that come to it. Bytes and messages are those that a node sends on average. "
        f"On the front: no other cell is as good for as few bytes. A click on a head sorts."
    )


def _across(cells: Sequence[Cell], found: Table) -> list[str]:
    """Pictures of what comes out across the numbers that an option has."""
    figures = across_options(cells, found.metric, found.target)
    shown = [svg(made, name.replace(".", "-"), name.replace("-", " ")) for name, made in figures]
    note = "Means over the seeds with 95 % confidence intervals; a line for cells that differ in nothing else."
    return (
        [section("Across the values of an option", f'<div class="pair">{"".join(shown)}</div>', note)] if shown else []
    )


def _drawings(graphs: Sequence[Graph | None]) -> list[str]:
    from topologies.command import drawing

    different = {id(graph): graph for graph in graphs if graph is not None}.values()
    shown = [graph for graph in different if graph.topology.n <= DRAWN_NODES][:DRAWN]
    if not shown:
        return []
    found = [
        picture(
            svg(drawing.draw(graph.topology), f"graph{place}", f"The graph {graph.topology.name}"),
            f"<b>{escape(graph.topology.name)}</b><br>{escape(graph.facts)}",
        )
        for place, graph in enumerate(shown)
    ]
    return [section("Graphs", pictures(found))]


def _searches(cells: Sequence[Cell]) -> str:
    """What was tried where the best value was looked for."""
    parts = []
    for cell in cells:
        if cell.trials:
            rows = "".join(
                f"<tr><td>{escape(', '.join(f'{key}={value:g}' for key, value in values.items()))}</td>"
                f"<td>{steps}</td><td>{score:.6g}</td></tr>"
                for values, steps, score in cell.trials
            )
            parts.append(
                f"<p><b>{escape(cell.name)}</b>: {escape(cell.search)}</p><table class=history>"
                f"<thead><tr><th>values</th><th>steps</th><th>score</th></tr></thead><tbody>{rows}</tbody></table>"
            )
    return folded("Search for the best values (lowest score; on seeds of its own)", "".join(parts)) if parts else ""


def _unfinished(cells: Sequence[Cell]) -> str:
    lines = [
        f"<p><b class={run.status}>{run.status}</b> {escape(cell.name)}, seed {run.seed}: {escape(run.line)}</p>"
        for cell in cells
        for run in cell.runs
        if run.status != "finished"
    ]
    lines += [
        f"<p>{escape(cell.name)}: {escape(text)}</p>"
        for cell in cells
        for text in dict.fromkeys(text for run in cell.runs for text in run.warnings)
    ]
    return section("Diverged, failed, or to be careful with", "".join(lines)) if lines else ""


def _configurations(cells: Sequence[Cell]) -> str:
    parts = []
    for cell in cells:
        directories = "".join(f"<br>seed {run.seed}: {escape(str(run.directory))}" for run in cell.runs)
        config = next((run.config for run in cell.runs if run.config), "")
        parts.append(folded(cell.name, f"<p>{directories[4:]}</p><pre>{escape(config)}</pre>"))
    return folded("Configurations and run directories", "".join(parts))


def _files() -> str:
    names = ("data.csv", "data.json", "table.csv", "table.md", "table.tex", "figures")
    links = ", ".join(f'<a href="{name}">{name}</a>' for name in names)
    return section("Beside this page", f"<p>All records, the table, and figures in SVG and PDF: {links}</p>")


def _data(cells: Sequence[Cell], graphs: Sequence[Graph | None], found: Table) -> dict[str, Any]:
    """What the script draws."""
    xs, ys = quantities(cells), metrics(cells)
    front = found.heads.index("on the front")

    def ends(cell: Cell, graph: Graph | None) -> tuple[Mapping[str, float | None], Mapping[str, float | None]]:
        spreads = {key: cell.final(key) for key in (*ys, *QUANTITIES)}
        means = {key: None if each is None else each.mean for key, each in spreads.items()}
        gap = None if graph is None else graph.gap
        return {**means, "spectral gap": gap}, {k: None if e is None else e.interval for k, e in spreads.items()}

    found_cells = []
    for cell, graph, row in zip(cells, graphs, found.rows, strict=True):
        means, intervals = ends(cell, graph)
        curves = {y: {x: curve(cell.histories, x, y) for x in xs} for y in ys if number_in(cell.last, y) is not None}
        found_cells.append(
            {
                "name": cell.name,
                "ends": means,
                "intervals": intervals,
                "curves": curves,
                "front": bool(row[front].value),
            }
        )
    return {"cells": found_cells, "colors": list(LINES)}
