"""The results as a table, for people, for papers and for other programs."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gossip.records.report.words import byte_count, duration, number
from gossip.study.graphs import Graph
from gossip.study.results import Cell
from gossip.study.statistics import Spread, more_is_better, pareto

QUANTITIES = {  # of a record -> what a column of it is called
    "step": "steps",
    "bytes_sent_per_node": "bytes",
    "messages_sent_per_node": "messages",
    "simulated_seconds": "simulated time",
    "seconds": "time",
}
ESCAPES = str.maketrans({"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "~": r"\textasciitilde{}"})


@dataclass(frozen=True)
class Entry:
    """A number of the table."""

    text: str
    """As people read it."""

    value: float | None
    """By which rows are sorted; None is last."""

    best: bool = False
    """Whether no other cell has a better one."""


@dataclass(frozen=True)
class Table:
    """One row for each cell."""

    heads: Sequence[str]
    """Of the columns after the name."""

    names: Sequence[str]
    rows: Sequence[Sequence[Entry]]
    metric: str
    target: float

    def csv(self) -> str:
        """Plain numbers."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(["cell", *self.heads])
        for name, row in zip(self.names, self.rows, strict=True):
            writer.writerow([name, *(entry.text if entry.value is None else entry.value for entry in row)])
        return buffer.getvalue()

    def columns(self) -> dict[str, list[str]]:
        """What a terminal has room for: how the runs ended, the metric, and what they need to reach the target."""
        kept = [place for place, head in enumerate(self.heads) if place < 2 or head.endswith("to target")]
        return {"case": list(self.names)} | {self.heads[k]: [row[k].text for row in self.rows] for k in kept}

    def markdown(self) -> str:
        """A table of Markdown, the best in bold."""
        heads = ["cell", *self.heads]
        lines = [heads, ["---", *("---:" for _ in self.heads)]]
        for name, row in zip(self.names, self.rows, strict=True):
            lines.append([name, *(f"**{entry.text}**" if entry.best else entry.text for entry in row)])
        return "".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |\n" for line in lines)

    def latex(self) -> str:
        """A tabular of LaTeX, with the rules of the package booktabs, the best in bold."""

        def line(cells: Iterable[str]) -> str:
            return " & ".join(cells) + r" \\"

        rows = []
        for name, row in zip(self.names, self.rows, strict=True):
            texts = [_tex(entry.text) for entry in row]
            bold = [rf"\textbf{{{text}}}" if entry.best else text for text, entry in zip(texts, row, strict=True)]
            rows.append(line([_tex(name), *bold]))
        heads = line(map(_tex, ["cell", *self.heads]))
        begin = rf"\begin{{tabular}}{{l{'r' * len(self.heads)}}}"
        return "\n".join([begin, r"\toprule", heads, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}", ""])


def table(cells: Sequence[Cell], graphs: Sequence[Graph | None], metric: str, target: float) -> Table:
    """What the cells come to, and what they need to reach the target."""
    columns: dict[str, list[Entry]] = {"runs": [Entry(cell.ends, None) for cell in cells]}
    for name in dict.fromkeys((metric, "test_accuracy", "test_loss", "consensus_distance")):
        ends = [cell.final(name) for cell in cells]
        if any(end is not None for end in ends):
            columns[name.replace("_", " ")] = _entries(ends, name, [len(cell.runs) for cell in cells])
    for key, name in QUANTITIES.items():
        until = [cell.until(key, metric, target) for cell in cells]
        if any(each is not None for each in until):
            columns[f"{name} to target"] = _entries(until, key, [len(cell.runs) for cell in cells])
    sent = [cell.final("bytes_sent_per_node") for cell in cells]
    columns["bytes in all"] = _entries(sent, "bytes_sent_per_node", [len(cell.runs) for cell in cells], ranked=False)
    gaps = [None if graph is None else graph.gap for graph in graphs]
    if any(gap is not None for gap in gaps):
        columns["spectral gap"] = [Entry("-" if gap is None else f"{gap:.4g}", gap) for gap in gaps]
    ends = [cell.final(metric) for cell in cells]
    points = [
        None if end is None or cost is None else (cost.mean, end.mean) for cost, end in zip(sent, ends, strict=True)
    ]
    columns["on the front"] = [Entry("yes" if front else "", float(front)) for front in pareto(points, metric)]
    rows = list(zip(*columns.values(), strict=True))
    return Table(list(columns), [cell.name for cell in cells], rows, metric, target)


def data_csv(cells: Sequence[Cell]) -> str:
    """All records of all runs, one a line, with what tells the cells apart."""
    options = list(dict.fromkeys(key for cell in cells for key in cell.options))
    keys = list(dict.fromkeys(key for cell in cells for run in cell.runs for record in run.history for key in record))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["cell", *options, "seed", "status", *keys])
    for cell in cells:
        for run in cell.runs:
            about = [cell.name, *(cell.options.get(key, "") for key in options), run.seed, run.status]
            writer.writerows([*about, *(record.get(key) for key in keys)] for record in run.history)
    return buffer.getvalue()


def data_json(cells: Sequence[Cell], found: Table) -> str:
    """The same and the table, nested."""
    rows = [
        {"cell": name, **{head: entry.value for head, entry in zip(found.heads, row, strict=True)}}
        for name, row in zip(found.names, found.rows, strict=True)
    ]
    content: dict[str, Any] = {
        "metric": found.metric,
        "target": found.target,
        "table": rows,
        "cells": [
            {
                "name": cell.name,
                "options": dict(cell.options),
                "search": cell.search,
                "trials": [{"values": values, "steps": steps, "score": score} for values, steps, score in cell.trials],
                "runs": [
                    {
                        "seed": run.seed,
                        "status": run.status,
                        "line": run.line,
                        "directory": str(run.directory),
                        "history": list(run.history),
                    }
                    for run in cell.runs
                ],
            }
            for cell in cells
        ],
    }
    return json.dumps(finite(content), indent=1) + "\n"


def finite(value: Any) -> Any:
    """The same without numbers that JSON does not have."""
    if isinstance(value, dict):
        return {str(key): finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def shown(value: float, key: str) -> str:
    """A number of a record in the unit of its size."""
    if key.startswith("bytes"):
        return byte_count(value)
    if key.endswith("seconds"):
        return duration(value)
    return f"{100 * value:.4g} %" if key.endswith("accuracy") else number(float(value), 4)


def _entries(spreads: Sequence[Spread | None], key: str, runs: Sequence[int], ranked: bool = True) -> list[Entry]:
    """The best of those that all runs of a cell have, unless all are alike."""
    whole = [each.mean for each, of in zip(spreads, runs, strict=True) if each is not None and each.count == of]
    differ = ranked and (len(set(whole)) > 1 or len(whole) < len(runs)) and len(runs) > 1
    best = (max if more_is_better(key) else min)(whole, default=None) if differ else None
    entries = []
    for each, of in zip(spreads, runs, strict=True):
        if each is None:
            entries.append(Entry("-", None))
            continue
        text = shown(each.mean, key)
        if each.interval:
            text += f" ± {shown(each.interval, key)}"
        if each.count < of:
            text += f" ({each.count} of {of})"
        entries.append(Entry(text, each.mean, each.count == of and each.mean == best))
    return entries


def _tex(text: str) -> str:
    return text.translate(ESCAPES).replace("±", r"$\pm$")
