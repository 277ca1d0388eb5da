"""Show the progress of a comparison: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import TaskID

from netaug.compare.formatting import rate, seconds
from netaug.compare.records import RunRecord
from netaug.compare.run_specs import RunSpec, text
from netaug.core.display import score_name
from netaug.core.progress import ProgressDisplay

_GUESSED_RATIO = 4.0  # NetAug's cost over the baseline's before it is measured


def label(spec: RunSpec) -> str:
    """Return how a run is called in progress and messages."""
    parts = ["tuning" if spec.phase == "tune" else "", spec.arm]
    parts += ["" if spec.lr is None else f"lr {rate(spec.lr)}"]
    parts += [f"{key.split('.')[-1]} {text(value)}" for key, value in spec.tuned]
    parts += [f"seed {spec.seed}"]
    return " ".join(word for word in parts if word)


def seconds_left(
    planned: Mapping[str, int], fractions: Mapping[RunSpec, float], costs: Mapping[str, float], jobs: int
) -> float | None:
    """Estimate the wall time a comparison still takes.

    Args:
        planned: Number of runs per arm, finished ones included.
        fractions: How much of each started run is done, in [0, 1].
        costs: Wall seconds of one run per arm, as far as known.
        jobs: Runs at the same time.

    Returns:
        Seconds; None while no run's cost is known. The longer baseline is taken to cost what NetAug does, and other
        arms of unknown cost the mean of the known ones.
    """
    if not costs:
        return None
    netaug = costs.get("netaug", costs.get("baseline-long", costs.get("baseline", 0.0) * _GUESSED_RATIO))
    assumed: dict[str, float] = dict.fromkeys(
        (*planned, *(spec.arm for spec in fractions)), sum(costs.values()) / len(costs)
    )
    assumed |= costs
    assumed |= {
        "netaug": netaug,
        "baseline-long": costs.get("baseline-long", netaug),
        "baseline": costs.get("baseline", netaug / _GUESSED_RATIO),
    }
    total = sum(assumed[arm] * number for arm, number in planned.items())
    done = sum(assumed[spec.arm] * fraction for spec, fraction in fractions.items())
    return max(0.0, total - done) / jobs


class Board:
    """Show the progress while the runs are training.

    Args:
        planned: Number of runs per arm, over all phases.
        jobs: Runs at the same time.
        console: Where to write; bars are drawn only if it is a terminal.
        clock: Seconds, for elapsed time.
    """

    def __init__(
        self,
        planned: Mapping[str, int],
        jobs: int,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._planned, self._jobs, self._clock = dict(planned), jobs, clock
        self._counted = frozenset(planned)
        self._started: dict[RunSpec, float] = {}
        self._fractions: dict[RunSpec, float] = {}
        self._costs: dict[str, float] = {}
        self._bars: dict[RunSpec, TaskID] = {}
        self._ended = 0
        self._display = ProgressDisplay(console)
        self._total = self._display.add_bar("all runs", 1.0)

    def __enter__(self) -> Board:
        self._display.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._display.__exit__()

    def say(self, text: str) -> None:
        """Print one message above the bars."""
        self._display.say(text)

    def planned(self, specs: Sequence[RunSpec]) -> None:
        """Count runs of arms that were not counted before."""
        new = [spec.arm for spec in specs if spec.arm not in self._counted]
        for arm in new:
            self._planned[arm] = self._planned.get(arm, 0) + 1

    def started(self, spec: RunSpec) -> None:
        """Show that a run has started."""
        self._started[spec] = self._clock()
        self._fractions[spec] = 0.0
        if self._display.has_bars:
            self._bars[spec] = self._display.add_bar(label(spec), 1.0, "starting")
            self._refresh()
        else:
            self.say(f"{self._count()} {label(spec)}: started")

    def advanced(self, spec: RunSpec, fraction: float) -> None:
        """Show how much of a run is done, in [0, 1]."""
        if fraction == self._fractions[spec]:
            return
        self._fractions[spec] = min(1.0, fraction)
        self._costs[spec.arm] = (self._clock() - self._started[spec]) / fraction
        if spec in self._bars:
            self._display.update_bar(self._bars[spec], fraction, note="")
            self._refresh()

    def reused(self, record: RunRecord) -> None:
        """Show that a run was finished by an earlier start of the same comparison."""
        self._ended += 1
        self._fractions[record.spec] = 1.0
        if record.summary:
            # training time only; a run measured by this process counts start-up and evaluation too, and wins
            self._costs.setdefault(record.spec.arm, record.summary.train_seconds)
        self.say(f"{self._count()} {label(record.spec)}: finished before, kept")
        self._refresh()

    def finished(self, record: RunRecord, log: Path) -> None:
        """Show that a run has finished or failed."""
        spec = record.spec
        self._ended += 1
        self._fractions[spec] = 1.0
        elapsed = self._clock() - self._started[spec]
        if spec in self._bars:
            self._display.remove_bar(self._bars.pop(spec))
        if record.summary is None:
            lines = "\n".join(f"    {line}" for line in record.message.splitlines())
            self.say(f"{self._count()} {label(spec)}: failed\n{lines}\n    all of it: {log}")
        else:
            self._costs[spec.arm] = elapsed
            is_last = self._ended == sum(self._planned.values())
            silent = self._display.has_bars or self._left() is None or is_last  # the bar of all runs has it
            left = "" if silent else f", about {seconds(self._left())} left"
            score = f"{score_name(record.summary.score)} {record.summary.val_score:.1f} %"
            self.say(f"{self._count()} {label(spec)}: {score} in {seconds(elapsed)}{left}")
        self._refresh()

    def _count(self) -> str:
        total = sum(self._planned.values())
        return f"[{self._ended:>{len(str(total))}}/{total}]"

    def _left(self) -> float | None:
        return seconds_left(self._planned, self._fractions, self._costs, self._jobs)

    def _refresh(self) -> None:
        left = self._left()
        note = "" if left is None else f"about {seconds(left)} left"
        fraction = sum(self._fractions.values()) / max(1, sum(self._planned.values()))
        self._display.update_bar(self._total, fraction, title=f"all runs {self._count()}", note=note)
