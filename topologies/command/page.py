"""A page that compares topologies: one HTML file with everything in it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from topologies.command.drawing import draw
from topologies.pages.style import line
from topologies.pages.template import drawn, page, picture, pictures, section, svg, table
from topologies.schedule import Schedule
from topologies.spectra.measures import CONSENSUS, Measurements, consensus_curve
from topologies.topology import Topology

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DENSE = 600  # nodes up to which all eigenvalues are drawn

NUMBERS = (
    f"Seconds are predicted. Consensus: the distance of random vectors to their mean is {CONSENSUS:g} of "
    "what it was; rounds to it are counted. Exact after: rounds whose product is the average. Gap: 1 minus "
    "the second largest modulus of an eigenvalue of W. Contraction: by what part the distance shrinks in a "
    "round, at worst, on average over a period. Degree: messages that a node sends in a round, on average, and at most "
    "in any. Diameter: hops. MB / round: what a node sends, 1 MB being 10^6 bytes. Resistance: between two nodes, on "
    "average, with edges of 1 ohm. Effective neighbours: how much averaging lowers the variance of noise that decays "
    "by 0.99 a round. A dash: it does not exist, or takes too long to compute for so many nodes."
)
CURVES = (
    "Distance to the mean, as a part of that at the start, of 4 normal vectors, the same for all; a round is "
    "one message to each neighbour. Only topologies whose rows of W sum to 1 have such a curve."
)
SPECTRA = (
    "Moduli of all eigenvalues of W, the largest first; of a schedule, singular values of the product of a period. "
    f"Left out: schedules without end, and more than {DENSE} nodes."
)


def comparison(
    title: str, assumptions: str, numbers: Sequence[Sequence[str]], shown: Sequence[tuple[str, Schedule]]
) -> str:
    """The HTML page that compares topologies.

    Args:
        title: its heading.
        assumptions: what the predicted seconds depend on.
        numbers: rows of cells, the first of them the heads.
        shown: what is drawn, in this order, each with what it is called.
    """
    heads, *rows = numbers
    with drawn():
        drawings = [
            picture(svg(draw(each), f"graph-{k}", f"{name}, drawn"), f"<b>{escape(name)}</b>, {each.n} nodes")
            for k, (name, each) in enumerate(shown)
        ]
        consensus = svg(curves(shown), "consensus", "Distance to consensus over rounds", wide=True)
        moduli = svg(spectra(shown), "spectra", "Moduli of eigenvalues in descending order", wide=True)
    return page(
        title,
        escape(assumptions),
        [
            section("Numbers", table(heads, rows), NUMBERS),
            section("Consensus", consensus, CURVES),
            section("Spectra", moduli, SPECTRA),
            section("Drawings", pictures(drawings), "Of schedules the union of all rounds; arrows: from the sender."),
        ],
    )


def gallery(families: Sequence[Callable[..., Schedule]], n: int = 16) -> str:
    """A page with a picture and the first line of the description of every family.

    Args:
        families: functions of the number of nodes.
        n: as many nodes, or the next number at which a family exists.
    """
    figures = []
    with drawn():
        for family in families:
            schedule = _nearest(family, n)
            if schedule is None:  # needs more than a number of nodes
                continue
            name, about = family.__name__, (family.__doc__ or "").strip().split("\n")[0]
            caption = f"<b>{name}</b>, {schedule.n} nodes. {escape(about)}"
            figures.append(picture(svg(draw(schedule), name, f"{name}, drawn"), caption))
    caption = "Of those that vary with time the union of all rounds is drawn. Arrows point from the sender."
    made = f"{len(figures)} families · made by <code>python -m topologies gallery</code>"
    return page("Topologies", made, [section("Families", pictures(figures), caption)])


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


def curves(shown: Sequence[tuple[str, Schedule]]) -> Figure:
    """Distance to consensus over the rounds."""
    lines = [
        (k, name, np.maximum(consensus_curve(each), 1e-17))
        for k, (name, each) in enumerate(shown)
        if each.row_stochastic
    ]
    figure = _lines([(k, name, np.arange(len(curve)), curve) for k, name, curve in lines])
    figure.axes[0].set(xscale="symlog", yscale="log", xlabel="round", ylabel="distance to consensus", ylim=(1e-7, 2))
    return figure


def spectra(shown: Sequence[tuple[str, Schedule]]) -> Figure:
    """Moduli of the eigenvalues of W in descending order; of a schedule, singular values of a period's product."""
    lines = []
    for k, (name, schedule) in enumerate(shown):
        if schedule.n > DENSE or schedule.period is None:
            continue
        if isinstance(schedule, Topology):
            values, label = np.abs(np.linalg.eigvals(schedule.matrix.toarray())), name
        else:
            product = np.eye(schedule.n)
            for each in schedule:
                product = each.matrix @ product
            values, label = np.linalg.svd(product, compute_uv=False), f"{name} (period)"
        lines.append((k, label, np.arange(1, schedule.n + 1), np.sort(values)[::-1]))
    figure = _lines(lines)
    figure.axes[0].set(xlabel="k", ylabel="modulus of eigenvalue k")
    return figure


def _lines(lines: Sequence[tuple[int, str, np.ndarray, np.ndarray]]) -> Figure:
    """Lines (place in the legend, name, x, y), told apart by colours, dashes and markers."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.5, 4.2), layout="constrained")
    axes = figure.subplots()
    for k, name, x, y in lines:
        axes.plot(x, y, label=name, markevery=0.05, markersize=4, **line(k))
    if lines:
        figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper")
    return figure


COLUMNS = {  # of the comparison: head, and how the number is written
    "topology": lambda m: m.name,
    "s to consensus": lambda m: number(m.seconds_to_consensus),
    "s / round": lambda m: number(m.seconds_per_round),
    "rounds to 1e-6": lambda m: number(m.rounds_to_consensus),
    "exact after": lambda m: number(m.exact_after),
    "gap": lambda m: number(m.spectral_gap),
    "contraction": lambda m: number(m.contraction_per_round),
    "degree": lambda m: number(m.mean_degree),
    "max degree": lambda m: number(m.max_degree),
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
