"""Define the style of each arm: a color, a line and a marker, so that arms are told apart without color too.

Number 0 is the reference. The others take turns at the remaining colors; those that share a color differ in the rest.
Colors are CSS variables in the pictures, so one drawing suits light and dark pages.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from markupsafe import Markup


class Style(NamedTuple):
    """Describe how one arm is drawn.

    Args:
        light: Color on a light page.
        dark: Color on a dark page.
        dashes: Lengths of ink and gap in widths of the line; none is a solid line.
        marker: As matplotlib calls it.
        shape: The same marker as an SVG path around (0, 0), about 8 wide.
    """

    light: str
    dark: str
    dashes: tuple[float, ...]
    marker: str
    shape: str


# the first colors are Okabe and Ito's (2008), told apart by color-blind readers, darkened or lightened for contrast
STYLES = (
    Style("#0072b2", "#56b4e9", (), "o", "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0"),
    Style("#c65200", "#ff8f45", (), "D", "M0,-4.6L4.6,0L0,4.6L-4.6,0Z"),
    Style("#007d5a", "#2fc79a", (4.0, 1.5), "s", "M-3.6,-3.6H3.6V3.6H-3.6Z"),
    Style("#a8357f", "#e58cc4", (1.2, 1.0), "^", "M0,-4.4L4.2,3.6H-4.2Z"),
    Style("#8a6a00", "#e8d44d", (6.0, 1.5, 1.2, 1.5), "v", "M0,4.4L4.2,-3.6H-4.2Z"),
    Style("#4b3fb5", "#a9a3ff", (2.5, 1.2), "<", "M-4.4,0L3.6,4.2V-4.2Z"),
    Style("#7a4a21", "#cfa278", (8.0, 1.5), ">", "M4.4,0L-3.6,4.2V-4.2Z"),
    Style("#5b636e", "#a9b1bb", (3.0, 1.0, 1.0, 1.0, 1.0, 1.0), "X", "M-4,-4L4,4M4,-4L-4,4"),
)


def style_of(number: int) -> Style:
    """Return the style of the arm at that position."""
    color = _color(number)
    if number < len(STYLES):
        return STYLES[color]
    turn = (number - 1) // (len(STYLES) - 1)
    other = STYLES[1 + (color - 1 + turn) % (len(STYLES) - 1)]
    return other._replace(light=STYLES[color].light, dark=STYLES[color].dark)


def color_name(number: int) -> str:
    """Return the CSS variable that holds the arm's color."""
    return f"--arm-{_color(number)}"


def _color(number: int) -> int:
    return 0 if number == 0 else 1 + (number - 1) % (len(STYLES) - 1)


def line_style(number: int) -> Any:
    """Return the arm's line style as matplotlib takes it."""
    dashes = style_of(number).dashes
    return (0, dashes) if dashes else "solid"


def key(number: int | None) -> Markup:
    """Return a small picture of the arm's line and marker, for tables and legends."""
    if number is None:
        return Markup("")
    style = style_of(number)
    dashes = " ".join(f"{2 * length:g}" for length in style.dashes)
    return Markup(
        '<svg class="key" viewBox="0 0 30 12" aria-hidden="true"><g style="stroke:var({color});fill:var({color})">'
        '<path d="M1,6H29" stroke-width="2"{dashes}/>'
        '<path d="{shape}" transform="translate(15 6)"/></g></svg>'
    ).format(
        color=color_name(number),
        shape=style.shape,
        dashes=Markup(' stroke-dasharray="{}"').format(dashes) if dashes else "",
    )


def variables() -> tuple[str, str]:
    """Return CSS that sets the arms' colors: on a light page, on a dark one."""
    numbered = list(enumerate(STYLES))
    light = " ".join(f"{color_name(number)}: {style.light};" for number, style in numbered)
    return light, " ".join(f"{color_name(number)}: {style.dark};" for number, style in numbered)
