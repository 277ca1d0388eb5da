"""Opens the teachers or the cache of a run, measures the teachers, and compares them with the trained student.

Several teachers become one before the temperature applies, so a cache serves every temperature, loss and weight.
"""

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
from netaug.distill.distillation_loss import DistillationLoss
from netaug.distill.open_teacher import open_teachers
from netaug.distill.session import teacher_top1
from netaug.distill.teacher import Teacher, Teachers
from netaug.distributed.world import SINGLE_PROCESS, World
from netaug.profile import profile

_log = logging.getLogger("netaug")


@dataclass(frozen=True)
class Distillation:
    """The distillation of a run.

    Args:
        loss: The loss of each pass; that of the labels alone without distillation.
        teachers: Names, none without a teacher.
        top1: Top-1 of the teachers on the evaluation images, in percent; None without a teacher.
        hash: Fingerprint of the teachers' weights; None without a teacher.
        macs: Multiply-accumulates of running the teachers on one image; 0 if nothing runs.
        about: Lines that the run prints at its start.
    """

    loss: DistillationLoss
    teachers: tuple[str, ...] = ()
    top1: float | None = None
    hash: str | None = None
    macs: int = 0
    about: tuple[str, ...] = ()

    def summary(self) -> dict[str, Any]:
        """Return the entries of ``summary.json``; empty without a teacher."""
        return {"teachers": list(self.teachers), "teacher_top1": self.top1} if self.teachers else {}

    def check_student(self, top1: float | None) -> None:
        """Warn of a teacher that is no better than the trained student."""
        if self.top1 is not None and top1 is not None and top1 >= self.top1:
            _log.warning(
                "the teacher %s is no better than its student: %.2f %% against %.2f %%; its logits only smooth labels",
                ", ".join(self.teachers),
                self.top1,
                top1,
            )


def open_distillation(
    config: RunConfig,
    data: Data,
    normalizer: Normalizer,
    world: World = SINGLE_PROCESS,
    trusted: Collection[str] = (),
) -> Distillation:
    """Load the teachers or open the cache of the settings; all processes of a training have to call it.

    Args:
        config: The run's settings.
        data: The student's.
        normalizer: The student's.
        world: The processes of the training.
        trusted: Factories ``package.module:function`` that the weights files of teachers may name.

    Raises:
        NetaugError: A teacher or the cache cannot be used.
    """
    distill = config.distill
    if not distill.has_teacher and not distill.in_place:
        return Distillation(DistillationLoss(distill))
    if not config.netaug.enabled and distill.in_place and world.first:
        _log.warning(
            "distill.in_place has no effect: without NetAug there is no wider network to distill from"
        )
    about = tuple(_about_in_place(config))
    if not distill.has_teacher:
        return Distillation(DistillationLoss(distill), about=about)
    downloads = any(name.startswith("timm:") for name in distill.teacher)
    teachers = world.main_process_first(downloads, lambda: _teachers(config, data, normalizer, trusted))
    if distill.cache is not None:
        with world.raise_on_all_ranks():
            cache = open_cache(config, data, normalizer, teachers)
        line = (
            f"teacher {', '.join(cache.card.teachers)}: {cache.card.teacher_top1:.2f} % on {cache.card.val_split}; "
            f"cached logits in {cache.files.folder}, {cache.card.draws} augmentations of each image"
        )
        loss = DistillationLoss(distill, _CachedLogits(cache, data, normalizer.device))
        return Distillation(
            loss, cache.card.teachers, cache.card.teacher_top1, cache.card.teacher_hash, 0, (line, *about)
        )
    assert teachers is not None, "distillation has teachers or a cache"
    top1 = teacher_top1(teachers, data, normalizer, world)
    shape = (2, data.info.in_chans, data.info.image_size, data.info.image_size)
    macs = profile(teachers, torch.zeros(shape, device=normalizer.device)).macs
    lines = [f"teacher {member}" for member in teachers.members if isinstance(member, Teacher)]
    lines[-1] += f": {top1:.2f} % on {data.info.val_split}" + " (ensemble)" * (len(lines) > 1)
    return Distillation(
        DistillationLoss(distill, _LiveLogits(teachers)),
        teachers.names,
        top1,
        teachers.fingerprint(),
        macs,
        (*lines, *about),
    )


def _teachers(
    config: RunConfig, data: Data, normalizer: Normalizer, trusted: Collection[str]
) -> Teachers | None:
    """Load the teachers; None if the settings name a cache alone."""
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
            f"in-place distillation from the drawn wider network to the base network: "
            f"weight {config.distill.in_place:g}, temperature "
            f"{config.distill.in_place_temperature:g}"
        )


class _LiveLogits:
    """Runs the teachers on a batch."""

    def __init__(self, teachers: Teachers) -> None:
        self._teachers = teachers

    def __call__(self, images: Tensor, indices_N: npt.NDArray[np.int64], epoch: int) -> Tensor:
        logits: Tensor = self._teachers(images)
        return logits


class _CachedLogits:
    """Reads the teachers' logits for these images under this epoch's augmentation."""

    def __init__(self, cache: Cache, data: Data, device: torch.device) -> None:
        self._cache, self._data, self._device = cache, data, device

    def __call__(self, images: Tensor, indices_N: npt.NDArray[np.int64], epoch: int) -> Tensor:
        return self._cache.log_probs(self._data.labeled.draw(epoch), indices_N, self._device)
