"""A page that compares topologies: one HTML file with everything in it."""

from __future__ import annotations

import html
import inspect
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from topologies.command.drawing import draw
from topologies.schedule import Schedule
from topologies.spectra.measures import Measurements, consensus_curve
from topologies.topology import Topology

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DENSE = 600  # nodes up to which all eigenvalues are drawn

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
td, th { padding: .3rem .8rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }
td:first-child, th:first-child { text-align: left; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem; }
figure { margin: 0; } figcaption { text-align: center; } svg { width: 100%; height: auto; }
"""


def page(title: str, table: Sequence[Sequence[str]], schedules: Sequence[Schedule]) -> str:
    """The HTML page.

    Args:
        title: heading.
        table: rows of cells, the first of them the heads.
        schedules: what is drawn, in this order.
    """
    heads, *rows = ["".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)
                    for tag, row in zip(["th", *["td"] * len(table)], table, strict=False)]  # fmt: skip
    pictures = "".join(
        f"<figure>{svg(draw(each))}<figcaption>{html.escape(each.name)}</figcaption></figure>" for each in schedules
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style><h1>{html.escape(title)}</h1>"
        f"<table><tr>{heads}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"
        f'<h2>Drawings</h2><div class="pictures">{pictures}</div>'
        f"<h2>Consensus</h2>{svg(curves(schedules))}<h2>Spectra</h2>{svg(spectra(schedules))}</html>\n"
    )


def gallery(families: Sequence[Callable[..., Schedule]], n: int = 16) -> str:
    """A page with a picture and the first line of the description of every family.

    Args:
        families: functions of the number of nodes.
        n: as many nodes, or the next number at which a family exists.
    """
    figures = []
    for family in families:
        schedule = _nearest(family, n)
        if schedule is None:  # needs more than a number of nodes
            continue
        about = (family.__doc__ or "").strip().split("\n")[0]
        figures.append(
            f"<figure>{svg(draw(schedule))}<figcaption><b>{family.__name__}</b>, {schedule.n} nodes. "
            f"{html.escape(about)}</figcaption></figure>"
        )
    title = "Topologies"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
        f"<h1>{title}</h1><p>Made by <code>python -m topologies gallery</code>. Of those that vary with time the union "
        f'of all rounds is drawn.</p><div class="pictures">{"".join(figures)}</div></html>\n'
    )


def _nearest(family: Callable[..., Schedule], n: int) -> Schedule | None:
    default = inspect.signature(family).parameters["n"].default
    if isinstance(default, int):
        return family(default)
    for nodes in sorted(range(1, 2 * n), key=lambda each: abs(each - n)):
        try:
            return family(nodes)
        except ValueError:
            continue
    return None


def curves(schedules: Sequence[Schedule]) -> Figure:
    """Distance to consensus over the rounds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.add_subplot()
    for schedule in schedules:
        if schedule.row_stochastic:
            curve = consensus_curve(schedule)
            axes.plot(np.maximum(curve, 1e-17), label=schedule.name)
    axes.set(xscale="symlog", yscale="log", xlabel="round", ylabel="distance to consensus", ylim=(1e-7, 2))
    axes.legend(fontsize="small")
    return figure


def spectra(schedules: Sequence[Schedule]) -> Figure:
    """Moduli of the eigenvalues of W in descending order; of a schedule, singular values of a period's product."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.add_subplot()
    for schedule in schedules:
        if schedule.n > DENSE or schedule.period is None:
            continue
        if isinstance(schedule, Topology):
            values, label = np.abs(np.linalg.eigvals(schedule.matrix.toarray())), schedule.name
        else:
            product = np.eye(schedule.n)
            for each in schedule:
                product = each.matrix @ product
            values = np.linalg.svd(product, compute_uv=False)
            label = f"{schedule.name} (period)"
        axes.plot(np.arange(1, schedule.n + 1), np.sort(values)[::-1], label=label)
    axes.set(xlabel="k", ylabel="modulus of eigenvalue k")
    if axes.lines:
        axes.legend(fontsize="small")
    return figure


def svg(figure: Figure) -> str:
    """A figure as an inline element."""
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": figure.get_label() or "topologies"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


COLUMNS = {  # of the comparison: head, and how the number is written
    "topology": lambda m: m.name,
    "s to consensus": lambda m: number(m.seconds_to_consensus),
    "s / round": lambda m: number(m.seconds_per_round),
    "rounds to 1e-6": lambda m: number(m.rounds_to_consensus),
    "exact after": lambda m: number(m.exact_after),
    "gap": lambda m: number(m.spectral_gap),
    "contraction": lambda m: number(m.contraction_per_round),
    "degree": lambda m: number(m.mean_degree),
    "max": lambda m: number(m.max_degree),
    "diameter": lambda m: number(m.diameter),
    "MB / round": lambda m: number(m.bytes_per_round / 1e6),
    "resistance": lambda m: number(m.effective_resistance),
    "eff. neighbours": lambda m: number(m.effective_neighbors),
}


def rows(measured: Sequence[Measurements]) -> list[list[str]]:
    """Heads, and a row for each, the fastest to consensus first."""
    ordered = sorted(measured, key=lambda m: (m.seconds_to_consensus is None, m.seconds_to_consensus or 0.0))
    return [list(COLUMNS), *([write(each) for write in COLUMNS.values()] for each in ordered)]


def number(value: float | None) -> str:
    """Four digits; whole numbers as they are."""
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.4g}"
