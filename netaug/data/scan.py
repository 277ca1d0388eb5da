"""Class folders on disk into a split: one look at each folder, nothing is decoded."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from netaug.data.image import SUFFIXES
from netaug.data.registry import Split
from netaug.data.roots import archives_in, listing
from netaug.data.store import FileImages
from netaug.errors import DataError

_COLOUR = 3
_LITTER = frozenset({"thumbs.db", "desktop.ini"})
_log = logging.getLogger("netaug")


def listing_folders(folder: Path) -> list[str]:
    """Names of the visible folders in a folder, sorted."""
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != ".")


def class_folders(split: Path) -> tuple[str, ...]:
    """The class folders of a split, sorted; says which other files lie beside them.

    Raises:
        DataError: There are none.
    """
    names = listing_folders(split)
    packed = archives_in(split)
    if not names:
        fix = "sort the images into one folder per class"
        if packed:
            fix = f"unpack the archives into one folder per class, the first is '{packed[0]}'"
        raise DataError(
            f"'{split}' has no class folders.",
            got=f"inside: {listing(split)}",
            allowed=f"ROOT/{split.name}/CLASS/*.jpg, one folder per class",
            fix=fix,
        )
    if packed:
        _log.warning(
            "'%s' holds %s beside its class folders that were not unpacked, first: '%s'.",
            split,
            f"{len(packed)} archives" if len(packed) > 1 else "an archive",
            packed[0].name,
        )
    loose = [entry.name for entry in os.scandir(split) if not entry.is_dir() and _is_image(entry.name)]
    if loose:
        _log.warning(
            "'%s' holds %d images outside of class folders; they are left out, first: '%s'.",
            split,
            len(loose),
            min(loose),
        )
    return tuple(names)


def _check_classes(split: Path, present: Sequence[str], class_names: Sequence[str]) -> None:
    """Check the classes of an evaluation split against those that are trained; warns of those it lacks.

    Raises:
        DataError: It has classes that the training split lacks.
    """
    unknown = sorted(set(present) - set(class_names))
    if unknown:
        raise DataError(
            f"'{split}' has {_classes(unknown)} that 'train' lacks.",
            got=f"{len(class_names)} classes in train, {len(present)} in {split.name}",
            allowed=f"in {split.name}, only classes that are in train",
            fix=f"add the class to train, or remove '{split / unknown[0]}'",
        )
    absent = sorted(set(class_names) - set(present))
    if absent:
        _log.warning("'%s' lacks %s of 'train'; it is not evaluated.", split, _classes(absent))


def _classes(names: list[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:5]) + ", ..." * (len(names) > 5)
    return f"class {shown}" if len(names) == 1 else f"{len(names)} classes ({shown})"


def scan_evaluation(split: Path, class_names: Sequence[str]) -> Split:
    """The images of an evaluation split; it may lack classes of the training split, with a warning, not add any.

    Raises:
        DataError: It has no class folders, or one that the training split lacks, or one without images.
        OSError: A folder cannot be read.
    """
    present = class_folders(split)
    _check_classes(split, present, class_names)
    return scan_split(split, present, class_names)


def scan_split(split: Path, present: Sequence[str], class_names: Sequence[str]) -> Split:
    """The images of a split's class folders, at any depth.

    Args:
        split: Holds the class folders.
        present: The class folders to read.
        class_names: All classes in label order.

    Returns:
        The images as files, class by class in the order of ``present``, then by name. Other files are left out,
        with a warning.

    Raises:
        DataError: A class folder holds no images.
        OSError: A folder cannot be read.
    """
    # One array a class: a list of strings takes six times the memory, for ten million images over a gigabyte.
    files: list[npt.NDArray[np.bytes_]] = []
    others: list[str] = []
    for name in present:
        found, strange = _files(split, name)
        others += strange
        if not found:
            raise DataError(
                f"the class folder '{split / name}' holds no images.",
                got=f"inside: {listing(split / name)}",
                allowed=f"files ending in {', '.join(sorted(SUFFIXES))}",
                fix="add images, or remove the folder",
            )
        files.append(np.array([os.fsencode(path) for path in found], np.bytes_))
    if others:
        _log.warning(
            "'%s' holds %d files in class folders that do not end like images; they are left out, first: '%s'.",
            split,
            len(others),
            others[0],
        )
    number = {name: label for label, name in enumerate(class_names)}
    labels = np.array([number[name] for name in present], np.int64)
    labels_N = np.repeat(labels, [len(names) for names in files])
    return Split(FileImages(str(split), np.concatenate(files), _COLOUR), labels_N)


def _files(split: Path, class_name: str) -> tuple[list[str], list[str]]:
    """Image files at any depth below a class folder, and other files, relative to the split, sorted."""
    found, others = list[str](), list[str]()
    for folder, _, names in os.walk(split / class_name, followlinks=True, onerror=_raise):
        relative = os.path.relpath(folder, split)
        for name in names:
            if name[0] == "." or name.lower() in _LITTER:
                continue
            (found if _is_image(name) else others).append(os.path.join(relative, name))
    return sorted(found), sorted(others)


def _is_image(name: str) -> bool:
    return name[0] != "." and os.path.splitext(name)[1].lower() in SUFFIXES


def _raise(error: OSError) -> None:
    raise error
