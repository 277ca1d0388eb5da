"""`netaug runs`."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path

from netaug.commands.arguments import new_parser, parse
from netaug.core.escaping import line, say
from netaug.runs.listing import RunStatus, find_runs

_ABOUT = """\
Lists the runs in a folder and below it, also those of comparisons, last written first.

  finished    has its last epoch; `netaug eval` and `netaug predict` take its folder
  running     a process holds it
  stopped     the `netaug train` that started it resumes it
  failed      ended before anything was saved
  unreadable  a file of it is damaged or missing; the line says which

Scores are of the evaluation split in percent, of the best epoch and of the last one: top-1, or the average
precision of a detector. The network kept is the last; the best is for looking only, as it is picked on the
images it is judged by. The size is that of the folder, checkpoints included."""

_EXAMPLE = """
netaug runs
netaug runs runs/compare-demo-digits
netaug runs --json"""

_HEAD = (
    *("run", "state", "network", "data", "task", "arm", "seed", "epoch"),
    *("score", "best", "last", "size", "written"),
)
_LEFT = 6
"""So many columns hold words and begin at the left; the others hold numbers and end at the right."""


def run(words: list[str]) -> None:
    """List the runs."""
    parser = new_parser("runs", "[DIR] [--json]", _ABOUT, _EXAMPLE)
    parser.add_argument("folder", type=str, nargs="?", default="runs", help="Where to look; default: runs.")
    parser.add_argument("--json", action="store_true", help="Print a JSON list instead.")
    arguments, _ = parse(parser, words)
    folder = Path(arguments.folder)
    found = find_runs(folder)
    if arguments.json:
        say(json.dumps([{**dataclasses.asdict(run), "path": str(run.path)} for run in found], indent=2))
    elif not found:
        say(f"no runs in {folder}")
    else:
        say(table(found, folder, time.time()))
        if len(found) == 1 and found[0].advice:
            say(line(found[0].advice))


def table(runs: Sequence[RunStatus], folder: Path, now: float) -> str:
    """Format one line per run under a line of titles.

    Args:
        runs: In the order to show.
        folder: What paths are shown relative to.
        now: Seconds since 1970.
    """
    rows = [_HEAD, *(tuple(map(line, _row(run, folder, now))) for run in runs)]
    widths = [max(len(row[column]) for row in rows if len(row) == len(_HEAD)) for column in range(len(_HEAD))]
    widths[0] = max(len(row[0]) for row in rows)
    return "\n".join(_line(row, widths) for row in rows)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.ljust(width) if column < _LEFT else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=False))
    ]
    return "  ".join(cells).rstrip()


def _row(run: RunStatus, folder: Path, now: float) -> tuple[str, ...]:
    place = "." if run.path == folder else str(run.path.relative_to(folder))
    if run.problem is not None:
        return place, f"{run.state}: {run.problem}; seen {age(now - run.changed)} ago"
    return (
        place,
        run.state,
        str(run.model),
        str(run.data),
        run.task or "-",
        str(run.arm),
        str(run.seed),
        f"{run.epochs_done}/{run.epochs}",
        run.score or "-",
        _shown(run.best, ".2f"),
        _shown(run.last, ".2f"),
        size(run.size),
        f"{age(now - run.changed)} ago",
    )


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def size(count: int) -> str:
    """Format bytes in one unit of a thousand: `12 KB`, `3.4 MB`."""
    for unit, each in (("GB", 1e9), ("MB", 1e6)):
        if count >= each:
            return f"{count / each:.1f} {unit}"
    return f"{count / 1e3:.0f} KB"


def age(seconds: float) -> str:
    """Format seconds in one unit: `45 s`, `3 min`, `2 h`, `5 d`."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
