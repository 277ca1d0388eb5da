"""Lets several draws of the first weights compete: successive halving by the training loss (arXiv:1502.07943).

Each draw is a run of its own in a folder beside the training's, and stops where the settings say. The winner's folder
becomes the training's and goes on, to the same bits as if its draw had been trained alone.
"""

from __future__ import annotations

import json
import math
import shutil
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from netaug.config import RunConfig
from netaug.config.loading import to_yaml
from netaug.core.beside import STARTS, beside
from netaug.core.errors import ConfigError, RunFolderError, TrainingError
from netaug.core.escaping import say
from netaug.core.io import write_atomic
from netaug.core.progress import WorkProgress
from netaug.core.seeding import key
from netaug.distributed.launch import place
from netaug.runs.folder import RunFolder, refuse_existing
from netaug.train.own_teacher import with_teacher_folder

WINDOW = 0.03
"""Fraction of a training's epochs whose mean loss compares two draws: a single epoch's is too noisy."""


def rounds(count: int, until: float, epochs: int) -> list[tuple[int, int]]:
    """Return how many draws train until which epoch, round by round; empty without competition.

    Args:
        count: Draws in the first round; half of them, rounded up, are in the next one.
        until: Fraction of the epochs after which one is left.
        epochs: Of the whole training.

    Raises:
        ConfigError: The training is too short for as many rounds.
    """
    number = max(0, count - 1).bit_length()
    ends = [round(epochs * until * (index + 1) / number) for index in range(number)]
    if ends and (ends[0] < 1 or len(set(ends)) < number):
        raise ConfigError(
            f"{count} draws of the first weights compete in {number} rounds, each of at least one epoch.",
            got=f"train.epochs {epochs}, starts.until {until:g}",
            fix=f"--train.epochs {math.ceil(number / until)} or more, or fewer draws: --starts.count 2",
        )
    counts = [count]
    while counts[-1] > 1:
        counts.append((counts[-1] + 1) // 2)
    return list(zip(counts, ends, strict=False))


def seed_of_weights(config: RunConfig) -> int:
    """Return the seed of the first weights: that of the training for draw 0, else one derived from it and the draw."""
    seed, draw = config.train.seed, config.starts.draw
    return key(seed, "start", draw) if draw else seed


def choose_start(config: RunConfig, out: Path, train: Callable[[RunConfig, Path, int], Any]) -> None:
    """Let the draws of the first weights compete, unless that is done, and leave the winner's run in ``out``.

    Args:
        config: Of the training.
        out: Its run folder.
        train: Trains into a folder until an epoch, or resumes there.

    Raises:
        ConfigError: Too few epochs, or several processes.
        TrainingError: The loss of every draw became non-finite.
        RunFolderError: ``out`` is not empty, or the folders beside it hold runs of other settings.
    """
    if config.starts.count == 1:
        return
    plan, trials = rounds(config.starts.count, config.starts.until, config.train.epochs), beside(out, STARTS)
    if _record(out).is_file():
        shutil.rmtree(trials, ignore_errors=True)  # left by a process that was killed
        return
    refuse_existing(out)
    if place().size > 1:
        raise ConfigError(
            "draws of the first weights compete in a single process.",
            got=f"{place().size} processes, starts.count {config.starts.count}",
            fix="--starts.count 1; or find the best draw in one process, and give it as --starts.draw",
        )
    draws = [config.starts.draw + number for number in range(config.starts.count)]
    say(
        f"{len(draws)} draws of the first weights compete by their training loss until epoch {plan[-1][1]} of "
        f"{config.train.epochs}",
        file=sys.stderr,
        flush=True,
    )
    lost: dict[int, float] = {}
    begin = 0
    for count, end in plan:
        losses: dict[int, float] = {}
        with WorkProgress(f"epochs until {end}", len(draws) * (end - begin)) as progress:
            for draw in draws:
                losses[draw] = _loss_at(config, out, draw, end, train)
                progress.advance(end - begin)
        ranked = sorted(draws, key=lambda draw: (losses[draw], draw))
        draws, begin = ranked[: (count + 1) // 2], end
        lost |= {draw: losses[draw] for draw in ranked[len(draws) :]}
        say(_about_round(end, ranked, losses, len(draws)), file=sys.stderr, flush=True)
    if math.isinf(losses[draws[0]]):
        raise TrainingError(
            "the loss of every draw of the first weights became non-finite.",
            got=f"{config.starts.count} draws, train.lr {config.train.lr:g}",
            fix=f"a lower learning rate: --train.lr {config.train.lr / 3:g}",
        )
    _adopt(config, out, draws[0], losses[draws[0]], lost)


def _about_round(end: int, ranked: list[int], losses: Mapping[int, float], kept: int) -> str:
    shown = ", ".join(
        f"{draw} ({losses[draw]:.4f})" if math.isfinite(losses[draw]) else f"{draw} (non-finite)"
        for draw in ranked[:8]
    )
    more = f" and {len(ranked) - 8} others" if len(ranked) > 8 else ""
    ahead = f"the first {kept} go on" if kept > 1 else f"draw {ranked[0]} is trained to the end"
    return f"epoch {end}: draw (loss) {shown}{more}; {ahead}"


def _loss_at(
    config: RunConfig, out: Path, draw: int, end: int, train: Callable[[RunConfig, Path, int], Any]
) -> float:
    """Train one draw until an epoch, and return its mean training loss over the last few; infinity if it diverged."""
    folder = RunFolder(beside(out, STARTS) / str(draw))
    if len(folder.records()) < end:
        try:
            train(_alone(config, out, draw), folder.path, end)
        except TrainingError as error:
            if type(error) is not TrainingError:
                raise
            return math.inf
    window = max(1, round(WINDOW * config.train.epochs))
    return statistics.fmean(record.train_loss for record in folder.records()[max(0, end - window) : end])


def _alone(config: RunConfig, out: Path, draw: int) -> RunConfig:
    """Return the settings of one draw's own run, which sends its curves nowhere."""
    return replace(
        with_teacher_folder(config, out),
        starts=replace(config.starts, count=1, draw=draw),
        train=replace(config.train, tensorboard=False, wandb=None),
    )


def _adopt(config: RunConfig, out: Path, winner: int, loss: float, lost: Mapping[int, float]) -> None:
    """Move the winner's run folder to ``out``, with the training's settings and a record of the competition."""
    source = RunFolder(beside(out, STARTS) / str(winner))
    records = [record for draw in lost for record in RunFolder(beside(out, STARTS) / str(draw)).records()]
    cost = {
        "train_seconds": sum(record.seconds for record in records),
        "train_macs": sum(record.train_macs for record in records),
    }
    losses = {str(draw): value if math.isfinite(value) else None for draw, value in sorted(lost.items())}
    facts = {"draw": winner, "loss": loss, "lost": losses, "cost": cost}
    write_atomic(_record(source.path), json.dumps(facts, indent=2) + "\n")
    write_atomic(source.config, to_yaml(config))
    try:
        if out.exists():
            shutil.rmtree(out)  # empty, but for what a killed process left: it would have been refused
        source.path.rename(out)
    except OSError as error:
        raise RunFolderError(f"the run folder '{out}' cannot be made.", got=error) from None
    shutil.rmtree(beside(out, STARTS), ignore_errors=True)


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


def _record(out: Path) -> Path:
    return out / "starts.json"
