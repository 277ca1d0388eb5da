"""Shows a training on stderr: a bar on a terminal, one plain line per epoch elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console

from netaug.config import ModelConfig
from netaug.core.display import duration, rough_duration, score_name
from netaug.core.escaping import line
from netaug.core.progress import ProgressDisplay
from netaug.elastic.passes import smaller_side
from netaug.elastic.plain_network import BaseOnly, Network
from netaug.profile import Profile
from netaug.runs.records import EpochRecord
from netaug.train.metrics import Tally
from netaug.train.trainer import Trainer

_SLOW_STEPS = 3  # the first steps allocate memory, choose kernels and start loader processes
_LEAST_STEPS, _LEAST_SECONDS = 5, 3.0  # that an estimate is made from
_WORTH_SECONDS = 10.0


class TrainingConsole:
    """Shows steps and epochs of one run; a context manager.

    Args:
        epochs: Epochs of the run.
        steps: Per epoch.
        console: Where to write; stderr by default.
        clock: Seconds, for rates.
    """

    def __init__(
        self,
        epochs: int,
        steps: int,
        console: Console | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._display = ProgressDisplay(console)
        self._epochs, self._steps, self._clock = epochs, steps, clock
        self._before = 0
        self._start = self._epoch_start = clock()
        self._warm: tuple[int, float] | None = None  # steps and time when the slow first steps were done
        self._estimates = True
        self._bar = self._display.add_bar("epoch 1", epochs * steps)

    def __enter__(self) -> TrainingConsole:
        self._display.__enter__()
        self._start = self._epoch_start = self._clock()
        return self

    def __exit__(self, *_: object) -> None:
        self._display.__exit__()

    def start_at(self, step: int) -> None:
        """Set how many steps were done before, by an earlier process."""
        self._before = step

    def say(self, text: str) -> None:
        """Print one line of plain text."""
        self._display.say(line(text))

    def step(self, epoch: int, done: int, tally: Tally) -> None:
        """Redraw the bar after a step, a few times per second, because reading metrics waits for the device.

        Once, when some steps are done, a line says how long the training will take.
        """
        finished = epoch * self._steps + done
        if self._warm is None and finished - self._before >= _SLOW_STEPS:
            self._warm = finished, self._clock()
        if self._estimates and tally.images:
            self._estimate(finished, tally)
        if not self._display.is_due or not tally.images:
            return
        now = self._clock()
        metrics = tally.metrics()
        facts = (
            f"loss {metrics['loss']:.3f}  {_shown(metrics.get('top1'), 'top-1', '.1f')}"
            f"{tally.images / (now - self._epoch_start):.0f} img/s  ETA {duration(self._left(finished))}"
        )
        title = f"epoch {epoch + 1}/{self._epochs}"
        self._display.update_bar(self._bar, finished, title=title, note=facts)

    def epoch(self, record: EpochRecord) -> None:
        """Print the line of an epoch."""
        finished = (record.epoch + 1) * self._steps
        eta = duration(self._left(finished))
        val = _shown(record.val_score, f"val {score_name(record.score)}", "5.2f")
        val += _shown(record.val_mean_per_class, "per class", "5.2f")
        self.say(
            f"epoch {record.epoch + 1:>{len(str(self._epochs))}}/{self._epochs}  loss {record.train_loss:.4f}  "
            f"{_shown(record.train_top1, 'top-1', '5.2f')}{val}lr {record.lr:.4g}  "
            f"{record.images_per_second:.0f} img/s  ETA {eta}"
        )
        self._epoch_start, self._estimates = self._clock(), False
        self._display.update_bar(self._bar, finished, note=f"ETA {eta}")

    def _estimate(self, finished: int, tally: Tally) -> None:
        """Print how long the training will take, if it takes so long that somebody would ask."""
        if self._warm is None or finished - self._warm[0] < _LEAST_STEPS:
            return
        if self._clock() - self._warm[1] < _LEAST_SECONDS:
            return
        tally.metrics()  # waits for the device, which may be steps behind
        self._estimates = False
        left = self._left(finished)
        if left < _WORTH_SECONDS:
            return
        epochs = (self._epochs * self._steps - finished) / self._steps
        whole = "" if finished < self._steps else " that are left"
        self.say(
            f"about {rough_duration(left)} for the {max(1, round(epochs))} epochs{whole}, "
            f"{rough_duration(left / epochs)} each, without evaluation"
        )

    def _left(self, finished: int) -> float:
        """Return the seconds until the end, by the steps so far; without the slow first ones where there are others."""
        before, start = self._before, self._start
        if self._warm is not None and finished - self._warm[0] >= _LEAST_STEPS:
            before, start = self._warm
        rate = (self._clock() - start) / max(finished - before, 1)
        return rate * (self._epochs * self._steps - finished)


def _shown(value: float | None, name: str, form: str) -> str:
    """Format a percentage with its name and two blanks behind; empty where there is none."""
    return "" if value is None else f"{name} {value:{form}} %  "


def print_introduction(
    console: TrainingConsole,
    model: ModelConfig,
    trainer: Trainer,
    cost: Profile,
    batch_size: int,
    about: Sequence[str],
) -> None:
    """Print what is trained and on which data.

    Args:
        console: Where to.
        model: What the network was built from.
        trainer: Before its first step.
        cost: Of the base network.
        batch_size: Images per step of all processes.
        about: Further lines, such as those of a teacher.
    """
    info, world = trainer.data.info, trainer.world
    console.say(
        f"{model.name}: {cost.params:,} parameters, {cost.macs:,} MACs at "
        f"{info.in_chans}x{info.image_size}x{info.image_size}"
    )
    console.say(
        f"{info.name}: {info.train_size:,} training images, {info.val_size:,} in {info.val_split}, "
        f"{info.num_classes} classes"
    )
    if info.anchors:
        anchors = ", ".join(f"{width:.0f}x{height:.0f}" for width, height in info.anchors)
        console.say(f"anchors in pixels of the input: {anchors}")
    if model.weights is not None:
        but = ", with a new classifier" if model.new_head else ""
        console.say(f"starts from the weights of {model.weights}{but}")
    for text in (*_about_widening(trainer.network, cost, info.image_size), *about):
        console.say(text)
    if world.size > 1:
        images = batch_size // world.size
        console.say(f"{world.size} processes with {images} of the {batch_size} images of each step")


def _about_widening(network: Network, cost: Profile, image_size: int) -> Iterator[str]:
    """Yield lines about the wider networks of a training."""
    if isinstance(network, BaseOnly):
        yield "NetAug off: the baseline"
        return
    widening = [group for group in network.groups.values() if group.most > group.base]
    widest = network.macs({group.name: group.most for group in widening})
    yield (
        f"NetAug: {len(widening)} of {len(network.groups)} width groups widen; the widest network has "
        f"{widest / cost.macs:.1f}x the MACs"
    )
    if network.config.resolution < 1:
        side = smaller_side(image_size, network.config.resolution)
        yield f"augmented passes get images of {side}x{side} pixels"
