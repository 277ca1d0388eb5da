"""Where Pascal VOC's images and annotations are: in its own folders, or as tools for annotation write them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from netaug.core.regular_files import is_folder
from netaug.data.decode.image import SUFFIXES

LISTS = Path("ImageSets", "Main")
SPLITS = ("train", "val", "valid", "validation", "test")
"""Folders of images and annotations that are called so are splits."""

_XML = ".xml"
_IMAGE_FOLDERS = ("JPEGImages", "images", "Images")
_ANNOTATION_FOLDERS = (
    *("Annotations", "annotations", "annotations/xmls", "Annotation", "annotation"),
    *("labels", "Labels", "xmls", "xml"),
)


class VocFolder:
    """A folder of images and the folder of their annotations, maybe the same one; each is listed once.

    Args:
        images: Holds the images.
        annotations: Holds one XML file for each.
        lists: Holds lists of images, one per split; there may be no such folder.
    """

    def __init__(self, images: Path, annotations: Path, lists: Path | None = None) -> None:
        self.images, self.annotations, self.lists = images, annotations, lists

    @cached_property
    def image_files(self) -> dict[str, list[str]]:
        """Return the names of the image files by id, which is the name without ending."""
        files: dict[str, list[str]] = defaultdict(list)
        for stem, name in _named(self.images, SUFFIXES):
            files[stem].append(name)
        return dict(files)

    @cached_property
    def annotation_files(self) -> dict[str, str]:
        """Return the paths of the annotations by id."""
        # An exact ending last, so that it wins over a file that differs in case alone.
        names = sorted(_named(self.annotations, (_XML,)), key=lambda stem_name: stem_name[1].endswith(_XML))
        return {stem: os.path.join(self.annotations, name) for stem, name in names}

    def annotation(self, image_id: str) -> str:
        """Return the path of an image's annotation, also if there is none."""
        return self.annotation_files.get(image_id) or os.path.join(self.annotations, f"{image_id}{_XML}")

    @cached_property
    def split_lists(self) -> dict[str, Path]:
        """Return the lists of images by the name of their split."""
        return {} if self.lists is None else {path.stem: path for path in sorted(self.lists.glob("*.txt"))}

    @property
    def sign(self) -> str:
        """Return what the folder is recognized by, in words."""
        if self.images == self.annotations:
            return "images and XML files side by side"
        above = os.path.commonpath((self.images, self.annotations))
        images, annotations = (path.relative_to(above).parts[0] for path in (self.images, self.annotations))
        return f"the folders {images} and {annotations}"


@dataclass(frozen=True)
class VocLayout:
    """The folders of a dataset.

    Args:
        folders: All of them.
        splits: The folders of each split, where the splits are folders and not lists of images.
    """

    folders: tuple[VocFolder, ...]
    splits: dict[str, VocFolder]

    @property
    def names(self) -> set[str]:
        """Return the names of the splits; all images are called ``train`` where nothing splits them."""
        lists = {name for folder in self.folders for name in folder.split_lists}
        return lists or set(self.splits) or {"train"}

    @property
    def whole_splits(self) -> list[str]:
        """Return the names of the splits without those of lists that are of one class, sorted."""
        # CLASS_train lists the images of one class; a list such as dev_set is a split.
        return sorted(name for name in self.names if name.rpartition("_")[2] not in self.names - {name})

    def parts(self, split: str) -> list[tuple[VocFolder, Path | None]]:
        """Return the folders that hold images of a split, each with its list; None is all of its images."""
        if self.splits:
            return [(self.splits[split], None)]
        listed = [
            (folder, folder.split_lists[split]) for folder in self.folders if split in folder.split_lists
        ]
        return [*listed] or [(folder, None) for folder in self.folders]

    @property
    def sign(self) -> str:
        """Return what the dataset is recognized by, in words."""
        return self.folders[0].sign + (f" in {', '.join(self.splits)}" if self.splits else "")


def find_layout(root: Path, *splits: str) -> VocLayout | None:
    """Return how a dataset lies in a folder; None if it does not have Pascal VOC's annotations.

    Args:
        root: The folder, or one of Pascal VOC's in it.
        splits: Names of folders of splits besides the usual ones.
    """
    tops = [root, root / "VOCdevkit", *([root.parent] if root.name in ("JPEGImages", "Annotations") else [])]
    for top in filter(Path.is_dir, tops):
        if (lone := _pair(top)) is not None:
            return VocLayout((lone,), {})
        inside = {path.name: folder for path in _visible(top) if (folder := _pair(path)) is not None}
        if not any(folder.split_lists for folder in inside.values()):
            by_split = _split_folders(top, [*SPLITS, *splits])
            if by_split:
                return VocLayout(tuple(by_split.values()), by_split)
        if inside:
            return VocLayout(tuple(inside.values()), {})
    mixed = _side_by_side(root)
    return None if mixed is None else VocLayout((mixed,), {})


def _pair(folder: Path) -> VocFolder | None:
    """Return the images and annotations that lie in two folders in a folder."""
    lists = folder / LISTS
    if (folder / "JPEGImages").is_dir() and (folder / "Annotations").is_dir():
        return VocFolder(folder / "JPEGImages", folder / "Annotations", lists)
    # By a few names instead of a listing: each of ten thousand class folders may be asked.
    images = _first(folder, _IMAGE_FOLDERS)
    annotations = None if images is None else _first(folder, _ANNOTATION_FOLDERS)
    return None if images is None or annotations is None else VocFolder(images, annotations, lists)


def _first(folder: Path, names: Sequence[str], *, below: str = "") -> Path | None:
    """Return the first folder of these names that holds, itself or in a folder in it, what belongs there."""
    for name in names:
        path = folder / name / below
        # Folders of the same names hold the annotations of other formats: COCO's JSON, YOLO's text files.
        if path.is_dir() and (names is _IMAGE_FOLDERS or any(_named(path, (_XML,)))):
            return path
    return None


def _split_folders(top: Path, names: Sequence[str]) -> dict[str, VocFolder]:
    """Return the splits that are folders, the named ones first; nothing if there are no such."""
    splits: dict[str, VocFolder] = {}
    for name in dict.fromkeys(names):
        spelled = next((word for word in (name, name.capitalize()) if (top / word).is_dir()), name)
        if (found := _split_folder(top, spelled)) is not None:
            splits[name] = found
    if "train" not in splits and len(splits) < 2:
        return {}
    read = {folder.images for folder in splits.values()}
    beside = [path.name for parent in {path.parent for path in read} | {top} for path in _visible(parent)]
    # Of another name; whether one is for evaluation, the reader has the user say.
    for name in sorted(set(beside)):
        found = _split_folder(top, name)
        if found is not None and found.images not in read:
            splits[name] = found
    return splits


def _split_folder(top: Path, name: str) -> VocFolder | None:
    """Return a split: both kinds of files in one folder, or two folders in it, or a folder in each of two."""
    if (top / name).is_dir():
        return _pair(top / name) or _side_by_side(top / name)
    images = _first(top, _IMAGE_FOLDERS, below=name)
    annotations = None if images is None else _first(top, _ANNOTATION_FOLDERS, below=name)
    return None if images is None or annotations is None else VocFolder(images, annotations)


def _side_by_side(folder: Path) -> VocFolder | None:
    """Return a folder that holds images and annotations of the same names."""
    by_kind: dict[bool, set[str]] = {True: set(), False: set()}
    for stem, name in _named(folder, (*SUFFIXES, _XML)):
        by_kind[name.lower().endswith(_XML)].add(stem)
    return None if by_kind[True].isdisjoint(by_kind[False]) else VocFolder(folder, folder)


def _named(folder: Path, endings: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the visible files with one of these endings in any case, sorted: without and with it."""
    names = sorted(os.listdir(folder)) if folder.is_dir() else []
    for name in names:
        stem, suffix = os.path.splitext(name)
        if suffix.lower() in endings and name[0] != ".":
            yield stem, name


def _visible(folder: Path) -> list[Path]:
    """Return the folders in a folder, sorted."""
    return sorted(Path(entry) for entry in os.scandir(folder) if entry.name[0] != "." and is_folder(entry))
