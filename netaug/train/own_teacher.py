"""A teacher that a training makes itself: the network with more channels (`distill.teacher wider:4`)."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from netaug.config import BranchSettings, DepthSettings, DistillConfig, RunConfig, StartsConfig
from netaug.config.datasets import DATASETS
from netaug.core.beside import teacher_folder
from netaug.core.errors import ConfigError
from netaug.core.escaping import say
from netaug.core.lock import was_killed
from netaug.distributed.launch import place
from netaug.runs.folder import RunFolder
from netaug.runs.resume import check_same_run
from netaug.tasks.registry import task_kind

_WIDER = re.compile(r"wider:(\d+(?:\.\d+)?)")


def own_teacher(config: RunConfig) -> float | None:
    """Return the factor of the teacher that the training makes itself; None if it has none.

    Raises:
        ConfigError: There is another teacher beside it, or the network is itself a widened one.
    """
    factors = [float(found[1]) for name in config.distill.teacher if (found := _WIDER.fullmatch(name))]
    if not factors:
        return None
    if len(config.distill.teacher) > 1 or config.model.widen != 1:
        raise ConfigError(
            "a teacher that is the network itself, wider, is the only one of a network that is not widened.",
            got=f"distill.teacher {', '.join(config.distill.teacher)}; model.widen {config.model.widen:g}",
            fix=f"train it first with --model.widen {factors[0]:g} --netaug.enabled false, and give its run folder",
        )
    return factors[0]


def teacher_settings(config: RunConfig, factor: float) -> RunConfig:
    """Return the settings of that teacher: those of the student, without NetAug and what else only it has."""
    return replace(
        config,
        model=replace(config.model, widen=factor, weights=None, new_head=False, widest_weights=False),
        netaug=replace(config.netaug, enabled=False),
        distill=DistillConfig(),
        reparameterize=BranchSettings(),
        deepen=DepthSettings(),
        starts=StartsConfig(),
        train=replace(config.train, freeze=(), layer_decay=None),
    )


def train_own_teacher(config: RunConfig, out: Path, train: Callable[[RunConfig, Path], Any]) -> None:
    """Train the teacher that the settings ask for, unless it is there; a stopped one resumes.

    Args:
        config: Of the student.
        out: Run folder of the student.
        train: Trains into a folder, or resumes there.

    Raises:
        ConfigError: The student could not be trained with it; nothing is trained then.
        RunFolderError: The teacher's folder holds a run of other settings.
    """
    factor = own_teacher(config)
    if factor is None:
        return
    if place().size > 1:
        raise ConfigError(
            "a teacher of its own is trained by a single process.",
            got=f"{place().size} processes, distill.teacher {config.distill.teacher[0]}",
            fix="train it first with `--model.widen` and `--netaug.enabled false`, and give its run folder",
        )
    if config.data.name in DATASETS:
        task_kind(DATASETS[config.data.name].task).check_settings(config)
    folder, settings = RunFolder(teacher_folder(out)), teacher_settings(config, factor)
    if folder.summary.exists() and not was_killed(folder.path):
        check_same_run(folder, settings, extend=True)  # a student that gets more epochs keeps its teacher
        return
    say(
        f"the teacher, {config.model.name} with {factor:g} times the channels, is trained first, in {folder.path}",
        file=sys.stderr,
        flush=True,
    )
    train(settings, folder.path)


def with_teacher_folder(config: RunConfig, out: Path) -> RunConfig:
    """Return the settings with the run folder of the training's own teacher in place of its name, if it has one."""
    if own_teacher(config) is None:
        return config
    return replace(config, distill=replace(config.distill, teacher=(str(teacher_folder(out)),)))


def cost_with_teacher(config: RunConfig, out: Path, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return a training's cost with that of its own teacher, whose training is a part of it; empty without one.

    Args:
        config: Of the student.
        out: Run folder of the student.
        summary: Of the student.
    """
    if own_teacher(config) is None:
        return {}
    of_teacher = json.loads(RunFolder(teacher_folder(out)).summary.read_text(encoding="utf-8"))
    return {key: summary[key] + of_teacher[key] for key in ("train_seconds", "train_macs")}
