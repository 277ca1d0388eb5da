"""What a run's settings make of its teachers: who teaches, how good they are, and whether that is worth it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from netaug.config import RunConfig
from netaug.data import Data, Normalizer
from netaug.distill.cache import Cache
from netaug.distill.cache_check import open_cache
from netaug.distill.distillation_loss import Lessons
from netaug.distill.open_teacher import open_teachers
from netaug.distill.session import teacher_top1
from netaug.distill.teacher import Teacher, Teachers
from netaug.distributed.world import ALONE, World
from netaug.profile import profile

_log = logging.getLogger("netaug")


@dataclass(frozen=True)
class Teaching:
    """The teaching of a run.

    Args:
        lessons: The loss of each pass; that of the labels alone without distillation.
        teachers: Names, none without a teacher.
        top1: Percent right of the teachers on the evaluation images; None without.
        hash: Tells the teachers' weights from others; None without.
        macs: Multiply-accumulates of running the teachers on one image of a step; 0 if nothing runs.
        about: Lines for people.
    """

    lessons: Lessons
    teachers: tuple[str, ...] = ()
    top1: float | None = None
    hash: str | None = None
    macs: int = 0
    about: tuple[str, ...] = ()

    def summary(self) -> dict[str, Any]:
        """For ``summary.json``; empty without a teacher."""
        return {"teachers": list(self.teachers), "teacher_top1": self.top1} if self.teachers else {}

    def check_student(self, top1: float | None) -> None:
        """Warn of a teacher that knows no more than its student does in the end."""
        if self.top1 is not None and top1 is not None and top1 >= self.top1:
            _log.warning(
                "the teacher %s is no better than its student: %.2f %% against %.2f %%; what it adds is smoothing",
                ", ".join(self.teachers),
                self.top1,
                top1,
            )


def open_teaching(
    config: RunConfig,
    data: Data,
    normalizer: Normalizer,
    world: World = ALONE,
    trusted: Collection[str] = (),
) -> Teaching:
    """Load teachers or open the cache, as the settings say; all processes of a training have to call it.

    Args:
        config: The run's settings.
        data: What the student learns.
        normalizer: Feeds the student.
        world: The processes of the training.
        trusted: Factories ``package.module:function`` that the weights files of teachers may name.

    Raises:
        NetaugError: A teacher or the cache cannot be used.
    """
    distill = config.distill
    if not distill.taught and not distill.in_place:
        return Teaching(Lessons(distill))
    if not config.netaug.enabled and distill.in_place and world.first:
        _log.warning(
            "distill.in_place changes nothing: without NetAug there is no wider network to learn from"
        )
    about = tuple(_about_in_place(config))
    if not distill.taught:
        return Teaching(Lessons(distill), about=about)
    downloads = any(name.startswith("timm:") for name in distill.teacher)
    teachers = world.first_does(downloads, lambda: _teachers(config, data, normalizer, trusted))
    if distill.cache is not None:
        with world.together():
            cache = open_cache(config, data, normalizer, teachers)
        line = (
            f"teacher {', '.join(cache.card.teachers)}: {cache.card.teacher_top1:.2f} % on {cache.card.val_split}; "
            f"its outputs come from {cache.files.folder}, {cache.card.draws} augmentations of each image"
        )
        lessons = Lessons(distill, _FromCache(cache, data, normalizer.device))
        return Teaching(
            lessons, cache.card.teachers, cache.card.teacher_top1, cache.card.teacher_hash, 0, (line, *about)
        )
    assert teachers is not None, "a run is taught by teachers or from a cache"
    top1 = teacher_top1(teachers, data, normalizer, world)
    shape = (2, data.info.in_chans, data.info.image_size, data.info.image_size)
    macs = profile(teachers, torch.zeros(shape, device=normalizer.device)).macs
    lines = [f"teacher {member}" for member in teachers.members if isinstance(member, Teacher)]
    lines[-1] += f": {top1:.2f} % on {data.info.val_split}" + " together" * (len(lines) > 1)
    return Teaching(
        Lessons(distill, _Live(teachers)),
        teachers.names,
        top1,
        teachers.fingerprint(),
        macs,
        (*lines, *about),
    )


def _teachers(
    config: RunConfig, data: Data, normalizer: Normalizer, trusted: Collection[str]
) -> Teachers | None:
    """The teachers to load; None if there is a cache alone."""
    if not config.distill.teacher:
        return None
    last, seed = config.train.channels_last, config.train.seed
    return open_teachers(
        config.distill,
        data.info,
        normalizer.device,
        channels_last=last,
        seed=seed,
        trusted={config.model.name, *trusted},
    )


def _about_in_place(config: RunConfig) -> Iterator[str]:
    if config.distill.in_place and config.netaug.enabled:
        yield (
            f"the drawn wider network teaches the base network: weight {config.distill.in_place:g}, temperature "
            f"{config.distill.in_place_temperature:g}"
        )


class _Live:
    """What teachers say of the images at hand."""

    def __init__(self, teachers: Teachers) -> None:
        self._teachers = teachers

    def __call__(self, images: Tensor, indices_N: npt.NDArray[np.int64], epoch: int) -> Tensor:
        said: Tensor = self._teachers(images)
        return said


class _FromCache:
    """What teachers said of these images under this epoch's draw."""

    def __init__(self, cache: Cache, data: Data, device: torch.device) -> None:
        self._cache, self._data, self._device = cache, data, device

    def __call__(self, images: Tensor, indices_N: npt.NDArray[np.int64], epoch: int) -> Tensor:
        return self._cache.log_probs(self._data.labelled.draw(epoch), indices_N, self._device)
