"""The report of a finished run: one HTML page that needs nothing but itself.

Pictures are inline SVG whose colours are CSS variables, so that they follow the reader's light or dark mode.
Values may be None, NaN or infinite: a run that diverged gets a report as well, where whatever cannot be drawn
stands in the tables only.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

import topologies

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Records = Sequence[Mapping[str, Any]]

# Light colours by the name of the CSS variable that replaces them in a picture; Okabe and Ito's for the data.
COLORS = {"ink": "#1f2a37", "muted": "#5f6c7b", "line": "#e2e7ed", "train": "#d55e00", "test": "#0072b2"}
COLORS |= {"nodes": "#56b4e9", "consensus": "#009e73"}
LIGHT = COLORS | {"page": "#f6f8fa", "card": "#ffffff", "font": "system-ui, sans-serif"}
DARK = {"ink": "#e6ebf1", "muted": "#9aa7b5", "line": "#2c3643", "train": "#f08a4b", "test": "#4aa8e0"}
DARK |= {"nodes": "#8fd0f5", "consensus": "#35c495", "page": "#0f141a", "card": "#171e27"}

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: small, searchable, in the page's font
    "svg.hashsalt": "gossip",  # the same run gives the same page
    "font.size": 9.0,
    "text.color": COLORS["ink"],
    "axes.labelcolor": COLORS["muted"],
    "axes.edgecolor": COLORS["line"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": COLORS["line"],
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 3.0,
    "legend.frameon": False,
}
for side in ("xtick", "ytick"):
    STYLE |= {f"{side}.color": COLORS["line"], f"{side}.labelcolor": COLORS["muted"], f"{side}.minor.size": 0}

DRAWABLE = (1e-100, 1e100)  # magnitudes; beyond them an axis has nothing to say, and its limits overflow
MARKED = 30  # up to so many records each is marked with a dot
DECADES = 1.5  # a positive loss that spans more gets a logarithmic axis
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

# key, colour, dashes, name
LOSSES = (
    ("train_loss", "train", "-", "train"),
    ("test_loss", "test", "-", "test, averaged model"),
    ("node_test_loss", "nodes", "--", "test, each node's own model (mean over nodes)"),
)
ACCURACIES = (
    ("test_accuracy", "test", "-", "test, averaged model"),
    ("node_test_accuracy", "nodes", "--", "test, each node's own model (mean over nodes)"),
)
BYTES = {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
SECONDS = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}


def write_report(
    path: Path,
    *,
    summary: Mapping[str, Any],
    history: Records,
    topology: topologies.Schedule,
    config: str,
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

    Raises:
        OSError: the file cannot be written.
    """
    import matplotlib

    from topologies.command import drawing

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # the page does not depend on anyone's matplotlibrc
        matplotlib.rcParams.update(STYLE)
        curves = _svg(_curves(history), "curves", "Loss and accuracy over steps, bytes sent and time")
        consensus = _svg(_consensus(history), "consensus", "Consensus distance over steps")
        graph = _svg(drawing.draw(topology), "graph", "Communication graph")
    page = PAGE.substitute(
        style=CSS.substitute(light=_variables(LIGHT), dark=_variables(DARK)),
        title=escape(f"{summary.get('algorithm')} on {summary.get('topology')}"),
        subtitle=escape(_setting(summary)),
        status=escape(str(summary.get("status"))),
        headlines="".join(f"<div><dt>{key}</dt><dd>{value}</dd></div>" for key, value in _headlines(summary)),
        curves=curves,
        consensus=consensus,
        graph=graph,
        facts=escape(_facts(topology, summary)),
        summary="\n".join(_entry(key, value) for key, value in summary.items()),
        records=_count(len(history), "record"),
        history=_table(history),
        config=escape(config),
    )
    path.write_text(page, encoding="utf-8")


def _setting(summary: Mapping[str, Any]) -> str:
    """The subtitle."""
    hosts = f"{_count(summary.get('nodes'), 'node')} on {_count(summary.get('ranks'), 'rank')}"
    steps = _count(summary.get("steps"), "step")
    return f"{hosts} · {summary.get('workload')} · {steps} · seed {summary.get('seed')}"


def _headlines(summary: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """The few numbers that matter, with their names."""
    if summary.get("test_accuracy") is not None:
        yield "test accuracy", f"{100 * summary['test_accuracy']:.1f} %"
    yield "test loss", _pretty(_number(summary.get("test_loss"), 4))
    yield "consensus distance", _pretty(_number(summary.get("consensus_distance"), 3))
    yield "sent per node", _bytes(summary.get("bytes_sent_per_node"))
    yield "time", _duration(summary.get("seconds"))
    if "simulated_seconds" in summary:
        yield "simulated time", _duration(summary["simulated_seconds"])


def _facts(topology: topologies.Schedule, summary: Mapping[str, Any]) -> str:
    """One line about the communication graph."""
    graph = topology.graph
    facts = [_count(topology.n, "node")]
    facts += [_count(graph.number_of_edges(), "directed edge" if graph.is_directed() else "edge")]
    if not topology.static:
        facts += ["rounds without end" if topology.period is None else f"period of {_count(topology.period, 'round')}"]
    facts += [topology.stochasticity]
    if summary.get("spectral_gap") is not None:
        facts += [f"spectral gap {_number(summary['spectral_gap'], 3)}"]
    return " · ".join(facts)


# Curves


def _curves(history: Records) -> Figure:
    """Loss, and accuracy if there is one, each over steps, bytes sent and time as far as these advance."""
    from matplotlib.figure import Figure

    columns = [("step", _column(history, "step"))]
    for key, name, units in (
        ("bytes_sent_per_node", "sent per node", BYTES),
        ("seconds", "time", SECONDS),
        ("simulated_seconds", "simulated time", SECONDS),
    ):
        x = _column(history, key)
        known = x[~np.isnan(x)]
        if known.size and known.max() > known.min():
            unit = _unit(known.max(), units)
            columns.append((f"{name} ({unit})", x / units[unit]))
    rows = [("loss", LOSSES)] + [("accuracy (%)", ACCURACIES)] * _any(history, ACCURACIES)
    figure = Figure(figsize=(11.5, 0.5 + 2.4 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), len(columns), sharex="col", sharey="row", squeeze=False)
    for (quantity, lines), row in zip(rows, panels, strict=True):
        row[0].set_ylabel(quantity)
        for (_, x), axes in zip(columns, row, strict=True):
            _plot(axes, x, [(_column(history, key), *rest) for key, *rest in lines], percent="%" in quantity)
    for (label, _), axes in zip(columns, panels[-1], strict=True):
        axes.set_xlabel(label)
    _whole_steps(panels[0, 0])
    figure.align_ylabels()
    handles, names = panels[0, 0].get_legend_handles_labels()
    if names:
        figure.legend(handles, names, loc="outside upper left", ncols=len(names))
    return figure


def _consensus(history: Records) -> Figure:
    """Consensus distance over steps, on a logarithmic axis, where a distance of exactly 0 has no place."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.4, 4.35), layout="constrained")
    axes = figure.subplots()
    distance = _column(history, "consensus_distance")
    _plot(axes, _column(history, "step"), [(distance, "consensus", "-", "")], percent=False, decades=0.0)
    _whole_steps(axes)
    axes.set(xlabel="step", ylabel="consensus distance")
    return figure


def _plot(axes: Axes, x: np.ndarray, lines: list[Any], percent: bool, decades: float = DECADES) -> None:
    """Draw lines (y, colour, dashes, name); logarithmic if the positive values span `decades` or more."""
    values = np.concatenate([y[~np.isnan(y)] for y, *_ in lines])
    positive = values[values > 0]
    log = not percent and positive.size > 0 and values.min() >= 0
    log = log and math.log10(positive.max() / positive.min()) >= decades
    for y, color, dashes, name in lines:
        shown = np.where(y > 0, y, np.nan) if log else y * (100 if percent else 1)
        if not np.isnan(shown).all():
            marker = "o" if len(x) <= MARKED else ""
            axes.plot(x, shown, color=COLORS[color], linestyle=dashes, marker=marker, label=name or None)
    known = x[~np.isnan(x)]
    if known.size:  # the whole run, also where there is nothing to draw
        pad = 0.02 * (known.max() - known.min()) or 1.0
        axes.set_xlim(known.min() - pad, known.max() + pad)
    if log:
        _logarithmic(axes)
    elif not positive.size and not values.any():
        axes.set_ylim(-0.05, 1)


def _whole_steps(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True))


def _logarithmic(axes: Axes) -> None:
    """A logarithmic y axis labelled in plain text, since formulas come out as scattered glyphs."""
    from matplotlib.ticker import LogFormatter

    class Powers(LogFormatter):
        def __call__(self, x: float, pos: int | None = None) -> str:
            labelled = super().__call__(x, pos)
            return labelled and _pretty(f"{x:g}" if 1e-3 <= x < 1e4 else f"{x:.0e}")

    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(Powers())
    axes.yaxis.set_minor_formatter(Powers(minor_thresholds=(1, 0.4)))


def _column(history: Records, key: str) -> np.ndarray:
    """(records,) floats, NaN where there is no number that can be drawn."""
    column = np.array([np.nan if record.get(key) is None else float(record[key]) for record in history])
    smallest, largest = DRAWABLE
    size = np.abs(column)
    return np.where((column == 0) | ((size > smallest) & (size < largest)), column, np.nan)


def _any(history: Records, lines: Iterable[tuple[str, ...]]) -> bool:
    """Whether there is anything to draw."""
    return any(not np.isnan(_column(history, key)).all() for key, *_ in lines)


def _svg(figure: Figure, name: str, label: str) -> str:
    """The figure as an element of the page: ids start with `name`, colours and font are the page's."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<(metadata|style)\b.*?</\1>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # which nothing refers to
    svg = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--font)", svg)
    svg = re.sub(r"\s*\n\s*", "\n", svg)
    for variable, color in COLORS.items():
        svg = svg.replace(color, f"var(--{variable})")
    head, rest = svg.split(">", 1)
    head = re.sub(r' (width|height|version|xmlns(:xlink)?)="[^"]*"', "", head)
    return f'{head} class="{name}" role="img" aria-label="{escape(label)}">{rest}'


# Words and numbers


def _words(key: str) -> str:
    return escape(key.replace("_", " "))


def _count(number: object, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _number(value: Any, digits: int = 6) -> str:
    """A number as people read it; a dash for None."""
    if value is None:
        return "-"
    return f"{value:.{digits}g}" if isinstance(value, float) else escape(str(value))


def _pretty(number: str) -> str:
    """2e-06 as 2·10⁻⁶, and 1e-06 as 10⁻⁶."""
    mantissa, e, exponent = number.partition("e")
    if not e:
        return number
    return ("" if mantissa == "1" else f"{mantissa}·") + "10" + str(int(exponent)).translate(SUPERSCRIPTS)


def _unit(value: float, units: Mapping[str, float]) -> str:
    """The largest unit that fits into the value; the smallest if none does."""
    smallest, *others = units
    return max((unit for unit in others if units[unit] <= value), key=units.__getitem__, default=smallest)


def _bytes(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return _number(value)
    unit = _unit(value, BYTES)
    return f"{value / BYTES[unit]:.4g} {unit}"


def _duration(seconds: float | None) -> str:
    if seconds is None or not math.isfinite(seconds):
        return _number(seconds)
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _entry(key: str, value: Any) -> str:
    """A row of the summary: the number rounded to the eye, exact in the source."""
    human = f" ({_bytes(value)})" if key == "bytes_sent_per_node" and value else ""
    exact = f'<data value="{escape(str(value))}">{_number(value)}{human}</data>'
    return f"<tr><th>{_words(key)}</th><td>{exact}</td></tr>"


def _table(history: Records) -> str:
    """Head and body of the table of all records."""
    keys = list(dict.fromkeys(key for record in history for key in record))
    head = "".join(f"<th>{_words(key)}</th>" for key in keys)
    rows = ("".join(f"<td>{_number(record.get(key))}</td>" for key in keys) for record in history)
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"


# The page


def _variables(values: Mapping[str, str]) -> str:
    return " ".join(f"--{name}: {value};" for name, value in values.items())


CSS = Template("""
:root { color-scheme: light dark; $light }
@media screen and (prefers-color-scheme: dark) { :root { $dark } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 2rem 1.5rem 3rem; background: var(--page);
  color: var(--ink); font: 15px/1.5 var(--font); font-variant-numeric: tabular-nums; }
header { margin-bottom: 1.5rem; }
h1 { margin: 0; font-size: 1.75rem; line-height: 1.25; font-weight: 650; overflow-wrap: anywhere; }
h2, summary { margin: 0 0 .75rem; font-size: 1rem; font-weight: 600; }
p { margin: .25rem 0 0; color: var(--muted); }
.diverged { color: var(--train); }
section, details { margin-bottom: 1rem; padding: 1rem 1.25rem; overflow-x: auto; background: var(--card);
  border: 1px solid var(--line); border-radius: 10px; break-inside: avoid; }
details { break-inside: auto; }
summary { margin: 0; cursor: pointer; }
details[open] > summary { margin-bottom: .75rem; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 1rem; margin: 0; }
dt { color: var(--muted); font-size: .85rem; }
dd { margin: 0; font-size: 1.6rem; line-height: 1.3; font-weight: 600; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(22rem, 1fr)); gap: 0 1rem; }
svg { display: block; width: 100%; height: auto; }
svg * { stroke-linejoin: round; stroke-linecap: butt; }
svg text { fill: var(--ink); }
svg.curves { min-width: 42rem; }
svg.graph { max-height: 23rem; }
table { border-collapse: collapse; font-size: .85rem; }
th { color: var(--muted); font-weight: 500; text-align: left; }
td { text-align: right; white-space: nowrap; }
th, td { padding: .15rem 0; border-bottom: 1px solid var(--line); }
.summary, .summary tbody { display: block; }
.summary tbody { columns: 18rem; column-gap: 3rem; }
.summary tr { display: flex; justify-content: space-between; gap: 1rem; break-inside: avoid;
  border-bottom: 1px solid var(--line); }
.history { min-width: 100%; }
.history :is(th, td) { padding: .1rem 0 .1rem .9rem; text-align: right; }
.summary :is(th, td) { border: 0; overflow-wrap: anywhere; white-space: normal; }
pre { margin: 0; font: 13px/1.5 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
@media print { :root { --page: #ffffff; font-size: 12px; } body { padding: 0; font-size: 12px; }
  section, details { padding: 0; border: 0; overflow: visible; } svg.curves { min-width: 0; }
  .pair { grid-template-columns: 1fr 1fr; } }
""")

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
<header><h1>$title</h1><p>$subtitle · <b class="$status">$status</b></p></header>
<section><dl>$headlines</dl></section>
<section><h2>Learning curves</h2>$curves</section>
<div class="pair">
<section><h2>Consensus distance</h2>$consensus</section>
<section><h2>Communication graph</h2>$graph<p>$facts</p></section>
</div>
<section><h2>Summary</h2><table class="summary"><tbody>$summary</tbody></table></section>
<details><summary>History, $records</summary><table class="history">$history</table></details>
<details><summary>Configuration</summary><pre>$config</pre></details>
</body>
</html>
""")
