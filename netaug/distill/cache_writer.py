"""Writes a cache of teacher outputs for all images and draws, and resumes where an earlier writing was stopped."""

from __future__ import annotations

import io
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from netaug.core.errors import ConfigError, RunFolderError
from netaug.core.io import cannot_write, is_leftover, remove_leftovers, write_atomic
from netaug.core.lock import NAME as LOCK
from netaug.core.lock import RunLock
from netaug.core.signals import Stopped, StopRequests
from netaug.data import Data, Normalizer
from netaug.distill.cache import BLOCK_ROWS, CacheCard, CacheFiles
from netaug.distill.cache_check import AugmentedImages, images_record, sample_images
from netaug.distill.cache_rows import MOST_CLASSES
from netaug.distill.teacher import Teachers

_SAMPLES = 16
_SAVE_SECONDS = 30.0
_SPARE = 2**20  # bytes beside the rows

OnRows = Callable[[int, int], None]
"""Called with the rows written and their number in all."""


def cache_card(images: AugmentedImages, data: Data, teachers: Teachers, top: int, top1: float) -> CacheCard:
    """Return the content of a new ``cache.json``.

    Args:
        images: What the networks that read the cache will see.
        data: The run's data.
        teachers: Those that are run.
        top: Classes kept of each image; at least the number of classes keeps all.
        top1: Percent of the teacher on the evaluation images.

    Raises:
        ConfigError: There are too many classes.
    """
    info = data.info
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
        draws=images.draws,
        settings=images.settings,
        dataset=images_record(data),
        samples=tuple((number % images.draws, index) for number, index in enumerate(spread)),
        block=BLOCK_ROWS,
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
    """Run the teachers on all images under all draws, from where an earlier writing was stopped; return the final card.

    Args:
        folder: New or empty, or one that holds a part of this very cache.
        card: From :func:`cache_card`.
        data: The run's data.
        teachers: Those that are run.
        normalizer: Of the run.
        batch_size: Images per forward pass of the teachers.
        on_rows: Called after each batch.

    Raises:
        RunFolderError: The folder holds something else, or its disk has no room.
        Stopped: A signal, after what was written is on the disk.
    """
    files = CacheFiles(folder)
    with RunLock(folder), StopRequests() as stop, ExitStack() as opened:
        writer = _Writer(files, _begin(files, card, data), opened)
        for draw, batch in data.labeled.sweep(card.draws, batch_size, writer.card.rows):
            end = min(writer.card.rows + batch_size, (draw + 1) * card.images)
            packed = card.packing.pack(teachers(normalizer(batch.images_NCHW)))
            writer.write(packed, draw * card.images + batch.indices_N.numpy(), end)
            on_rows(end, card.total)
            if stop.signal is not None and end < card.total:
                writer.save()
                written = f"{end:,} of {card.total:,} rows are in {folder}"
                raise Stopped(f"stopped; {written}. The same command resumes from there", stop.signal)
            writer.save_if_due()
        return writer.save()


def _begin(files: CacheFiles, card: CacheCard, data: Data) -> CacheCard:
    """Start a new folder, or read how far an earlier writing of the same cache came."""
    folder = files.folder
    if files.card.is_file():
        earlier = files.read_card()
        differing = earlier.differences(card)
        if differing:
            raise RunFolderError(
                f"'{folder}' holds other teacher outputs.",
                got="; ".join(differing),
                fix="choose another folder with --out",
            )
        remove_leftovers(folder)
        if earlier.rows:
            files.check_rows(earlier)
        card = earlier
    else:
        others = sorted(e.name for e in folder.iterdir() if e.name != LOCK and not is_leftover(e.name))
        if others:
            raise RunFolderError(
                f"'{folder}' is not empty.", got=", ".join(others[:3]), fix="choose another folder with --out"
            )
    _check_room(files, card)
    if not card.rows:
        files.write_card(card)  # first: it makes the folder a cache, whose samples a kill may have prevented
        content = io.BytesIO()
        np.save(content, sample_images(data, card.samples).numpy())
        write_atomic(files.samples, content.getvalue())
    return card


def _check_room(files: CacheFiles, card: CacheCard) -> None:
    """Refuse a disk that is too full for the rows that are not written yet."""
    taken = sum(path.stat().st_blocks * 512 for path in (files.values, files.classes) if path.is_file())
    needed, free = card.total * card.packing.bytes + _SPARE - taken, shutil.disk_usage(files.folder).free
    if card.rows < card.total and needed > free:
        raise RunFolderError(
            f"there is no room for the teacher outputs in '{files.folder}'.",
            got=f"{free / 2**20:,.0f} MB free, {needed / 2**20:,.0f} MB needed: {card.draws} draws of {card.images:,} "
            f"images, {card.packing.bytes} bytes each",
            fix="another disk, fewer data.distinct_epochs, or a smaller --top",
        )


class _Rows:
    """Writes rows to a file, one after the other.

    A file that grows, and no memory map: on a full disk a write raises an error, a store into a map kills the process.
    """

    def __init__(self, opened: ExitStack, path: Path, width: int) -> None:
        self._path, self._row_bytes = path, 2 * width
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise cannot_write(path, error) from error
        opened.callback(os.close, self._descriptor)

    def write(self, start: int, rows: npt.NDArray[Any]) -> None:
        data, offset = memoryview(rows.tobytes()), start * self._row_bytes
        try:
            while data:
                written = os.pwrite(self._descriptor, data, offset)
                data, offset = data[written:], offset + written
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def sync(self) -> None:
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise cannot_write(self._path, error) from error


class _Writer:
    """Appends rows to the files of a cache, and saves now and then how far they are written.

    Args:
        files: Of the cache.
        card: How far it is written.
        opened: Closes the files.
    """

    def __init__(self, files: CacheFiles, card: CacheCard, opened: ExitStack) -> None:
        self._files, self.card, self._saved, self._saved_at = files, card, card, time.monotonic()
        self._rows = [_Rows(opened, files.values, card.packing.values)]
        if card.packing.indices:
            self._rows.append(_Rows(opened, files.classes, card.packing.indices))

    def write(self, packed: Sequence[npt.NDArray[Any]], positions_N: npt.NDArray[np.int64], end: int) -> None:
        """Write the rows up to ``end``: each packed row at its position in the cache, zeros for skipped images."""
        start = self.card.rows
        for file, rows in zip(self._rows, packed, strict=False):
            block = np.zeros((end - start, rows.shape[1]), rows.dtype)
            block[positions_N - start] = rows
            file.write(start, block)
        self.card = replace(self.card, rows=end)

    def save_if_due(self) -> None:
        """Save if the last time is long ago, so that a kill costs little."""
        if time.monotonic() - self._saved_at > _SAVE_SECONDS:
            self.save()

    def save(self) -> CacheCard:
        """Save the card with the checksums of its rows, and return it."""
        for file in self._rows:  # before the card: what it counts as written has to be on the disk
            file.sync()
        if self.card.block:
            first = self._saved.rows // self.card.block
            new = self._files.checksums(self.card, first)
            self.card = replace(self.card, checksums=(*self._saved.checksums[:first], *new))
        self._files.write_card(self.card)
        self._saved, self._saved_at = self.card, time.monotonic()
        return self.card
