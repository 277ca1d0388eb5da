"""Writing a cache of teacher outputs: once for all images and draws, and on from where it was stopped."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from netaug.config import RunConfig
from netaug.data import Data, Normalizer
from netaug.distill.cache import CacheCard, CacheFiles
from netaug.distill.checking import draws_of, image_settings, sample_images
from netaug.distill.packing import MOST_CLASSES
from netaug.distill.teacher import Teachers
from netaug.errors import ConfigError, RunFolderError
from netaug.train.lock import NAME as LOCK
from netaug.train.lock import RunLock
from netaug.train.resume import fingerprint
from netaug.train.stopping import Stopped, StopRequests

_SAMPLES = 16
_SAVE_SECONDS = 30.0
_SPARE = 2**20  # bytes beside the rows

OnRows = Callable[[int, int], None]
"""Called with the rows written and their number in all."""


def cache_card(config: RunConfig, data: Data, teachers: Teachers, top: int, top1: float) -> CacheCard:
    """What the cache of these settings is.

    Args:
        config: The run's settings.
        data: The run's data.
        teachers: Who is asked.
        top: Classes kept of each image; at least the number of classes keeps all.
        top1: Percent of the teacher on the evaluation images.

    Raises:
        ConfigError: There are too many classes, or the settings mix images.
    """
    info, draws = data.info, draws_of(config)
    if info.num_classes > MOST_CLASSES:
        raise ConfigError(
            "there are too many classes for a cache.", got=info.num_classes, allowed=MOST_CLASSES
        )
    spread = np.linspace(0, info.train_size - 1, min(_SAMPLES, info.train_size), dtype=int).tolist()
    return CacheCard(
        teachers=teachers.names,
        teacher_hash=teachers.fingerprint(),
        teacher_top1=top1,
        val_split=info.val_split,
        classes=info.num_classes,
        top=min(top, info.num_classes),
        images=info.train_size,
        draws=draws,
        settings=image_settings(config),
        dataset=fingerprint(info),
        samples=tuple((number % draws, index) for number, index in enumerate(spread)),
    )


def write_cache(
    folder: Path,
    card: CacheCard,
    data: Data,
    teachers: Teachers,
    normalizer: Normalizer,
    *,
    batch_size: int,
    on_rows: OnRows,
) -> CacheCard:
    """Ask the teachers about every training image under every draw; go on where an earlier writing was stopped.

    Args:
        folder: New or empty, or one that holds a part of this very cache.
        card: From :func:`cache_card`.
        data: The run's data.
        teachers: Who is asked.
        normalizer: Of the run.
        batch_size: Images asked about at once.
        on_rows: Told of progress.

    Returns:
        The card of the finished cache.

    Raises:
        RunFolderError: The folder holds something else, or its disk has no room.
        Stopped: A signal, after what was written is on the disk.
    """
    files = CacheFiles(folder)
    with RunLock(folder), StopRequests() as stop:
        card = _begin(files, card, data)
        stored = [_room(files.values, np.float16, card.total, card.packing.values)]
        if card.packing.indices:
            stored.append(_room(files.classes, np.uint16, card.total, card.packing.indices))
        saved = time.monotonic()
        for draw, batch in data.labelled.sweep(card.draws, batch_size, card.rows):
            packed = card.packing.pack(teachers(normalizer(batch.images_NCHW)))
            rows = draw * card.images + batch.indices_N.numpy()
            for array, part in zip(stored, packed, strict=False):
                array[rows] = part
            card = replace(card, rows=min(card.rows + batch_size, (draw + 1) * card.images))
            on_rows(card.rows, card.total)
            stopping = stop.signal is not None and card.rows < card.total
            if stopping or time.monotonic() - saved > _SAVE_SECONDS:
                _save(files, card, stored)
                saved = time.monotonic()
            if stopping:
                assert stop.signal is not None
                share = f"{card.rows:,} of {card.total:,} rows are in {folder}"
                raise Stopped(f"stopped; {share}. The same command goes on from there", stop.signal)
        _save(files, card, stored)
    return card


def _begin(files: CacheFiles, card: CacheCard, data: Data) -> CacheCard:
    """Start a new folder, or find out how far an earlier writing of the same came."""
    folder = files.folder
    if files.card.is_file():
        found = files.read_card()
        differing = found.differences(card)
        if differing:
            raise RunFolderError(
                f"'{folder}' holds other teacher outputs.",
                got="; ".join(differing),
                fix="choose another folder with --out",
            )
        return found
    others = sorted(entry.name for entry in folder.iterdir() if entry.name != LOCK)
    if others:
        raise RunFolderError(
            f"'{folder}' is not empty.", got=", ".join(others[:3]), fix="choose another folder with --out"
        )
    needed, free = card.total * card.packing.bytes + _SPARE, shutil.disk_usage(folder).free
    if needed > free:
        raise RunFolderError(
            f"there is no room for the teacher outputs in '{folder}'.",
            got=f"{free / 2**20:,.0f} MB free, {needed / 2**20:,.0f} MB needed: {card.draws} draws of {card.images:,} "
            f"images, {card.packing.bytes} bytes each",
            fix="another disk, fewer data.distinct_epochs, or a smaller --top",
        )
    np.save(files.samples, sample_images(data, card.samples).numpy())
    files.write_card(card)
    return card


def _room(path: Path, dtype: Any, rows: int, width: int) -> Any:
    """A file of rows that can be assigned; one that was begun keeps what it has."""
    with path.open("ab") as file:
        file.truncate(rows * width * 2)
    return np.memmap(path, dtype, "r+", shape=(rows, width))


def _save(files: CacheFiles, card: CacheCard, stored: Sequence[Any]) -> None:
    """Rows first: what the card counts as written is on the disk."""
    for array in stored:
        array.flush()
    files.write_card(card)
