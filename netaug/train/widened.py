"""Networks with more channels everywhere (`model.widen`), and teachers made of them (`distill.teacher wider:4`)."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from netaug.config import BranchSettings, DepthSettings, DistillConfig, RunConfig
from netaug.core.errors import ConfigError, UnsupportedModelError
from netaug.core.escaping import say
from netaug.elastic import AugmentConfig, Supernet, augment
from netaug.runs.folder import RunFolder
from netaug.weights.metadata import ModelCard
from netaug.weights.resized import size_changes

WIDER = re.compile(r"wider:(\d+(?:\.\d+)?)")
"""A teacher that a training makes itself: the network with this many times the channels."""


def widened(model: nn.Module, example_NCHW: Tensor, factor: float, name: str) -> nn.Module:
    """Return a plain network like this one with ``factor`` times the channels in all width groups that can widen.

    Args:
        model: Any network; it stays as it is.
        example_NCHW: A batch in its input format.
        factor: Above 1. Channels are rounded up to whole groups, as in NetAug.
        name: Of the network, for messages.

    Returns:
        A network of the same class. Its first weights are those of the model in the first channels, the others are
        drawn as NetAug draws added ones.

    Raises:
        ConfigError: Nothing in the network can widen.
    """
    supernet = _supernet(model, example_NCHW, factor, name)
    return supernet.extract(supernet.plan.widest)


def _supernet(model: nn.Module, example_NCHW: Tensor, factor: float, name: str) -> Supernet:
    try:
        return augment(model, example_NCHW, AugmentConfig(width=(1.0, factor), expand=(1.0,)))
    except UnsupportedModelError as error:
        raise ConfigError(
            f"the network {name!r} cannot be widened.",
            got=f"model.widen {factor:g}; {error.where}",
            fix=f"`netaug inspect {name}` says why; leave model.widen out, or take another network as the teacher",
        ) from error


def card_of_widened(
    card: ModelCard, base: nn.Module, network: nn.Module, example_NCHW: Tensor, factor: float
) -> ModelCard:
    """Return the description of a widened network, from which it can be built again.

    Args:
        card: As of the base network.
        base: What the factory builds.
        network: The widened one.
        example_NCHW: A batch in their input format.
        factor: As in :func:`widened`.
    """
    supernet = _supernet(base, example_NCHW, factor, card.name)
    return replace(card, widths=supernet.plan.widest, sizes=size_changes(base, network))


def own_teacher(config: RunConfig) -> float | None:
    """Return the factor of the teacher that the training makes itself; None if it has none.

    Raises:
        ConfigError: There is another teacher beside it, or the network is itself a widened one.
    """
    factors = [float(found[1]) for name in config.distill.teacher if (found := WIDER.fullmatch(name))]
    if not factors:
        return None
    if len(config.distill.teacher) > 1 or config.model.widen != 1:
        raise ConfigError(
            "a teacher that is the network itself, wider, is the only one of a network that is not widened.",
            got=f"distill.teacher {', '.join(config.distill.teacher)}; model.widen {config.model.widen:g}",
            fix=f"train it first with --model.widen {factors[0]:g} --netaug.enabled false, and give its run folder",
        )
    return factors[0]


def teacher_folder(out: Path) -> Path:
    """Return the run folder of the teacher that a training makes itself, beside that of the student."""
    return out.with_name(f"{out.name}-teacher")


def teacher_settings(config: RunConfig, factor: float) -> RunConfig:
    """Return the settings of that teacher: those of the student, without NetAug and what else only it has."""
    return replace(
        config,
        model=replace(config.model, widen=factor, weights=None, new_head=False, widest_weights=False),
        netaug=replace(config.netaug, enabled=False),
        distill=DistillConfig(),
        reparameterize=BranchSettings(),
        deepen=DepthSettings(),
        train=replace(config.train, freeze=(), layer_decay=None),
    )


def with_own_teacher(
    config: RunConfig,
    out: Path,
    train: Callable[[RunConfig, Path], Any],
    finished: Callable[[RunConfig, Path], bool],
) -> None:
    """Train the teacher that the settings ask for, unless it is there; a stopped one resumes.

    Args:
        config: Of the student.
        out: Run folder of the student.
        train: Trains into a folder, or resumes there.
        finished: Whether a folder holds the finished run of these settings; raises if it holds another one.
    """
    factor = own_teacher(config)
    if factor is None:
        return
    folder, settings = teacher_folder(out), teacher_settings(config, factor)
    if finished(settings, folder):
        return
    say(
        f"the teacher, {config.model.name} with {factor:g} times the channels, is trained first, in {folder}",
        file=sys.stderr,
        flush=True,
    )
    train(settings, folder)


def with_cost_of(teacher: Path, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cost of a student's training with that of its own teacher added, whose training is a part of it.

    Args:
        teacher: Its run folder.
        summary: Of the student.
    """
    of_teacher = json.loads(RunFolder(teacher).summary.read_text(encoding="utf-8"))
    return {key: summary[key] + of_teacher[key] for key in ("train_seconds", "train_macs")}
