"""Draw the intervals of the README's table of results into docs/pictures/results.svg.

python docs/draw_results.py            # writes the picture
python docs/draw_results.py --check    # exit code 1 if it is not up to date
"""

from __future__ import annotations

import html
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "pictures" / "results.svg"
HEADER = "| training | n | at equal epochs | at equal compute |"
MINUS = "\N{MINUS SIGN}"
INTERVAL = re.compile(rf"([+{MINUS}]?\d+\.\d) \[([+{MINUS}]\d+\.\d), ([+{MINUS}]\d+\.\d)\]")
LEFT, WIDTH, TOP, ROW = 540, 900, 64, 34  # pixels: of the axis, of the picture, above the first row, of a row
LEAST, MOST = -10.5, 5.5  # points
INK, FAINT, COLOR, AHEAD = "#1f2933", "#b8c4ce", "#0b7285", "#c2410c"


def rows() -> Iterator[tuple[str, str, str, str]]:
    """Yield the cells of the table: training, n, at equal epochs, at equal compute."""
    lines = iter((ROOT / "README.md").read_text(encoding="utf-8").splitlines())
    for line in lines:
        if line == HEADER:
            break
    next(lines)
    for line in lines:
        if not line.startswith("|"):
            return
        training, n, epochs, compute = (cell.strip() for cell in line.strip("|").split(" | "))
        yield training, n, epochs, compute


def plain(markdown: str) -> str:
    """Return Markdown without links and marks."""
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown).replace("`", "").replace("*", "")


def text(x: float, y: float, words: str, anchor: str = "start", size: int = 12) -> str:
    """Return text at a place in the picture."""
    style = f'font-size="{size}" text-anchor="{anchor}" fill="{INK}"'
    return f'<text x="{x:g}" y="{y:g}" {style}>{html.escape(words)}</text>'


def interval(y: float, mean: float, low: float, high: float, filled: bool) -> Iterator[str]:
    """Yield a mean and its interval; one that excludes zero has a color of its own."""
    color = AHEAD if low > 0 or high < 0 else COLOR
    ends = f'x1="{position(low):.1f}" x2="{position(high):.1f}"'
    yield f'<line {ends} y1="{y:g}" y2="{y:g}" stroke="{color}" stroke-width="2"/>'
    fill = color if filled else "#ffffff"
    yield f'<circle cx="{position(mean):.1f}" cy="{y:g}" r="4" fill="{fill}" stroke="{color}" stroke-width="2"/>'


def position(points: float) -> float:
    """Return where a difference in points is on the axis."""
    return LEFT + (points - LEAST) / (MOST - LEAST) * (WIDTH - 20 - LEFT)


def draw() -> str:
    """Return the picture."""
    table = list(rows())
    height = TOP + ROW * len(table) + 30
    marks = [
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="10" fill="#ffffff" stroke="#d9e2ec"/>',
        text(20, 26, "Difference from the plain network in points of accuracy, with 95 % intervals", size=14),
        text(20, 46, "● at equal epochs · ○ at equal compute · orange: the interval excludes zero"),
    ]
    for points in range(-10, 6, 5):
        x, color = position(points), INK if points == 0 else FAINT
        marks.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{height - 24}" stroke="{color}" stroke-width="1"/>'
        )
        marks.append(text(x, height - 8, f"{points:+d}".replace("-", MINUS) if points else "0", "middle"))
    for number, (training, n, epochs, compute) in enumerate(table):
        middle = TOP + ROW * number + ROW / 2
        marks.append(text(20, middle + 4, f"{plain(training)} (n = {n})"))
        for cell, filled, shift in ((epochs, True, -6), (compute, False, 6)):
            for offset, match in enumerate(INTERVAL.finditer(cell)):
                numbers = (float(value.replace(MINUS, "-")) for value in match.groups())
                marks += interval(middle + shift + 9 * offset, *numbers, filled)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
            'aria-labelledby="title" font-family="system-ui, Helvetica, Arial, sans-serif">',
            '<title id="title">What was measured: differences from the plain network, as in the table</title>',
            *marks,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(PICTURE.read_text(encoding="utf-8") != draw())
    PICTURE.write_text(draw(), encoding="utf-8")
