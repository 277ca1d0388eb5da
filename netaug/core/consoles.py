"""Consoles of rich for tables, bars and colors, on which text from files cannot act.

Apart from `core.escaping` because rich takes long to import, and `netaug --help` needs the other one alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from netaug.core.escaping import terminal


class SafeConsole(Console):
    """Shows control characters in texts as text; those that rich makes itself, for colors and bars, take effect."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of what is printed, each of plain text and a style."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(terminal(segment.text), segment.style)
