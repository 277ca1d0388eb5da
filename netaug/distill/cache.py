"""Reads a folder of teacher outputs: one row for each training image and draw of its augmentation, in two files.

Layout: ``cache.json`` describes the rows, with a checksum of each block of rows; ``values.bin`` and
``classes.bin`` hold draw after draw the packed rows in the order of the images; ``samples.npy`` a few augmented images,
to see that they are still made in this way.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from netaug.core.errors import CheckpointError
from netaug.core.io import write_atomic
from netaug.distill.cache_rows import MOST_CLASSES, Classes, Halves, Packing

VERSION = 1
BLOCK_ROWS = 4096
_MOST_BLOCK_ROWS = 2**20  # what a damaged card may make us read at once
_LATER_FIELDS = {"block", "checksums"}  # caches of earlier versions do not have them
_PROGRESS = {"rows", "teacher_top1", *_LATER_FIELDS}
_MOST = 10**12  # rows, images or draws
_KINDS = {
    "teacher_top1": int | float,
    "teacher_hash": str,
    "val_split": str,
    "settings": dict,
    "dataset": dict,
}

_log = logging.getLogger("netaug")


_FILES = "dataset.files"
"""The digest of the image files; caches of earlier versions do not have it."""


@dataclass(frozen=True)
class CacheCard:
    """Holds the content of ``cache.json``.

    Args:
        teachers: As given to `distill.teacher`.
        teacher_hash: Of their weights, feeds and mean.
        teacher_top1: Percent on the evaluation images when the cache was begun.
        val_split: Where these images came from.
        classes: Number of classes.
        top: Kept classes of each image.
        images: Number of training images.
        draws: Number of augmentations of each image.
        settings: What the images depend on, `group.key` to value.
        dataset: What tells the data from other data.
        samples: Draw and index of each image in ``samples.npy``.
        rows: Rows written so far, of ``draws * images``.
        version: Of this layout.
        block: Rows of a checksum; 0 in a cache without checksums.
        checksums: CRC-32 of each block of rows, the last block as far as it is written.
    """

    teachers: tuple[str, ...]
    teacher_hash: str
    teacher_top1: float
    val_split: str
    classes: int
    top: int
    images: int
    draws: int
    settings: dict[str, Any]
    dataset: dict[str, Any]
    samples: tuple[tuple[int, int], ...]
    rows: int = 0
    version: int = VERSION
    block: int = 0
    checksums: tuple[int, ...] = ()

    @property
    def packing(self) -> Packing:
        """Return how rows are packed."""
        return Packing(self.classes, self.top)

    @property
    def total(self) -> int:
        """Return the number of rows of the finished cache."""
        return self.draws * self.images

    def differences(self, other: CacheCard) -> list[str]:
        """Name the fields in which the cache of ``other`` would be another one, except how far it is written."""
        ours, theirs = dict(_flat(asdict(self))), dict(_flat(asdict(other)))
        theirs = {name: value for name, value in theirs.items() if name != _FILES or name in ours}
        return [
            f"{name} {ours.get(name)!r} in the cache, {theirs.get(name)!r} now"
            for name in ours | theirs
            if name not in _PROGRESS and ours.get(name) != theirs.get(name)
        ]


def _card_of(values: dict[str, Any]) -> CacheCard:
    """Check the content of ``cache.json``, which is untrusted: a count in it decides how much memory is taken.

    Raises:
        ValueError, TypeError, KeyError: It is damaged, or of another version.
    """
    names = {item.name for item in fields(CacheCard)}
    if set(values) not in (names, names - _LATER_FIELDS) or values["version"] != VERSION:
        raise ValueError("other fields than this version of netaug writes")
    for name in {"teachers", "samples", "checksums"} & set(values):
        values[name] = tuple(tuple(member) if isinstance(member, list) else member for member in values[name])
    for name in ("classes", "top", "images", "draws", "rows"):
        # `type`, as bool is an int to isinstance; rows alone may be 0
        if type(values[name]) is not int or not (name != "rows") <= values[name] <= _MOST:
            raise ValueError(f"{name} {str(values[name])[:40]}")
    for name, kind in _KINDS.items():
        if not isinstance(values[name], kind):
            raise ValueError(f"{name} is {type(values[name]).__name__}")
    if not all(isinstance(name, str) for name in values["teachers"]):
        raise ValueError("teachers are not names")
    if values["classes"] > MOST_CLASSES:
        raise ValueError(f"{values['classes']} classes")
    if type(values.get("block", 0)) is not int or not 0 <= values.get("block", 0) <= _MOST_BLOCK_ROWS:
        raise ValueError(f"block {values['block']!r}")
    card = CacheCard(**values)
    if len(card.checksums) != (-(-card.rows // card.block) if card.block else 0):
        raise ValueError(f"{len(card.checksums)} checksums of {card.rows} rows")
    return card


class CacheFiles:
    """Names the files of a cache folder, and reads and checks them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.card = folder / "cache.json"
        self.values = folder / "values.bin"
        self.classes = folder / "classes.bin"
        self.samples = folder / "samples.npy"

    def write_card(self, card: CacheCard) -> None:
        """Write ``cache.json``, whole or not at all."""
        write_atomic(self.card, json.dumps(asdict(card), indent=2) + "\n")

    def read_card(self) -> CacheCard:
        """Read what the rows are of, and how far they are written.

        Raises:
            CheckpointError: It is missing or damaged, or of another version.
        """
        if not self.card.is_file():
            raise CheckpointError(
                f"'{self.folder}' holds no teacher outputs.",
                got="no cache.json" if self.folder.is_dir() else "no such folder",
                allowed="a folder that `netaug distill-cache` wrote",
            )
        try:
            return _card_of(json.loads(self.card.read_text()))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise CheckpointError(
                f"'{self.card}' cannot be read.",
                got=error,
                allowed="a file that `netaug distill-cache` of this version wrote",
                fix="write the cache again, into another folder",
            ) from error

    def checksums(self, card: CacheCard, first: int = 0) -> Iterator[int]:
        """Compute the checksums of the blocks of rows on the disk, as far as ``card`` counts them as written.

        Args:
            card: Of the cache.
            first: The block to begin with.

        Raises:
            CheckpointError: The rows cannot be read.
        """
        widths = {self.values: card.packing.values, self.classes: card.packing.indices}
        try:
            with ExitStack() as opened:
                stored = [
                    (opened.enter_context(path.open("rb")), 2 * width)
                    for path, width in widths.items()
                    if width
                ]
                for file, size in stored:
                    file.seek(first * card.block * size)
                for start in range(first * card.block, card.rows, card.block):
                    count, checksum = min(card.block, card.rows - start), 0
                    for file, size in stored:
                        checksum = zlib.crc32(file.read(count * size), checksum)
                    yield checksum
        except OSError as error:
            raise CheckpointError(f"'{error.filename or self.folder}' cannot be read.", got=error) from error

    def check_rows(self, card: CacheCard) -> None:
        """Compare all rows with their checksums.

        Raises:
            CheckpointError: A block of rows is not as it was written; names it.
        """
        if not card.block:
            _log.warning(
                "the teacher outputs in '%s' were written by an earlier version of netaug, without checksums: damaged "
                "values would not be noticed",
                self.folder,
            )
            return
        for number, (actual, written) in enumerate(zip(self.checksums(card), card.checksums, strict=True)):
            if actual != written:
                start, end = number * card.block, min((number + 1) * card.block, card.rows)
                raise CheckpointError(
                    f"the teacher outputs in '{self.folder}' are damaged.",
                    got=f"rows {start:,} to {end - 1:,} of {card.rows:,} do not match their checksum",
                    fix="write the cache again, into another folder",
                )


class Cache:
    """Reads teacher outputs from a folder as they are needed; nothing is kept in memory.

    All rows are compared with their checksums once, here: a training then stops before its first step, on all ranks.

    Args:
        folder: Finished.

    Raises:
        CheckpointError: It is missing, damaged, or not finished.
    """

    def __init__(self, folder: Path) -> None:
        self.files = CacheFiles(folder)
        self.card = card = self.files.read_card()
        if card.rows < card.total:
            raise CheckpointError(
                f"the teacher outputs in '{folder}' are not finished.",
                got=f"{card.rows:,} of {card.total:,} rows",
                fix="run the same `netaug distill-cache` again: it resumes from there",
            )
        self._values: Halves = self._map(self.files.values, np.float16, card.packing.values)
        self._classes: Classes = (
            self._map(self.files.classes, np.uint16, card.packing.indices)
            if card.packing.indices
            else np.empty((card.total, 0), np.uint16)
        )
        self.files.check_rows(card)

    def log_probs(self, draw: int, indices_N: npt.NDArray[np.int64], device: torch.device) -> Tensor:
        """Return the teacher's log probabilities, float32 ``[N, C]``, for images under a draw of augmentation."""
        rows = draw * self.card.images + indices_N
        return self.card.packing.unpack(self._values[rows], self._classes[rows], device)

    def samples(self) -> npt.NDArray[np.uint8]:
        """Return the augmented images that were kept, ``[S, C, H, W]``.

        Raises:
            CheckpointError: They cannot be read.
        """
        try:
            images: npt.NDArray[np.uint8] = np.load(self.files.samples, allow_pickle=False)
            if images.dtype != np.uint8 or len(images) != len(self.card.samples):
                raise ValueError(f"{images.dtype} {images.shape}")
            return images
        except (OSError, ValueError, EOFError) as error:
            raise CheckpointError(f"'{self.files.samples}' cannot be read.", got=error) from error

    def _map(self, path: Path, dtype: Any, width: int) -> Any:
        expected = self.card.total * width * 2
        size = path.stat().st_size if path.is_file() else None
        if size != expected:
            raise CheckpointError(
                f"'{path}' is damaged.",
                got="no file" if size is None else f"{size:,} bytes",
                allowed=f"{expected:,} bytes: {self.card.total:,} rows of {width}",
                fix="write the cache again, into another folder",
            )
        # Mapped, so that the processes of a machine share its pages, and only rows that are used are read.
        return np.memmap(path, dtype, "r", shape=(self.card.total, width))


def _flat(mapping: Mapping[str, Any]) -> Any:
    """Yield nested settings by their own names."""
    for name, value in mapping.items():
        if isinstance(value, Mapping):
            yield from ((key if "." in key else f"{name}.{key}", member) for key, member in value.items())
        else:
            yield name, value
