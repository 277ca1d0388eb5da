"""Lets several draws of the first weights compete: successive halving by the training loss (arXiv:1502.07943).

Each draw is a run of its own in the folder ``starts`` of the training's, and stops where the settings say. The files of
the winner become the training's, which resumes there, to the same bits as if its draw had been trained alone.
"""

from __future__ import annotations

import json
import math
import shutil
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from netaug.config import RunConfig
from netaug.config.loading import to_yaml
from netaug.core.errors import ConfigError, NetaugError, TrainingError
from netaug.core.escaping import say
from netaug.core.io import write_atomic
from netaug.core.lock import NAME as LOCK
from netaug.core.lock import RunLock
from netaug.core.progress import WorkProgress
from netaug.core.seeding import key
from netaug.data import Data
from netaug.distributed.launch import place
from netaug.runs.folder import RunFolder, refuse_existing
from netaug.runs.resume import check_same_run
from netaug.train.own_teacher import with_teacher_folder

WINDOW = 0.03
"""Fraction of a training's epochs whose mean loss compares two draws: a single epoch's is too noisy."""
Trial = Callable[[RunConfig, Path, int], Any]
"""Trains into a folder until an epoch, or resumes there."""


class Loaded:
    """Keeps the data of one trial for the next ones, since draws of the first weights differ in nothing else."""

    def __init__(self) -> None:
        self._settings: Any = None
        self._data: Data | None = None

    def of(self, config: RunConfig) -> Data | None:
        """Return the data of these settings; None if others, or none, are kept."""
        return self._data if self._settings == self._deciding(config) else None

    def keep(self, config: RunConfig, data: Data) -> Data:
        """Keep the data of these settings, and return it."""
        self._settings, self._data = self._deciding(config), data
        return data

    def _deciding(self, config: RunConfig) -> tuple[object, ...]:
        return config.data, config.regularize, config.detect, config.train.seed, config.train.device


def rounds(count: int, until: float, epochs: int) -> list[tuple[int, int]]:
    """Return how many draws train until which epoch, round by round; empty without competition.

    Args:
        count: Draws in the first round; half of them, rounded up, are in the next one.
        until: Fraction of the epochs after which only one remains.
        epochs: Of the whole training.

    Raises:
        ConfigError: The training is too short for as many rounds.
    """
    number = max(0, count - 1).bit_length()
    ends = [round(epochs * until * (index + 1) / number) for index in range(number)]
    if ends and (ends[0] < 1 or len(set(ends)) < number):
        raise ConfigError(
            f"{count} draws of the first weights compete in {number} round{'s' * (number > 1)} of at least one epoch.",
            got=f"train.epochs {epochs}, starts.until {until:g}",
            fix=f"--train.epochs {math.ceil(number / until)} or more, or no competition: --starts.count 1",
        )
    counts = [count]
    while counts[-1] > 1:
        counts.append((counts[-1] + 1) // 2)
    return list(zip(counts, ends, strict=False))


@dataclass(frozen=True)
class Round:
    """Holds how a round of a competition ended.

    Args:
        end: Epoch until which its draws were trained.
        losses: By draw, the lowest first; infinity where a training diverged.
        kept: The draws of the next round, or the winner, the best first.
    """

    end: int
    losses: Mapping[int, float]
    kept: list[int]

    @property
    def lost(self) -> dict[int, float]:
        """Return the losses of the draws that are dropped."""
        return {draw: loss for draw, loss in self.losses.items() if draw not in self.kept}


def halve(
    draws: Sequence[int],
    plan: Iterable[tuple[int, int]],
    train: Callable[[Sequence[int], int], Iterable[float]],
) -> Iterator[Round]:
    """Let draws compete, and yield how each round ended.

    Args:
        draws: Of the first round.
        plan: From :func:`rounds`.
        train: Trains the draws of a round until an epoch, and returns their losses.
    """
    for count, end in plan:
        losses = zip(train(draws, end), draws, strict=True)
        ranked = {draw: loss for loss, draw in sorted(losses)}
        draws = list(ranked)[: (count + 1) // 2]
        yield Round(end, ranked, draws)


def seed_of_weights(config: RunConfig) -> int:
    """Return the seed of the first weights: that of the training for draw 0, else one derived from it and the draw."""
    seed, draw = config.train.seed, config.starts.draw
    return key(seed, "start", draw) if draw else seed


def choose_start(config: RunConfig, out: Path, train: Trial) -> None:
    """Let the draws of the first weights compete, unless that is done, and leave the winner's run in ``out``.

    Args:
        config: Of the training.
        out: Its run folder, held while they compete.
        train: Trains one draw.

    Raises:
        ConfigError: Too few epochs, or several processes.
        TrainingError: The loss of every draw became non-finite; nothing of them is kept.
        RunFolderError: ``out`` holds something else, or another process writes to it.
    """
    folder = RunFolder(out)
    if config.starts.count == 1 or folder.summary.exists():
        return
    plan = rounds(config.starts.count, config.starts.until, config.train.epochs)
    if not _record(out).is_file():
        if place().size > 1:
            raise ConfigError(
                "draws of the first weights compete in a single process.",
                got=f"{place().size} processes, starts.count {config.starts.count}",
                fix="--starts.count 1; or find the best draw in one process, and give it as --starts.draw",
            )
        if folder.config.is_file():
            check_same_run(folder, config, extend=False)
        else:
            refuse_existing(out)
    with RunLock(out):
        if not _record(out).is_file():
            write_atomic(folder.config, to_yaml(config))
            try:
                _compete(config, out, plan, train)
            except NetaugError as error:
                diverged = isinstance(error, TrainingError) and error.diverged
                if diverged or not any(_trials(out).glob("*/config.yaml")):  # nothing is there to resume
                    shutil.rmtree(_trials(out), ignore_errors=True)
                    folder.config.unlink()
                raise
        _adopt(out)


def _compete(config: RunConfig, out: Path, plan: list[tuple[int, int]], train: Trial) -> None:
    """Train the draws round by round, and record who won."""
    draws = [config.starts.draw + number for number in range(config.starts.count)]
    say(
        f"{len(draws)} draws of the first weights compete by their training loss until epoch {plan[-1][1]} of "
        f"{config.train.epochs}",
        file=sys.stderr,
        flush=True,
    )

    def losses_at(draws: Sequence[int], end: int) -> Iterator[float]:
        epochs = end - max((before for _, before in plan if before < end), default=0)
        with WorkProgress(f"epochs until {end}", len(draws) * epochs) as progress:
            for draw in draws:
                yield _loss_at(config, out, draw, end, train)
                progress.advance(epochs)

    lost: dict[int, float] = {}
    for played in halve(draws, plan, losses_at):
        if math.isinf(min(played.losses.values())):
            raise TrainingError(
                "the loss of every draw of the first weights became non-finite.",
                got=f"{config.starts.count} draws, train.lr {config.train.lr:g}",
                fix=f"a lower learning rate: --train.lr {config.train.lr / 3:.3g}",
                diverged=True,
            )
        lost |= played.lost
        say(_about_round(played), file=sys.stderr, flush=True)
    records = [record for draw in lost for record in RunFolder(_trials(out) / str(draw)).records()]
    facts = {
        "draw": played.kept[0],
        "loss": played.losses[played.kept[0]],
        "lost": {str(draw): value if math.isfinite(value) else None for draw, value in sorted(lost.items())},
        "cost": {
            "train_seconds": sum(record.seconds for record in records),
            "train_macs": sum(record.train_macs for record in records),
        },
    }
    write_atomic(_record(out), json.dumps(facts, indent=2) + "\n")


def _about_round(played: Round) -> str:
    shown = ", ".join(
        f"{draw} ({loss:.4f})" if math.isfinite(loss) else f"{draw} (non-finite)"
        for draw, loss in list(played.losses.items())[:8]
    )
    more = f" and {len(played.losses) - 8} others" if len(played.losses) > 8 else ""
    kept = len(played.kept)
    ahead = f"the first {kept} remain" if kept > 1 else f"draw {played.kept[0]} is trained to the end"
    return f"epoch {played.end}: draw (loss) {shown}{more}; {ahead}"


def _loss_at(config: RunConfig, out: Path, draw: int, end: int, train: Trial) -> float:
    """Train one draw until an epoch, and return its mean training loss over the last few; infinity if it diverged."""
    folder, settings = RunFolder(_trials(out) / str(draw)), _alone(config, out, draw)
    if folder.config.is_file():
        check_same_run(folder, settings, extend=False)
    if len(folder.records()) < end:
        try:
            train(settings, folder.path, end)
        except TrainingError as error:
            if not error.diverged:
                raise
            return math.inf
    window = max(1, round(WINDOW * config.train.epochs))
    return statistics.fmean(record.train_loss for record in folder.records()[max(0, end - window) : end])


def _alone(config: RunConfig, out: Path, draw: int) -> RunConfig:
    """Return the settings of one draw's own run, which sends its curves nowhere and does not end early."""
    return replace(
        with_teacher_folder(config, out),
        starts=replace(config.starts, count=1, draw=draw),
        train=replace(config.train, tensorboard=False, wandb=None, patience=None),
    )


def _adopt(out: Path) -> None:
    """Make the winner's files those of the training; what a killed process left of that is done again."""
    facts = read_starts(out)
    if facts is None or not _trials(out).is_dir():
        return
    winner = _trials(out) / str(facts["draw"])
    for path in sorted(winner.glob("*")):
        if path.name not in (LOCK, "config.yaml"):
            path.rename(out / path.name)
    shutil.rmtree(_trials(out), ignore_errors=True)


def with_chosen_start(config: RunConfig, out: Path) -> RunConfig:
    """Return the settings with the draw that won, once it is known."""
    facts = read_starts(out)
    return replace(config, starts=replace(config.starts, draw=facts["draw"])) if facts else config


def read_starts(out: Path) -> dict[str, Any] | None:
    """Return the record of the competition in a run folder: winner, losses and what the others cost; None without."""
    if not _record(out).is_file():
        return None
    facts: dict[str, Any] = json.loads(_record(out).read_text(encoding="utf-8"))
    return facts


def cost_with_starts(out: Path, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return which draw won and a training's cost with that of those that lost; empty without competition."""
    facts = read_starts(out)
    if facts is None:
        return {}
    cost = {name: summary[name] + value for name, value in facts["cost"].items()}
    return {**cost, "starts": {"count": len(facts["lost"]) + 1, "draw": facts["draw"]}}


def _trials(out: Path) -> Path:
    """Return the folder of the run folders of all draws."""
    return out / "starts"


def _record(out: Path) -> Path:
    return out / "starts.json"
