"""What all pages are put together from: one HTML file that needs nothing but itself.

Pictures are inline SVG whose colours are CSS variables, so that they follow the reader's light or dark mode.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from string import Template
from typing import TYPE_CHECKING

from topologies.pages.style import COLORS, CSS, DARK, LIGHT, STYLE, variables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
<header><h1>$title</h1><p>$subtitle</p></header>
$body
</body>
</html>
""")


def page(title: str, subtitle: str, parts: Iterable[str]) -> str:
    """The whole page.

    Args:
        title: its heading, as text.
        subtitle: a line below it, as HTML.
        parts: what is on it, one below the other: those of `section` and `folded`, as HTML.
    """
    style = CSS.substitute(light=variables(LIGHT), dark=variables(DARK))
    return PAGE.substitute(title=escape(title), style=style, subtitle=subtitle, body="\n".join(parts))


def section(heading: str, content: str, caption: str = "") -> str:
    """A card, which scrolls sideways if its content is wide.

    Args:
        heading: as text.
        content: as HTML.
        caption: a sentence or some below the content, as text: the units, and what was assumed.
    """
    below = f"<p>{escape(caption)}</p>" if caption else ""
    return f"<section><h2>{escape(heading)}</h2>{content}{below}</section>"


def folded(heading: str, content: str) -> str:
    """A card that shows its content, as HTML, only when its heading, as text, is clicked."""
    return f"<details><summary>{escape(heading)}</summary>{content}</details>"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Things to compare, one in a row: names on the left, numbers on the right, all of them as text."""

    def cells(tag: str, row: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row) + "</tr>"

    body = "\n".join(cells("td", row) for row in rows)
    return f'<table class="comparison"><thead>{cells("th", heads)}</thead><tbody>{body}</tbody></table>'


def picture(svg: str, caption: str) -> str:
    """A picture of `svg`, to be set beside others in a `pictures`, with a caption as HTML."""
    return f"<figure>{svg}<figcaption>{caption}</figcaption></figure>"


def pictures(figures: Iterable[str]) -> str:
    """Those of `picture`, in rows of as many as there is room for."""
    return f'<div class="pictures">{"".join(figures)}</div>'


@contextmanager
def drawn() -> Iterator[None]:
    """Figures made in this context, and turned into `svg` there, have the style of the pages."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # the page does not depend on anyone's matplotlibrc
        matplotlib.rcParams.update(STYLE)
        yield


def svg(figure: Figure, name: str, label: str, *, wide: bool = False) -> str:
    """The figure as an element of the page, whose colours and font are the page's.

    Args:
        figure: made in the context of `drawn`.
        name: what its ids start with, each picture of a page another.
        label: what it shows, for those who cannot see it.
        wide: whether it keeps its width on a narrow screen, where its card scrolls.
    """
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
    return f'{head} class="{name}{" wide" if wide else ""}" role="img" aria-label="{escape(label)}">{rest}'
