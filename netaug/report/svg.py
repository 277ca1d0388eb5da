"""Turn matplotlib's figures into inline SVG with CSS variables as colors: one drawing suits light and dark pages."""

from __future__ import annotations

import html
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from netaug.core.escaping import terminal
from netaug.report.styles import STYLES, color_name, variables

# matplotlib wants colors it can parse: these stand for CSS variables until the SVG is written
INK, GRID, CARD = "#010203", "#040506", "#0a0b0c"
_ARMS = [f"#0{number}0{number}0{number}" for number in range(1, len(STYLES) + 1)]
_CSS = {INK: "var(--muted)", GRID: "var(--line)", CARD: "var(--card)"}
_CSS |= {color: f"var({color_name(number)})" for number, color in enumerate(_ARMS)}
_SETTINGS = {
    # texts stay texts: they can be searched, and take the page's font
    "svg.fonttype": "none",
    # the same figure gives the same ids, and so the same bytes
    "svg.hashsalt": "netaug",
    "path.simplify": True,
    # names of arms may hold dollar signs
    "text.usetex": False,
    "text.parse_math": False,
    # defaults that a matplotlibrc of the user's may have changed
    "axes.unicode_minus": True,
    "axes.prop_cycle": matplotlib.rcParamsDefault["axes.prop_cycle"],
    "font.family": ["DejaVu Sans"],
    "font.size": 11.0,
    "lines.marker": "None",
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "grid.linestyle": "-",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
}


def arm_color(number: int) -> str:
    """Return what stands for the color of the arm at that position."""
    return _ARMS[int(color_name(number).removeprefix("--arm-"))]


@contextmanager
def plot(width: float = 4.7, height: float = 3.2) -> Iterator[tuple[Figure, Any]]:
    """Yield a figure of that size in inches and its axes, in the page's style; matplotlib's settings are put back."""
    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.add_subplot()


class HoverLine(NamedTuple):
    """Hold what a page's script shows of a line while a pointer is over the plot.

    Args:
        name: As the legend calls it.
        number: Of its style; None has the color of the axes.
        points: x, y, and the deviation of y or None, in the plot's units.
    """

    name: str
    number: int | None
    points: Sequence[tuple[float, float, float | None]]


class HoverPoint(NamedTuple):
    """Hold what a page's script shows while a pointer is near a point of the plot.

    Args:
        name: What the point is of.
        number: Of its style.
        x: In the plot's units.
        y: Likewise.
        text: Its values, for people.
    """

    name: str
    number: int
    x: float
    y: float
    text: str


def hover_points(axes: Any, points: Sequence[HoverPoint]) -> dict[str, Any]:
    """Return the points of a plot for the page's script; called when the limits are final."""
    return {
        "axes": axes,
        "points": [
            {"name": name, "style": color_name(number), "at": _rounded([x, y]), "text": text}
            for name, number, x, y, text in points
        ],
    }


def hover(axes: Any, lines: Sequence[HoverLine]) -> dict[str, Any]:
    """Return the values of a plot's lines for the page's script; called when the limits and labels are final."""
    return {
        "axes": axes,
        "names": [axes.get_xlabel(), axes.get_ylabel()],
        "lines": [
            {
                "name": line.name,
                "style": _color_of(line),
                "points": [_rounded(p) for p in line.points],
            }
            for line in lines
        ],
    }


def _color_of(line: HoverLine) -> str:
    return "--muted" if line.number is None else color_name(line.number)


def _rounded(values: Sequence[float | None]) -> list[float | None]:
    # pictures have about a thousand pixels, and people read four digits
    return [None if value is None else float(f"{value:.5g}") for value in values]


def _hover_attribute(content: Mapping[str, Any] | None) -> Markup:
    """Return the attribute that the script reads; the plot must have been drawn, which lays it out."""
    if content is None:
        return Markup("")
    axes = content["axes"]
    place = axes.get_position()
    box = _rounded(
        [place.x0, 1 - place.y1, place.x1, 1 - place.y0]
    )  # fractions of the picture, from its upper left
    limits = [_rounded(axes.get_xlim()), _rounded(axes.get_ylim())]
    data = {"box": box, "limits": limits} | {key: value for key, value in content.items() if key != "axes"}
    return Markup(' tabindex="0" data-hover="{}"').format(terminal(json.dumps(data)))


def as_svg(figure: Figure, name: str, description: str, values: Mapping[str, Any] | None = None) -> Markup:
    """Return the figure as an ``<svg>`` element for a page; inside :func:`plot`.

    Args:
        figure: What is drawn.
        name: Makes the ids unique in the page.
        description: What it shows, for those who do not see it.
        values: From :func:`hover` or :func:`hover_points`; None shows no values.
    """
    buffer = io.StringIO()
    FigureCanvasSVG(figure)
    # without the date, so that the same comparison gives the same page
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    head, body = text.split(">", 1)
    view = re.search(r'viewBox="[^"]*"', head)
    assert view, "matplotlib writes a viewBox"
    # ids are global in a page: plots would use each other's clip paths
    body = re.sub(r'\bid="([^"]*)"', rf'id="{name}-\1"', body)
    body = re.sub(r"url\(#([^)]*)\)", rf"url(#{name}-\1)", body)
    body = re.sub(r'xlink:href="#([^"]*)"', rf'href="#{name}-\1"', body)
    # laid out with a font that every matplotlib has, shown in the page's
    body = re.sub(r"'DejaVu Sans'", "inherit", body)
    for color, variable in _CSS.items():
        body = body.replace(color, variable)
    label = html.escape(terminal(description), quote=True)
    shown = _hover_attribute(values)
    return Markup(f'<svg class="plot" {view[0]} role="img" aria-label="{label}"{shown}>{body}')


def with_switch(whole: Markup, cut: Markup | None) -> Markup:
    """Return a plot that shows everything, with a switch to its end alone; without ``cut`` there is none."""
    if cut is None:
        return whole
    return Markup(
        '<div class="switched"><label><input type="checkbox" autocomplete="off"> leave out the start</label>'
        '<div class="whole">{}</div><div class="cut">{}</div></div>'
    ).format(whole, cut)


def standalone(svg: Markup) -> str:
    """Return an ``<svg>`` element of a page as a file of its own: with the colors it names, on white."""
    light, _ = variables()
    names = "--muted: #59616c; --line: #e1e4e8; --card: #fff;"
    style = f"<style>:root {{ {names} {light} background: #fff; font-family: sans-serif }}</style>"
    head, body = str(svg).split(">", 1)
    return f'{head} xmlns="http://www.w3.org/2000/svg">{style}{body}\n'
