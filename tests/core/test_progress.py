"""Progress is a bar on a terminal and a line now and then elsewhere, with the rate and the time that is left."""

import io

from rich.console import Console

from netaug.core.progress import ProgressDisplay, WorkProgress


def shown(*, terminal: bool, steps: int, seconds_per_step: float, first: int = 0) -> str:
    text, now = io.StringIO(), [0.0]
    console = Console(file=text, width=120, force_terminal=terminal, color_system=None, legacy_windows=False)
    with WorkProgress("packing train", 100, console, clock=lambda: now[0]) as progress:
        if first:
            progress.reach(first)
        for _ in range(steps):
            now[0] += seconds_per_step
            progress.advance(10)
    return text.getvalue()


def test_work_without_a_terminal_gets_a_line_every_ten_seconds() -> None:
    lines = shown(terminal=False, steps=5, seconds_per_step=5.0).splitlines()
    assert lines == [
        "packing train: 20 of 100  2/s  ETA 40 s",
        "packing train: 40 of 100  2/s  ETA 30 s",
    ]


def test_short_work_without_a_terminal_is_silent() -> None:
    assert shown(terminal=False, steps=5, seconds_per_step=0.1) == ""


def test_a_terminal_sees_a_bar_with_rate_and_time_left() -> None:
    text = shown(terminal=True, steps=2, seconds_per_step=5.0)
    for word in ("packing train", "━", "10 of 100", "2/s", "ETA 45 s"):
        assert word in text


def test_what_an_earlier_process_has_done_does_not_count_for_the_rate() -> None:
    assert "60 of 100  1/s  ETA 40 s" in shown(terminal=False, steps=1, seconds_per_step=10.0, first=50)


def test_text_is_printed_as_it_is() -> None:
    text = io.StringIO()
    with ProgressDisplay(Console(file=text, width=20, force_terminal=False)) as display:
        display.say("[red]a long line that is not wrapped")
    assert text.getvalue() == "[red]a long line that is not wrapped\n"


class Full(io.StringIO):
    """A stream on a full disk."""

    def write(self, text: str) -> int:
        raise self.error

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error


def test_progress_that_cannot_be_written_is_dropped() -> None:
    ProgressDisplay(Console(file=Full(OSError(28, "No space left on device")))).say("packing")
