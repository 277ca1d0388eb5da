"""Hugging Face datasets, on disk or from the hub: rows at random, images decoded here from their bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from netaug.config import DataConfig
from netaug.core.errors import DataError, NoEvaluationImagesError, first_line
from netaug.core.existing import listing
from netaug.core.optional import import_extra
from netaug.data.decode.image import content_size, decode_content, read_content
from netaug.data.labels import RawLabels, resolve_labels, shown
from netaug.data.readers.class_names import read_class_names
from netaug.data.readers.folder import IMAGENET_MEAN, IMAGENET_STD
from netaug.data.registry import Source, Split, dataset
from netaug.data.roots import require_root
from netaug.data.store import Indices

VAL_NAMES = ("val", "validation", "valid", "test")
_HUB = "hub:"
_COLOR = 3
_SAVED = ("dataset_dict.json", "state.json")  # of several splits, of one


class RowImages:
    """Images in rows of a dataset, decoded at each access.

    Args:
        rows: A ``datasets.Dataset`` with one column, whose images are not decoded.
        column: The column's name.
        folder: Names the dataset and the split in messages.
        rows_N: int64, each image's row.
        in_chans: Channels that the images are converted to: 1 or 3.
    """

    def __init__(self, rows: Any, column: str, folder: str, rows_N: Indices, in_chans: int) -> None:
        self._rows, self._column, self._rows_N = rows, column, rows_N
        self.folder, self.in_chans = folder, in_chans

    def __len__(self) -> int:
        return len(self._rows_N)

    def path(self, index: int) -> str:
        """Return the dataset and the row of one image."""
        return f"{self.folder}, row {self._rows_N[index]}"

    def identities(self) -> Sequence[bytes]:
        """Return the row of each image."""
        return [b"%d" % row for row in self._rows_N.tolist()]

    def stored_bytes(self, index: int) -> int:
        """Return -1: the size is unknown without reading the row."""
        return -1

    def content(self, index: int) -> bytearray:
        """Return the bytes of one image; raises :class:`DataError` if the row has none."""
        value = self._rows[int(self._rows_N[index])][self._column] or {}
        if value.get("bytes") is not None:
            return bytearray(value["bytes"])
        if value.get("path"):
            return read_content(value["path"])
        raise DataError(
            f"{self.path(index)} has no image.",
            got=f"nothing in the column '{self._column}'",
            fix="leave the row out; `--data.on_error skip` does it while training",
        )

    def read(self, index: int) -> Tensor:
        """Return one image, uint8 ``[C, H, W]``; raises :class:`DataError` naming it if it does not decode."""
        return decode_content(self.content(index), self.path(index), self.in_chans)

    def size(self, index: int) -> tuple[int, int]:
        """Return height and width in pixels of one image, from its header."""
        return content_size(self.content(index), self.path(index))

    def select(self, indices: Indices) -> RowImages:
        """Return the images at ``indices``, in that order."""
        return RowImages(self._rows, self._column, self.folder, self._rows_N[indices], self.in_chans)


@dataset("hf", reads=("train_split", "val_split", "image_column", "label_column", "class_names"))
def load_huggingface(config: DataConfig) -> Source:
    """Open a dataset with an image and a label column, in color, with ImageNet's mean and deviation."""
    library = import_extra("datasets", "hf", "the dataset 'hf'")
    splits = _open(library, config)
    train_name = _choose(splits, config, config.train_split, ("train",), "train_split")
    names = [train_name]
    if config.holdout == 0:
        names.append(_choose(splits, config, config.val_split, VAL_NAMES, "val_split"))
    images, raw = zip(*(_split(library, splits[name], config, name) for name in names), strict=True)
    labels = resolve_labels(
        raw[0], raw[1] if len(raw) > 1 else None, _class_names(library, splits[train_name], config)
    )
    return Source(
        class_names=labels.class_names,
        in_chans=_COLOR,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        train=Split(images[0], labels.train_N),
        val=None if labels.val_N is None else Split(images[1], labels.val_N),
        val_split="test" if names[-1] == "test" else "val",
    )


def _open(library: Any, config: DataConfig) -> dict[str, Any]:
    """Return the splits by name; a dataset without splits is called ``train``."""
    if config.root and config.root.startswith(_HUB):
        name, _, configuration = config.root.removeprefix(_HUB).partition(":")
        opened = _call(config, library.load_dataset, name, configuration or None)
    else:
        root = require_root(config)
        if any((root / name).is_file() for name in _SAVED):
            opened = _call(config, library.load_from_disk, str(root))
        elif any(root.glob("*.parquet")) or any(root.glob("data/*.parquet")):
            opened = _call(config, library.load_dataset, str(root))
        else:
            raise _no_dataset(root)
    return dict(opened) if isinstance(opened, dict) else {"train": opened}


def _call(config: DataConfig, load: Any, *arguments: str | None) -> Any:
    """Return what the library loads; it fails in many ways: no network, no such dataset, damaged files."""
    try:
        return load(*arguments)
    except Exception as error:
        raise DataError(
            f"the Hugging Face dataset '{config.root}' cannot be opened.",
            got=f"{type(error).__name__}: {first_line(error)}",
            allowed="a folder that save_to_disk wrote, or hub:OWNER/NAME with a connection to the hub",
        ) from None


def _no_dataset(root: Path) -> DataError:
    inner = [path.parent for name in _SAVED for path in sorted(root.glob(f"*/{name}"))]
    return DataError(
        f"data.root '{root}' is not a Hugging Face dataset.",
        got=f"in ROOT there is: {listing(root)}",
        allowed="ROOT/dataset_dict.json or ROOT/state.json, as save_to_disk writes them; or ROOT/data/*.parquet",
        fix=f"--data.root {inner[0]}"
        if inner
        else "--data.root hub:OWNER/NAME fetches a dataset from the hub",
    )


def _choose(
    splits: dict[str, Any], config: DataConfig, named: str | None, usual: tuple[str, ...], setting: str
) -> str:
    name = next((name for name in ([named] if named else usual) if name in splits), None)
    if name is None:
        held = ", or hold out training images: --data.holdout 0.1" if setting == "val_split" else ""
        # One split is that of the training images; with a second, what is for evaluation is the user's decision.
        alone = setting == "val_split" and named is None and len(splits) == 1
        raise (NoEvaluationImagesError if alone else DataError)(
            f"the Hugging Face dataset '{config.root}' has no split '{named or usual[0]}'.",
            got=f"splits {shown(splits)}",
            fix=f"--data.{setting} NAME{held}",
        )
    return name


def _split(library: Any, rows: Any, config: DataConfig, name: str) -> tuple[RowImages, RawLabels]:
    where = f"'{config.root}' split '{name}'"
    if not len(rows):
        raise DataError(f"{where} has no rows.")
    image = _column(rows, config, config.image_column, library.Image, "image_column", where)
    label = _column(rows, config, config.label_column, library.ClassLabel, "label_column", where)
    kind = rows.features[image]
    if not isinstance(kind, library.Image):
        raise DataError(
            f"the column '{image}' of {where} holds no images.",
            got=kind,
            allowed="the feature datasets.Image()",
        )
    # Not decoded by the library: all sources share one decoder, and its bits. A format set by the user is taken off.
    encoded = rows.select_columns([image]).with_format(None).cast_column(image, library.Image(decode=False))
    images = RowImages(encoded, image, where, np.arange(len(rows), dtype=np.int64), _COLOR)
    return images, RawLabels(_texts(library, rows, label, where, config), where, lambda index: f"row {index}")


def _column(rows: Any, config: DataConfig, named: str | None, feature: Any, setting: str, where: str) -> str:
    """Return the column asked for, else the only one of a kind, else the usual name."""
    usual = setting.removesuffix("_column")
    candidates = [name for name, kind in rows.features.items() if isinstance(kind, feature)]
    name = named or (candidates[0] if len(candidates) == 1 else usual)
    if name not in rows.features:
        kinds = ", ".join(f"{column} ({type(kind).__name__})" for column, kind in rows.features.items())
        raise DataError(
            f"{where} has no column '{name}'.", got=f"columns {kinds}", fix=f"--data.{setting} NAME"
        )
    return name


def _texts(library: Any, rows: Any, label: str, where: str, config: DataConfig) -> list[str]:
    """Return labels as text: names where the dataset names its classes and no file does."""
    kind = rows.features[label]
    values = rows.select_columns([label]).with_format(None)[:][label]
    if any(isinstance(value, list | dict | bytes | bool) for value in values[:1]):
        raise DataError(
            f"the column '{label}' of {where} holds no labels.",
            got=kind,
            allowed="class indices or class names",
        )
    if isinstance(kind, library.ClassLabel) and config.class_names is None:
        names = kind.names
        for row, value in enumerate(values):
            if value is not None and not 0 <= value < len(names):
                raise DataError(
                    f"labels out of range in {where}.",
                    got=f"{value} in row {row}",
                    allowed=f"0 to {len(names) - 1}",
                    fix="a split whose labels are hidden cannot be used" if value == -1 else None,
                )
        return ["" if value is None else names[value] for value in values]
    return ["" if value is None else str(value) for value in values]


def _class_names(library: Any, rows: Any, config: DataConfig) -> tuple[str, ...] | None:
    if config.class_names is not None:
        return read_class_names(config.class_names)
    label = _column(rows, config, config.label_column, library.ClassLabel, "label_column", str(config.root))
    kind = rows.features[label]
    return tuple(kind.names) if isinstance(kind, library.ClassLabel) else None
