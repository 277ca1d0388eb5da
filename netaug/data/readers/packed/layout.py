"""The files of a packed dataset, and the checks that come before anything in them is believed.

``images.bin`` holds the payloads of all images one after the other, those of the training split first;
``index.npy`` one row an image (:func:`index_dtype`); ``meta.json`` the facts about the dataset (:class:`Meta`) and a
checksum of the index, whose rows hold a checksum of each payload.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from netaug.core.errors import DataError, first_line
from netaug.core.existing import listing
from netaug.core.regular_files import IrregularFileError, open_regular, read_regular
from netaug.data.decode.headers import MAX_PIXELS
from netaug.data.registry import Metric

Encoding = Literal["jpeg", "pixels", "original"]
Index = npt.NDArray[np.void]

FORMAT, VERSION = "netaug packed images", 1
META, INDEX, PAYLOADS = "meta.json", "index.npy", "images.bin"
ENCODINGS: tuple[Encoding, ...] = ("jpeg", "pixels", "original")

_MOST_META_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Meta:
    """The facts about a packed dataset, as in ``meta.json``.

    Args:
        encoding: What a payload is: ``jpeg``, scaled and encoded again; ``pixels``, uint8 ``[H, W, C]``; ``original``,
            the bytes of the file it was.
        size: Longest that the shorter side was left in pixels; None if images were not scaled.
        quality: JPEG quality, 1..100; None for other encodings.
        origin: Name of the dataset it was made from.
        metric: What results on it are customarily reported in.
        class_names: Names in label order.
        in_chans: Image channels: 1 gray, 3 color.
        mean: Per-channel mean of pixels scaled to [0, 1].
        std: Per-channel standard deviation, same scale.
        image_size: Side in pixels of all images; None if the files have to be asked.
        val_split: Name of the evaluation split: ``val`` or ``test``.
        train: Number of training images.
        val: Number of evaluation images; None if there is no such split.
        in_memory: Whether the dataset lives decoded in memory, as the one it was made from.
        payload_bytes: Size of ``images.bin``.
        index_sha256: Checksum of ``index.npy``, hexadecimal.
        left_out: Images of the origin that did not decode.
    """

    encoding: Encoding
    size: int | None
    quality: int | None
    origin: str
    metric: Metric
    class_names: tuple[str, ...]
    in_chans: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int | None
    val_split: str
    train: int
    val: int | None
    in_memory: bool
    payload_bytes: int
    index_sha256: str
    left_out: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the content of ``meta.json``."""
        return json.dumps({"format": FORMAT, "version": VERSION, **dataclasses.asdict(self)}, indent=1) + "\n"


def index_dtype(name_bytes: int) -> np.dtype[np.void]:
    """Return the type of an index row: offset and length in bytes, size in pixels, label, checksum, name."""
    numbers = [("offset", "<u8"), ("length", "<u4"), ("height", "<u4"), ("width", "<u4"), ("label", "<i4")]
    return np.dtype([*numbers, ("crc32", "<u4"), ("name", f"S{name_bytes}")])


def read_meta(folder: Path) -> Meta:
    """Read and check ``meta.json``.

    Raises:
        DataError: The folder holds no packed dataset, one of another version, or a damaged one.
    """
    path = folder / META
    if not path.is_file():
        raise DataError(
            f"there is no packed dataset in data.root '{folder}'.",
            got=f"in it there is: {listing(folder)}",
            allowed=f"a folder with {META}, {INDEX} and {PAYLOADS}",
            fix="write one with `netaug data pack DATASET --data.root DIR --out FOLDER`, or give its folder",
        )
    try:
        if path.stat().st_size > _MOST_META_BYTES:
            raise ValueError(f"{path.stat().st_size:,} bytes")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise damaged(folder, f"{META}: {first_line(error)}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise damaged(folder, f"{META} is not that of a packed dataset")
    if content.get("version") != VERSION:
        raise DataError(
            f"the packed dataset '{folder}' has a version that cannot be read.",
            got=f"version {content.get('version')!r}",
            allowed=f"version {VERSION}",
            fix="pack it again with this version of netaug, or use the version that wrote it",
        )
    return _meta(
        folder, {name: content.get(name) for name in (field.name for field in dataclasses.fields(Meta))}
    )


def _meta(folder: Path, content: dict[str, Any]) -> Meta:
    chans = content["in_chans"]
    holds = {
        "encoding": content["encoding"] in ENCODINGS,
        "size": _count(content["size"], none=True),
        "quality": _count(content["quality"], none=True),
        "origin": isinstance(content["origin"], str),
        "metric": content["metric"] in get_args(Metric),
        "class_names": _list(content["class_names"], str) and len(content["class_names"]) > 0,
        "in_chans": chans in (1, 3) and not isinstance(chans, bool),
        "mean": _list(content["mean"], float) and len(content["mean"]) == chans,
        "std": _list(content["std"], float) and len(content["std"]) == chans and min(content["std"]) > 0,
        "image_size": _count(content["image_size"], none=True),
        "val_split": isinstance(content["val_split"], str),
        "train": _count(content["train"]),
        "val": _count(content["val"], none=True),
        "in_memory": isinstance(content["in_memory"], bool),
        "payload_bytes": _count(content["payload_bytes"]),
        "index_sha256": isinstance(content["index_sha256"], str),
        "left_out": _list(content["left_out"], str),
    }
    wrong = [name for name, sound in holds.items() if not sound]
    if wrong:
        raise damaged(folder, f"{META}: {wrong[0]} is {str(content[wrong[0]])[:60]!r}")
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in content.items()
    }
    return Meta(**values)


def _count(value: object, *, none: bool = False) -> bool:
    if value is None:
        return none
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _list(value: object, kind: type) -> bool:
    if not isinstance(value, list) or not all(isinstance(item, kind) for item in value):
        return False
    return kind is not float or all(math.isfinite(item) for item in value)


def open_index(folder: Path, meta: Meta) -> Index:
    """Map ``index.npy`` and check that every row lies within ``images.bin`` and fits the facts.

    Raises:
        DataError: A file is missing, cut off or damaged.
    """
    try:
        with open_regular(folder / PAYLOADS) as payloads:
            payload_bytes = os.fstat(payloads.fileno()).st_size
        content = read_regular(folder / INDEX)
    except FileNotFoundError as error:
        raise damaged(folder, f"no {Path(str(error.filename)).name}") from None
    except IrregularFileError as error:
        raise damaged(folder, f"{Path(str(error.filename)).name}: {error.strerror}") from None
    if payload_bytes != meta.payload_bytes:
        raise damaged(folder, f"{PAYLOADS} has {payload_bytes:,} bytes", f"{meta.payload_bytes:,} bytes")
    if hashlib.sha256(content).hexdigest() != meta.index_sha256:
        raise damaged(folder, f"{INDEX} has another checksum than when it was written")
    try:
        index: Index = np.lib.format.open_memmap(folder / INDEX, mode="r")
    except (ValueError, TypeError, SyntaxError, EOFError) as error:
        raise damaged(folder, f"{INDEX}: {first_line(error)}") from None
    _check_rows(folder, meta, index)
    return index


def _check_rows(folder: Path, meta: Meta, index: Index) -> None:
    names = index.dtype["name"].itemsize if index.dtype.names and "name" in index.dtype.names else 1
    if index.dtype != index_dtype(names) or index.shape != (meta.train + (meta.val or 0),):
        raise damaged(folder, f"{INDEX} has the shape {index.shape} and other columns or rows than it should")
    offset, length = index["offset"], index["length"].astype(np.uint64)
    height, width = index["height"].astype(np.uint64), index["width"].astype(np.uint64)
    total, pixels = np.uint64(meta.payload_bytes), height * width
    # Unsigned numbers of 64 bits: offset + length of a forged row could wrap around, so they are never added.
    checks = {
        f"reach beyond the end of {PAYLOADS}": (length <= total)
        & (offset <= total - np.minimum(length, total)),
        "are empty or have no size": (length > 0) & (pixels > 0),
        f"have more than {MAX_PIXELS:,} pixels": pixels <= MAX_PIXELS,
        f"have a label outside 0..{len(meta.class_names) - 1}": (index["label"] >= 0)
        & (index["label"] < len(meta.class_names)),
    }
    if meta.encoding == "pixels":
        checks["have another number of pixels than bytes"] = length == pixels * np.uint64(meta.in_chans)
    for problem, sound in checks.items():
        if not sound.all():
            raise damaged(folder, f"{np.count_nonzero(~sound):,} of {len(index):,} images {problem}")


def damaged(folder: Path | str, got: str, allowed: str | None = None) -> DataError:
    """Return the error for a packed dataset that is not as it was written."""
    return DataError(
        f"the packed dataset '{folder}' is damaged or incomplete.",
        got=got,
        allowed=allowed,
        fix="copy the folder again, or write it again with `netaug data pack`",
    )
