"""Measures teachers and writes their cache, with progress on the terminal."""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path

from netaug.config import RunConfig
from netaug.core.consoles import SafeConsole
from netaug.core.device import choose_device, set_up
from netaug.core.progress import WorkProgress
from netaug.data import Data, Normalizer, build_data
from netaug.distill.cache import CacheCard
from netaug.distill.cache_check import AugmentedImages
from netaug.distill.cache_writer import cache_card, write_cache
from netaug.distill.open_teacher import open_teachers
from netaug.distill.teacher import Teachers
from netaug.distributed.world import SINGLE_PROCESS, World
from netaug.tasks import ClassificationTask
from netaug.tasks.validation import validate

_log = logging.getLogger("netaug")
_CHANCES = 2.0


def teacher_top1(
    teachers: Teachers, data: Data, normalizer: Normalizer, world: World = SINGLE_PROCESS
) -> float:
    """Return the top-1 of the teachers on the evaluation images in percent; warns if it is near chance."""
    top1 = validate(teachers, data.val, normalizer, ClassificationTask(), world)["top1"]
    if world.first and top1 <= _CHANCES * 100 / data.info.num_classes:
        _log.warning(
            "the top-1 of the teacher %s is %.2f %% on %s, near chance: check that it has these classes in this order, "
            "and takes images of this kind",
            ", ".join(teachers.names),
            top1,
            data.info.val_split,
        )
    return top1


def write(config: RunConfig, out: Path, top: int, trusted: Collection[str] = ()) -> CacheCard:
    """Write the cache of these settings, or complete it: all that `netaug distill-cache` does.

    Args:
        config: The whole configuration, as this is to a cache what :func:`netaug.train.run.train` is to a run.
        out: The folder.
        top: Classes kept of each image.
        trusted: Factories ``package.module:function`` that the weights files of teachers may name.

    Raises:
        NetaugError: The teacher, the data or the folder cannot be used.
        Stopped: A signal; the same call resumes.
    """
    device = choose_device(config.train.device)
    set_up(device, config.train.threads)
    seed = config.train.seed
    data = build_data(config.data, seed=seed, pin_memory=device.type == "cuda", regularize=config.regularize)
    info, last = data.info, config.train.channels_last
    trusted = {config.model.name, *trusted}
    teachers = open_teachers(config.distill, info, device, channels_last=last, seed=seed, trusted=trusted)
    normalizer = Normalizer(info.mean, info.std, device, last)
    console = SafeConsole(stderr=True, highlight=False)
    top1 = teacher_top1(teachers, data, normalizer)
    console.print(f"teacher {', '.join(teachers.names)}: {top1:.2f} % on {info.val_split}", markup=False)
    images = AugmentedImages.of(config.data, config.regularize, seed=seed, epochs=config.train.epochs)
    card = cache_card(images, data, teachers, top, top1)
    with WorkProgress("running the teacher", card.total) as progress:
        return write_cache(
            out,
            card,
            data,
            teachers,
            normalizer,
            batch_size=config.data.eval_batch_size,
            on_rows=lambda done, _: progress.reach(done),
        )
