"""Show how far long work is, on stderr: bars on a terminal, a plain line now and then elsewhere.

Training, evaluation, packing, checks of data, caches of teachers and comparisons all show their progress through it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from netaug.core.consoles import SafeConsole
from netaug.core.display import duration

_PLAIN_SECONDS = 10.0
_REDRAW_SECONDS = 0.25

Item = TypeVar("Item")


class ProgressDisplay:
    """Draw bars on a terminal, and print lines above them; elsewhere print the lines alone. A context manager.

    Args:
        console: Where to write; stderr by default.

    Attributes:
        has_bars: Whether bars are drawn: the console is a terminal.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or SafeConsole(stderr=True)
        # Asked once: it reads the environment, and every step wants to know.
        self.has_bars = self._console.is_terminal
        columns = (
            # titles and notes hold names from files, in which brackets must not act as markup
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        # transient: finished bars leave no lines behind
        self._bars = Progress(*columns, console=self._console, transient=True)
        self._drawn_at = float("-inf")

    @property
    def is_due(self) -> bool:
        """Whether bars were last updated so long ago that another update would be seen."""
        return self.has_bars and time.monotonic() - self._drawn_at >= _REDRAW_SECONDS

    def __enter__(self) -> ProgressDisplay:
        if self.has_bars:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.has_bars:  # stopping bars that never started would print an empty line
            self._bars.stop()

    def add_bar(self, title: str, total: float, note: str = "") -> TaskID:
        """Add a bar below the others.

        Args:
            title: Before the bar.
            total: How much work it stands for, in any unit.
            note: Behind the bar.
        """
        return self._bars.add_task(title, total=total, note=note)

    def update_bar(
        self, bar: TaskID, completed: float, *, title: str | None = None, note: str | None = None
    ) -> None:
        """Set how much work is done, and title and note where they are given."""
        self._drawn_at = time.monotonic()
        fields: dict[str, Any] = {} if note is None else {"note": note}
        self._bars.update(bar, completed=completed, description=title, **fields)

    def remove_bar(self, bar: TaskID) -> None:
        """Remove a bar."""
        self._bars.remove_task(bar)

    def say(self, text: str) -> None:
        """Print plain text above the bars."""
        with _lossy():
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class WorkProgress:
    """Show how many items of work are done, their rate and the time left; a context manager.

    Args:
        title: What is done.
        total: How many items there are.
        console: Where to write; stderr by default. Where it is not a terminal it gets a line every ten seconds.
        clock: Seconds, for rates.
    """

    def __init__(
        self,
        title: str,
        total: int,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title, self._total, self._clock = title, total, clock
        self._display = ProgressDisplay(console)
        self._bar = self._display.add_bar(title, total)
        self._done = 0
        self._done_before: int | None = None
        self._start = self._line_at = clock()

    def __enter__(self) -> WorkProgress:
        self._display.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._display.__exit__()

    def advance(self, items: int = 1) -> None:
        """Count further items as done."""
        self._show(self._done + items)

    def reach(self, done: int) -> None:
        """Set how many items are done; of the first call none counts for the rate, since others may have done them."""
        if self._done_before is None:
            self._done_before, self._start = done, self._clock()
        self._show(done)

    def _show(self, done: int) -> None:
        self._done = done
        now = self._clock()
        if self._display.is_due:
            self._display.update_bar(self._bar, self._done, note=self._facts(now))
        elif not self._display.has_bars and now - self._line_at >= _PLAIN_SECONDS:
            self._line_at = now
            self._display.say(f"{self._title}: {self._facts(now)}")

    def _facts(self, now: float) -> str:
        seconds = max(now - self._start, 1e-9)
        rate = (self._done - (self._done_before or 0)) / seconds
        eta = duration((self._total - self._done) / rate) if rate > 0 else "unknown"
        speed = f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s"
        return f"{self._done:,} of {self._total:,}  {speed}  ETA {eta}"


def track(items: Iterable[Item], title: str, total: int) -> Iterator[Item]:
    """Yield the items, and show the progress of the caller's work on them.

    Args:
        items: ``total`` of them.
        title: What is done.
        total: How many.
    """
    with WorkProgress(title, total) as progress:
        for item in items:
            yield item
            progress.advance()


@contextmanager
def _lossy() -> Iterator[None]:
    """Drop what stderr does not take, such as on a full disk: no work may end because its progress cannot be shown."""
    try:
        yield
    except BrokenPipeError:  # the reader is gone, which ends every tool
        raise
    except OSError:
        return
