"""Tables of image paths and labels: one file with a column `split`, or one file per split."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from netaug.config import DataConfig
from netaug.core.errors import DataError, NoEvaluationImagesError
from netaug.core.existing import listing
from netaug.data.labels import RawLabels, resolve_labels, shown
from netaug.data.readers.class_names import read_class_names
from netaug.data.readers.folder import IMAGENET_MEAN, IMAGENET_STD
from netaug.data.readers.table_files import SUFFIXES, place_in, read_columns
from netaug.data.registry import Source, Split, dataset
from netaug.data.roots import require_root
from netaug.data.store import FileImages

VAL_NAMES = ("val", "validation", "valid", "test")
_COLOR = 3
_SPLIT = "split"
_log = logging.getLogger("netaug")


@dataclass(frozen=True)
class _Part:
    """The rows of one split.

    Args:
        name: The split's name.
        file: The table.
        rows_N: Rows in the table, from 0.
        paths: Image files, as written.
        labels: Labels, as written.
    """

    name: str
    file: Path
    rows_N: npt.NDArray[np.int64]
    paths: list[str]
    labels: list[str]

    def place(self, index: int) -> str:
        """Return where one image's row is, for messages."""
        return place_in(self.file, int(self.rows_N[index]))

    def raw_labels(self) -> RawLabels:
        """Return the labels with their origin."""
        return RawLabels(self.labels, f"'{self.file}'", self.place)

    def images(self) -> FileImages:
        """Return the image files; their paths are relative to the table's folder."""
        return FileImages(str(self.file.parent), self.paths, _COLOR)


@dataset("table", reads=("train_split", "val_split", "image_column", "label_column", "class_names"))
def load_table(config: DataConfig) -> Source:
    """Find the images that tables list, in color, with ImageNet's mean and deviation."""
    root = Path(config.root).expanduser() if config.root else Path()
    file = root if root.is_file() else _single_table(require_root(config), config)
    parts = _parts_of_file(file, config) if file else _parts_of_folder(root, config)
    for part in parts:
        _check_files(part)
        _warn_of_repeats(part)
    _warn_of_overlap(parts)
    raw = [part.raw_labels() for part in parts]
    labels = resolve_labels(raw[0], raw[1] if len(raw) > 1 else None, read_class_names(config.class_names))
    val = None if labels.val_N is None else Split(parts[1].images(), labels.val_N)
    return Source(
        class_names=labels.class_names,
        in_chans=_COLOR,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        train=Split(parts[0].images(), labels.train_N),
        val=val,
        val_split="test" if len(parts) > 1 and parts[1].name == "test" else "val",
    )


def _single_table(root: Path, config: DataConfig) -> Path | None:
    """Return the only table of a folder; None if there are several, or if it is the table of one split.

    A table is that of a split if it is called so, and has no column that names splits.
    """
    tables = _tables_in(root)
    if len(tables) != 1 or config.train_split in tables:
        return None
    if Path(tables[0]).stem not in ("train", *VAL_NAMES):
        return root / tables[0]
    needed = (config.image_column or "path", config.label_column or "label")
    return root / tables[0] if _SPLIT in read_columns(root / tables[0], needed, (_SPLIT,)) else None


def _tables_in(root: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(root) if entry.name.lower().endswith(SUFFIXES))


def _parts_of_file(file: Path, config: DataConfig) -> list[_Part]:
    """Return the splits that the column `split` of one file names; without it all rows are for training."""
    path, label = config.image_column or "path", config.label_column or "label"
    columns = read_columns(file, (path, label), (_SPLIT,))
    if _SPLIT not in columns:
        named = next((name for name in (config.train_split, config.val_split) if name is not None), None)
        if named is not None or config.holdout == 0:
            kind = NoEvaluationImagesError if named is None else DataError
            raise kind(
                f"the table '{file}' has no column '{_SPLIT}'.",
                got="one table, and nothing that says what is for evaluation"
                if named is None
                else f"split '{named}'",
                allowed=f"a column '{_SPLIT}' with train and val; or a folder with train.csv and val.csv",
                fix="hold out training images for evaluation: --data.holdout 0.1",
            )
        rows = np.arange(len(columns[path]), dtype=np.int64)
        return [_Part("train", file, rows, columns[path], columns[label])]
    splits = np.array(columns[_SPLIT])
    present = sorted(set(columns[_SPLIT]))
    wanted = [_choose(file, present, config.train_split, ("train",), "train_split")]
    if config.holdout == 0:
        wanted.append(_choose(file, present, config.val_split, VAL_NAMES, "val_split", wanted[0]))
    parts = []
    for name in wanted:
        rows = np.flatnonzero(splits == name)
        paths, labels = ([columns[column][row] for row in rows.tolist()] for column in (path, label))
        parts.append(_Part(name, file, rows, paths, labels))
    return parts


def _choose(
    file: Path,
    present: list[str],
    named: str | None,
    usual: tuple[str, ...],
    setting: str,
    train: str | None = None,
) -> str:
    name = next((name for name in ([named] if named else usual) if name in present), None)
    if name is None:
        others = [name for name in present if name != train]
        raise _error_of(named, others, setting)(
            f"the column '{_SPLIT}' of '{file}' has no {named or ' or '.join(usual)}.",
            got=shown(present),
            fix=f"--data.{setting} {next(filter(None, others), 'NAME')}"
            + (", or hold out training images: --data.holdout 0.1" if setting == "val_split" else ""),
        )
    return name


def _error_of(named: str | None, others: Sequence[str], setting: str) -> type[DataError]:
    """Return the error for a split that is missing: images are held out only where nothing else could be meant."""
    alone = setting == "val_split" and named is None and not others
    return NoEvaluationImagesError if alone else DataError


def _parts_of_folder(root: Path, config: DataConfig) -> list[_Part]:
    path, label = config.image_column or "path", config.label_column or "label"
    files = [_file_of(root, config.train_split, ("train",), "train_split")]
    if config.holdout == 0:
        files.append(_file_of(root, config.val_split, VAL_NAMES, "val_split", files[0]))
    parts = []
    for file in files:
        columns = read_columns(file, (path, label))
        rows = np.arange(len(columns[path]), dtype=np.int64)
        parts.append(_Part(file.stem, file, rows, columns[path], columns[label]))
    return parts


def _file_of(
    root: Path, named: str | None, usual: tuple[str, ...], setting: str, train: Path | None = None
) -> Path:
    """Return one split's table in a folder; the training table is not that of another split."""
    if named is not None:
        return root / named
    for stem in usual:
        files = [root / (stem + suffix) for suffix in SUFFIXES if (root / (stem + suffix)).is_file()]
        if len(files) > 1:
            raise DataError(
                f"there is more than one table of '{stem}' in data.root '{root}'.",
                got=shown(file.name for file in files),
                fix=f"choose one: --data.{setting} {files[0].name}",
            )
        if files:
            return files[0]
    tables = _tables_in(root)
    single = (
        f"--data.root {root / tables[0]} reads one table with a column '{_SPLIT}'; "
        if tables and train is None
        else ""
    )
    others = [name for name in tables if train is None or root / name != train]
    raise _error_of(named, others, setting)(
        f"no table of '{usual[0]}' in data.root '{root}'.",
        got=f"in ROOT there is: {listing(root)}",
        allowed=" or ".join(f"ROOT/{stem}.csv" for stem in usual) + " (or .tsv, .parquet)",
        fix=f"{single}--data.{setting} {others[0] if train and others else 'FILE'} reads a table of another name"
        + (", or hold out training images: --data.holdout 0.1" if setting == "val_split" else ""),
    )


def _check_files(part: _Part) -> None:
    """Refuse paths without a file; each folder is listed once, which is fast also for millions of files."""
    base, listed = str(part.file.parent), dict[str, frozenset[str]]()
    missing = []
    for index, path in enumerate(part.paths):
        folder, name = os.path.split(path)
        if folder not in listed:
            listed[folder] = _names_in(os.path.join(base, folder))
        if name not in listed[folder]:
            missing.append(index)
    if missing:
        first = missing[0]
        raise DataError(
            f"{len(missing)} of {len(part.paths)} image files of the table '{part.file}' do not exist.",
            got=f"{shown(part.paths[index] for index in missing)}; the first in {part.place(first)}",
            allowed="absolute paths, or paths from the folder of the table",
            fix=f"there is nothing at '{os.path.join(base, part.paths[first])}': move the table, or correct its paths",
        )


def _names_in(folder: str) -> frozenset[str]:
    try:
        return frozenset(entry.name for entry in os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()


def _warn_of_repeats(part: _Part) -> None:
    first: dict[str, str] = {}
    repeated: list[str] = []
    conflicting: list[str] = []
    for path, label in zip(part.paths, part.labels, strict=True):
        if path not in first:
            first[path] = label
        else:
            (repeated if first[path] == label else conflicting).append(path)
    for paths, how in ((repeated, "again"), (conflicting, "again with another label")):
        if paths:
            _log.warning("'%s' lists %d images %s (%s).", part.file, len(paths), how, shown(paths))


def _warn_of_overlap(parts: list[_Part]) -> None:
    if len(parts) < 2 or parts[0].file.parent != parts[1].file.parent:
        return
    shared = sorted(set(parts[0].paths) & set(parts[1].paths))
    if shared:
        _log.warning(
            "%d images are in '%s' and in '%s' (%s): evaluation sees training images.",
            len(shared),
            parts[0].name,
            parts[1].name,
            shown(shared),
        )
