"""Opens the teachers or the cache of a run, measures the teachers, and compares them with the trained student.

Several teachers become one before the temperature applies, so a cache serves every temperature, loss and weight.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from netaug.config import DistillConfig
from netaug.data import Data, Normalizer
from netaug.distill.cache import Cache
from netaug.distill.cache_check import AugmentedImages, open_cache
from netaug.distill.distillation_loss import DistillationLoss
from netaug.distill.open_teacher import open_teachers
from netaug.distill.session import teacher_top1
from netaug.distill.teacher import Teacher, Teachers
from netaug.distributed.world import SINGLE_PROCESS, World
from netaug.profile import profile

_log = logging.getLogger("netaug")


@dataclass(frozen=True)
class Distillation:
    """Holds the distillation of a run.

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
    config: DistillConfig,
    data: Data,
    normalizer: Normalizer,
    images: AugmentedImages,
    *,
    augmented: bool,
    seed: int,
    world: World = SINGLE_PROCESS,
    trusted: Collection[str] = (),
) -> Distillation:
    """Load the teachers or open the cache of the settings; all processes of a training have to call it.

    Args:
        config: Teachers or cache, and the losses.
        data: The student's.
        normalizer: The student's.
        images: What the student sees, which a cache has to be of.
        augmented: Whether NetAug is on: without it there is no wider network to distill from.
        seed: Keys the weights of random teachers.
        world: The processes of the training.
        trusted: Factories ``package.module:function`` that the weights files of teachers may name.

    Raises:
        NetaugError: A teacher or the cache cannot be used.
    """
    about = _about_in_place(config, augmented, world)
    if not config.has_teacher:
        return Distillation(DistillationLoss(config), about=about)
    downloads = any(name.startswith("timm:") for name in config.teacher)
    teachers = world.main_process_first(
        downloads, lambda: _load_teachers(config, data, normalizer, seed, trusted)
    )
    if config.cache is not None:
        with world.raise_on_all_ranks():
            cache = open_cache(config.cache, images, data, normalizer, teachers)
        return _from_cache(config, cache, data, normalizer.device, about)
    assert teachers is not None, "distillation has teachers or a cache"
    return _from_teachers(config, teachers, data, normalizer, world, about)


def _load_teachers(
    config: DistillConfig, data: Data, normalizer: Normalizer, seed: int, trusted: Collection[str]
) -> Teachers | None:
    """Load the teachers; None if the settings name a cache alone."""
    if not config.teacher:
        return None
    last = normalizer.memory_format == torch.channels_last
    return open_teachers(config, data.info, normalizer.device, channels_last=last, seed=seed, trusted=trusted)


def _from_cache(
    config: DistillConfig, cache: Cache, data: Data, device: torch.device, about: tuple[str, ...]
) -> Distillation:
    card = cache.card
    line = (
        f"teacher {', '.join(card.teachers)}: {card.teacher_top1:.2f} % on {card.val_split}; "
        f"cached logits in {cache.files.folder}, {card.draws} augmentations of each image"
    )
    loss = DistillationLoss(config, _CachedLogits(cache, data, device))
    return Distillation(loss, card.teachers, card.teacher_top1, card.teacher_hash, 0, (line, *about))


def _from_teachers(
    config: DistillConfig,
    teachers: Teachers,
    data: Data,
    normalizer: Normalizer,
    world: World,
    about: tuple[str, ...],
) -> Distillation:
    top1 = teacher_top1(teachers, data, normalizer, world)
    shape = (2, data.info.in_chans, data.info.image_size, data.info.image_size)
    lines = [f"teacher {member}" for member in teachers.members if isinstance(member, Teacher)]
    lines[-1] += f": {top1:.2f} % on {data.info.val_split}" + " (ensemble)" * (len(lines) > 1)
    return Distillation(
        DistillationLoss(config, _LiveLogits(teachers)),
        teachers.names,
        top1,
        teachers.fingerprint(),
        profile(teachers, torch.zeros(shape, device=normalizer.device)).macs,
        (*lines, *about),
    )


def _about_in_place(config: DistillConfig, augmented: bool, world: World) -> tuple[str, ...]:
    """Return a line about in-place distillation, if it takes place; warn if it is on without an effect."""
    if not config.in_place:
        return ()
    if not augmented:
        if world.first:
            _log.warning(
                "distill.in_place has no effect: without NetAug there is no wider network to distill from"
            )
        return ()
    which = "drawn wider" if config.in_place_teacher == "drawn" else "widest"
    return (
        f"in-place distillation from the {which} network to the base network: "
        f"weight {config.in_place:g}, temperature {config.in_place_temperature:g}",
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
