"""What the user sees of a training, on stderr: a bar on a terminal, one plain line an epoch elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from netaug.core.consoles import SafeConsole
from netaug.core.display import duration, score_name
from netaug.core.escaping import line
from netaug.runs.records import EpochRecord
from netaug.train.metrics import Tally

_REFRESH_SECONDS = 0.25


class TrainingConsole:
    """Shows steps and epochs of one run; a context manager.

    Args:
        epochs: Epochs of the run.
        steps: Steps of an epoch.
        console: Where to write; stderr by default.
    """

    def __init__(self, epochs: int, steps: int, console: Console | None = None) -> None:
        self._console = console or SafeConsole(stderr=True, highlight=False)
        self._epochs, self._steps = epochs, steps
        self._before = 0.0
        self._start = self._epoch_start = self._shown = time.perf_counter()
        self._bar = (
            Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TaskProgressColumn(),
                TextColumn("{task.fields[facts]}"),
                console=self._console,
                transient=True,
            )
            if self._console.is_terminal
            else None
        )
        if self._bar is not None:
            self._task = self._bar.add_task("epoch 1", total=epochs * steps, facts="")

    def __enter__(self) -> TrainingConsole:
        if self._bar is not None:
            self._bar.start()
        self._start = self._epoch_start = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def start_at(self, step: int) -> None:
        """Steps that were done before, by another process."""
        self._before = step / self._steps

    def say(self, text: str) -> None:
        """One line of plain text."""
        with _lossy():
            self._console.print(line(text), markup=False, soft_wrap=True)

    def step(self, epoch: int, done: int, tally: Tally) -> None:
        """A step is done; redraws the bar a few times a second, because reading metrics waits for the device."""
        now = time.perf_counter()
        if self._bar is None or now - self._shown < _REFRESH_SECONDS or not tally.images:
            return
        self._shown = now
        metrics = tally.metrics()
        finished = epoch * self._steps + done
        facts = (
            f"loss {metrics['loss']:.3f}  {_shown(metrics.get('top1'), 'top-1', '.1f')}"
            f"{tally.images / (now - self._epoch_start):.0f} img/s  ETA {self._eta(finished / self._steps)}"
        )
        description = f"epoch {epoch + 1}/{self._epochs}"
        self._bar.update(self._task, completed=finished, description=description, facts=facts)

    def epoch(self, record: EpochRecord) -> None:
        """An epoch is done; writes its line."""
        val = _shown(record.val_score, f"val {score_name(record.score)}", "5.2f")
        val += _shown(record.val_mean_per_class, "per class", "5.2f")
        self.say(
            f"epoch {record.epoch + 1:>{len(str(self._epochs))}}/{self._epochs}  loss {record.train_loss:.4f}  "
            f"{_shown(record.train_top1, 'top-1', '5.2f')}{val}lr {record.lr:.4g}  "
            f"{record.images_per_second:.0f} img/s  "
            f"ETA {self._eta(record.epoch + 1)}"
        )
        self._epoch_start = time.perf_counter()
        if self._bar is not None:
            facts = f"ETA {self._eta(record.epoch + 1)}"
            self._bar.update(self._task, completed=(record.epoch + 1) * self._steps, facts=facts)

    def _eta(self, epochs_done: float) -> str:
        passed = time.perf_counter() - self._start
        rate = passed / max(epochs_done - self._before, 1 / self._steps)
        return duration(rate * (self._epochs - epochs_done))


@contextmanager
def _lossy() -> Iterator[None]:
    """Lose what stderr does not take, such as on a full disk; a training goes on, its run folder has all of it."""
    try:
        yield
    except BrokenPipeError:  # the reader is gone, which ends every tool
        raise
    except OSError:
        return


def _shown(value: float | None, name: str, form: str) -> str:
    """A percentage with its name and two blanks behind; nothing where there is none."""
    return "" if value is None else f"{name} {value:{form}} %  "
