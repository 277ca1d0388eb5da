"""Class folders on disk into a split: one look at each folder, nothing is decoded."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from netaug.core.errors import DataError
from netaug.core.existing import listing
from netaug.core.file_tree import FileTree
from netaug.core.regular_files import is_folder
from netaug.data.decode.image import SUFFIXES
from netaug.data.registry import Split
from netaug.data.roots import archives_in
from netaug.data.store import FileImages

_COLOR = 3
_LITTER = frozenset({"thumbs.db", "desktop.ini"})
_log = logging.getLogger("netaug")


def listing_folders(folder: Path) -> list[str]:
    """Return the names of the visible folders in a folder, sorted."""
    return sorted(entry.name for entry in os.scandir(folder) if entry.name[0] != "." and is_folder(entry))


def class_folders(split: Path) -> tuple[str, ...]:
    """Return the class folders of a split, sorted; says which other files lie beside them.

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
    loose = [entry.name for entry in os.scandir(split) if _is_image(entry.name) and not is_folder(entry)]
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
            fix=_too_deep(split, unknown, class_names)
            or f"add the class to train, or remove '{split / unknown[0]}'",
        )
    absent = sorted(set(class_names) - set(present))
    if absent:
        _log.warning("'%s' lacks %s of 'train'; it is not evaluated.", split, _classes(absent))


def _too_deep(split: Path, unknown: Sequence[str], class_names: Sequence[str]) -> str | None:
    """Return how to repair one of two splits whose class folders are one folder too deep.

    The result is None if that is not the case.
    """
    for folder, wanted in (
        (split / unknown[0], class_names),
        (split.parent / "train" / class_names[0], unknown),
    ):
        if folder.is_dir() and set(wanted) & set(listing_folders(folder)):
            return f"move the class folders in '{folder}' up into '{folder.parent}'"
    return None


def _classes(names: list[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:5]) + ", ..." * (len(names) > 5)
    return f"class {shown}" if len(names) == 1 else f"{len(names)} classes ({shown})"


def scan_evaluation(split: Path, class_names: Sequence[str]) -> Split:
    """Return the images of an evaluation split; it may lack classes of the training split, with a warning, not add any.

    Raises:
        DataError: It has no class folders, or one that the training split lacks, or one without images.
        OSError: A folder cannot be read.
    """
    present = class_folders(split)
    _check_classes(split, present, class_names)
    return scan_split(split, present, class_names)


def scan_split(split: Path, present: Sequence[str], class_names: Sequence[str]) -> Split:
    """Return the images of a split's class folders, at any depth.

    Args:
        split: Holds the class folders.
        present: The class folders to read.
        class_names: All classes in label order.

    Returns:
        The images as files, class by class in the order of ``present``, then by name. Other files are left out with a
        warning, and so are links to folders that are read already.

    Raises:
        DataError: A class folder holds no images, or is a link to a folder that is read already.
        OSError: A folder cannot be read.
    """
    tree, others = FileTree(split), list[str]()
    # Arrays: a list of strings takes six times the memory, for ten million images over a gigabyte.
    parts: dict[str, list[npt.NDArray[np.bytes_]]] = {name: [] for name in present}
    for name, below in tree.walk(present):
        images, other_files = _told_apart(below)
        others += other_files
        if images:
            parts[name].append(np.array([os.fsencode(path) for path in images], np.bytes_))
    _check_links(split, tree, present)  # before empty folders are refused: a link may be why one is empty
    files = [_merged(split / name, parts[name]) for name in present]
    _warn_of_left_out(split, others, tree.special)
    number = {name: label for label, name in enumerate(class_names)}
    labels = np.array([number[name] for name in present], np.int64)
    labels_N = np.repeat(labels, [len(names) for names in files])
    return Split(FileImages(str(split), np.concatenate(files), _COLOR), labels_N)


def _warn_of_left_out(split: Path, others: Sequence[str], special: Sequence[str]) -> None:
    """Warn of what lies in class folders and is not an image file."""
    if others:
        _log.warning(
            "'%s' holds %d files in class folders that do not end like images; they are left out, first: '%s'.",
            split,
            len(others),
            min(others),
        )
    if special:
        _log.warning(
            "'%s' holds %d named pipes, sockets or devices in class folders; they are left out, first: '%s'.",
            split,
            len(special),
            min(special),
        )


def _told_apart(names: list[str]) -> tuple[list[str], list[str]]:
    """Return the image files, sorted, and other visible files."""
    images, others = list[str](), list[str]()
    for path in names:
        name = os.path.basename(path)
        if name[0] != "." and name.lower() not in _LITTER:
            (images if _is_image(name) else others).append(path)
    return sorted(images), others


def _merged(folder: Path, parts: list[npt.NDArray[np.bytes_]]) -> npt.NDArray[np.bytes_]:
    """Return the images of one class; raises :class:`DataError` if there are none."""
    if not parts:
        raise DataError(
            f"the class folder '{folder}' holds no images.",
            got=f"inside: {listing(folder)}",
            allowed=f"files ending in {', '.join(sorted(SUFFIXES))}",
            fix="add images, or remove the folder",
        )
    if len(parts) == 1:
        return parts[0]
    names = sorted(os.fsdecode(name) for part in parts for name in part.tolist())
    return np.array([os.fsencode(name) for name in names], np.bytes_)


def _check_links(split: Path, tree: FileTree, present: Sequence[str]) -> None:
    """Say which links were not followed, since they lead to folders that are read already.

    Raises:
        DataError: One of them is a class folder, whose images would then have two labels.
    """
    classes = sorted(set(tree.read_before) & set(present))
    if classes:
        link = split / classes[0]
        raise DataError(
            f"the class folder '{link}' is a link to a folder that is read already: its images would have two labels.",
            got=f"a link to '{os.path.realpath(link)}'",
            allowed="class folders that do not share folders with each other",
            fix="remove the link",
        )
    if tree.read_before:
        _log.warning(
            "'%s' holds %d links to folders that are read already; they are not followed, first: '%s'.",
            split,
            len(tree.read_before),
            min(tree.read_before),
        )


def _is_image(name: str) -> bool:
    return name[0] != "." and os.path.splitext(name)[1].lower() in SUFFIXES
