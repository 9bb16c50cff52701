"""Colours and shapes of all pages, on a light and on a dark screen."""

from __future__ import annotations

from collections.abc import Mapping
from string import Template
from typing import Any

# Colours of lines, by the name of the CSS variable that replaces them in a picture, in the order in which `line` takes
# them: Okabe and Ito's, which colour-blind readers tell apart, then darker ones, as yellow cannot be seen on white.
LINES = {"blue": "#0072b2", "vermilion": "#d55e00", "green": "#009e73", "purple": "#b5568e"}
LINES |= {"amber": "#b37a00", "sky": "#56b4e9", "violet": "#6a51c4", "brown": "#7d5536"}
DASHES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # as many as have no factor in common with the colours

COLORS = {"ink": "#1f2a37", "muted": "#5f6c7b", "line": "#e2e7ed"} | LINES
LIGHT = COLORS | {"page": "#f6f8fa", "card": "#ffffff", "font": "system-ui, sans-serif"}
DARK = {"ink": "#e6ebf1", "muted": "#9aa7b5", "line": "#2c3643", "page": "#0f141a", "card": "#171e27"}
DARK |= {"blue": "#4aa8e0", "vermilion": "#f08a4b", "green": "#35c495", "purple": "#dd8fbd"}
DARK |= {"amber": "#e3ad3c", "sky": "#8fd0f5", "violet": "#a796ee", "brown": "#c59a76"}

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: small, searchable, in the page's font
    "svg.hashsalt": "gossip",  # the same numbers give the same page
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
.diverged { color: var(--vermilion); }
section, details { margin-bottom: 1rem; padding: 1rem 1.25rem; overflow-x: auto; background: var(--card);
  border: 1px solid var(--line); border-radius: 10px; break-inside: avoid; }
details { break-inside: auto; }
summary { margin: 0; cursor: pointer; }
details[open] > summary { margin-bottom: .75rem; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 1rem; margin: 0; }
dt { color: var(--muted); font-size: .85rem; }
dd { margin: 0; font-size: 1.6rem; line-height: 1.3; font-weight: 600; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(22rem, 1fr)); gap: 0 1rem; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); gap: 1.25rem; }
figure { margin: 0; }
figcaption { color: var(--muted); font-size: .85rem; text-align: center; }
figcaption b { color: var(--ink); font-weight: 600; }
svg { display: block; width: 100%; height: auto; }
svg * { stroke-linejoin: round; stroke-linecap: butt; }
svg text { fill: var(--ink); }
svg.wide { min-width: 42rem; }
svg.graph { max-height: 23rem; }
table { border-collapse: collapse; font-size: .85rem; }
table + p { margin-top: .75rem; }
th { color: var(--muted); font-weight: 500; text-align: left; }
td { text-align: right; white-space: nowrap; }
th, td { padding: .15rem 0; border-bottom: 1px solid var(--line); }
.summary, .summary tbody { display: block; }
.summary tbody { columns: 18rem; column-gap: 3rem; }
.summary tr { display: flex; justify-content: space-between; gap: 1rem; break-inside: avoid;
  border-bottom: 1px solid var(--line); }
.history { min-width: 100%; }
.history :is(th, td) { padding: .1rem 0 .1rem .9rem; text-align: right; }
.history :is(th, td):first-child { padding-left: 0; }
.comparison { min-width: 100%; }
.comparison :is(th, td) { padding: .3rem 0 .3rem .9rem; text-align: right; vertical-align: bottom; }
.comparison :is(th, td):first-child { padding-left: 0; text-align: left; position: sticky; left: 0;
  background: var(--card); }
.summary :is(th, td) { border: 0; overflow-wrap: anywhere; white-space: normal; }
pre { margin: 0; font: 13px/1.5 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
@media print { :root { --page: #ffffff; font-size: 12px; } body { padding: 0; font-size: 12px; }
  section, details { padding: 0; border: 0; overflow: visible; } svg.wide { min-width: 0; }
  .pair { grid-template-columns: 1fr 1fr; } }
""")


def variables(values: Mapping[str, str]) -> str:
    """The declarations of CSS variables of these values."""
    return " ".join(f"--{name}: {value};" for name, value in values.items())


def line(k: int) -> dict[str, Any]:
    """How line k of a plot looks, for `axes.plot`: up to 56 are told apart, and up to 28 without their colours."""
    colors = list(LINES.values())
    return {
        "color": colors[k % len(colors)],
        "linestyle": DASHES[k % len(DASHES)],
        "marker": MARKERS[k % len(MARKERS)],
    }
