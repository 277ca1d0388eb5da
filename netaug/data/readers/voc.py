"""Pascal VOC: images and an XML file for each, with lists of splits or as annotation tools write them."""

from __future__ import annotations

import logging
import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from netaug.config import DataConfig
from netaug.core.errors import DataError, NoEvaluationImagesError
from netaug.core.existing import listing
from netaug.core.parallel import in_threads
from netaug.core.text_files import read_lines
from netaug.data.detection.annotation_checks import FoundBoxes, checked
from netaug.data.detection.orientation import Frames, Orientation, find_frames
from netaug.data.detection.problems import Problems
from netaug.data.detection.sources import BoxSource, BoxSplit
from netaug.data.detection.voc_files import LISTS, SPLITS, VocFolder, VocLayout, find_layout
from netaug.data.readers.class_names import read_class_names
from netaug.data.readers.voc_xml import VocFile, read_voc
from netaug.data.registry import dataset
from netaug.data.roots import require_root
from netaug.data.store import FileImages

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable"),
    *("dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""Pascal VOC's own classes (Everingham et al. 2010, table 1), in its order."""

_COLOR = 3
_TREE = "\n           ".join(
    (
        "ROOT/VOC2007 and ROOT/VOC2012 (or ROOT/VOCdevkit/..., or one folder alone), each with",
        "JPEGImages/ID.jpg",
        "Annotations/ID.xml",
        "ImageSets/Main/trainval.txt and test.txt (or train.txt and val.txt)",
        "or, without lists: ROOT/train and ROOT/valid (or val, test), each with ID.jpg and ID.xml side by side,",
        "or with the folders images and annotations; or one such folder, ROOT, of which a part is held out",
    )
)
_log = logging.getLogger("netaug")


@dataclass(frozen=True)
class _Image:
    """One image of a list: its file relative to the root, and its annotation."""

    file: str
    xml: str
    read: VocFile


@dataclass(frozen=True)
class _Split:
    """The images of the lists of a split, and the pictures that their boxes are drawn on."""

    images: list[_Image]
    frames: Frames


@dataset("voc", reads=("train_split", "val_split", "class_names"))
def load_voc(config: DataConfig, problems: Problems) -> BoxSource:
    """Find images with Pascal VOC's annotations: trained on `trainval` and evaluated on `test`, else `train`, `val`."""
    root = require_root(config)
    layout = find_layout(root, *filter(None, (config.train_split, config.val_split)))
    if layout is None:
        raise DataError(
            f"data.root '{root}' does not have Pascal VOC's layout.",
            got=f"in ROOT there is: {listing(root)}",
            allowed=_TREE,
        )
    train_name, val_name = _splits(config, root, layout)
    orientation = config.box_orientation
    train = _read_split(root, layout, train_name, orientation, problems)
    val = _read_split(root, layout, val_name, orientation, problems) if config.holdout == 0 else None
    names = _class_names(config, layout, train.images, val.images if val else [])
    return BoxSource(
        class_names=names,
        train=_split(root, train, names, problems),
        val=_split(root, val, names, problems) if val else None,
        val_split="test" if val_name == "test" else "val",
        metric="voc",
    )


def _splits(config: DataConfig, root: Path, layout: VocLayout) -> tuple[str, str]:
    """Return what is trained on and evaluated on: lists, or folders."""
    has = layout.names
    # Pascal VOC is evaluated on its test images, since `trainval` has the others; exports keep theirs for later.
    usual = ("test", "val") if not layout.splits else SPLITS[1:]
    train = config.train_split or ("trainval" if {"test", "trainval"} <= has else "train")
    if config.train_split is None and train not in has and len(whole := layout.whole_splits) == 1:
        train = whole[0]  # such as the one list `default` that CVAT writes
    val = config.val_split or next((name for name in usual if name in has), "val")
    for setting, name in (("train", train), ("val", val)):
        if name not in has and not (setting == "val" and config.holdout > 0):
            raise _no_split(config, root, layout, setting, name, train)
    if train == val:
        raise DataError("data.train_split and data.val_split are one list.", got=train)
    return train, val


def _no_split(
    config: DataConfig, root: Path, layout: VocLayout, setting: str, name: str, train: str
) -> DataError:
    """Return the error for a split that is not there; images may be held out only if there is no other split."""
    splits = layout.whole_splits
    lists = [folder.lists for folder in layout.folders if folder.split_lists]
    alone = setting == "val" and config.val_split is None and splits == [train]
    others = f"in ImageSets/Main: {', '.join(splits)}" if lists else f"in '{root}': {', '.join(splits)}"
    return (NoEvaluationImagesError if alone else DataError)(
        f"there is no list '{LISTS / name}.txt' in '{lists[-1].parent.parent}'."
        if lists and lists[-1]
        else f"there is no split '{name}' in '{root}'.",
        got=others if lists or layout.splits else "one folder of images, and no lists of splits",
        allowed=_TREE,
        fix=f"--data.{setting}_split NAME, or --data.holdout 0.2" if setting == "val" else None,
    )


def _read_split(
    root: Path, layout: VocLayout, split: str, orientation: Orientation, problems: Problems
) -> _Split:
    images: list[_Image] = []
    for folder, path in layout.parts(split):
        ids = _annotated(folder) if path is None else _read_list(path, folder, problems)
        if path is not None and ids and split == "test" and folder.annotation_files.keys().isdisjoint(ids):
            _log.warning("'%s' is left out: its %d images have no annotations.", path, len(ids))
            continue
        images += _read_folder(root, folder, ids, problems)
    annotated_N2 = np.array([image.read.size or (0, 0) for image in images], np.int64).reshape(-1, 2)
    frames = find_frames(root, [image.file for image in images], annotated_N2, orientation, f"'{split}'")
    for error in frames.errors.values():
        problems.pass_on("undecodable", error)
    kept = [position for position in range(len(images)) if position not in frames.errors]
    if not kept:
        raise DataError(f"none of the images of '{split}' in '{root}' can be used.", got=problems.first())
    return _Split([images[position] for position in kept], frames.select(np.array(kept, np.int64)))


def _annotated(folder: VocFolder) -> list[str]:
    """Return the ids of a folder without lists; an image without a file is not known to have no objects."""
    ids = sorted(folder.annotation_files)
    others = sorted(folder.image_files.keys() - folder.annotation_files.keys())
    if others:
        _log.warning(
            "%d of the %d images in '%s' have no annotation file and are left out, the first: '%s'.",
            len(others),
            len(folder.image_files),
            folder.images,
            folder.image_files[others[0]][0],
        )
    return ids


def _read_list(path: Path, folder: VocFolder, problems: Problems) -> list[str]:
    """Return the ids of a list, each once, in order.

    A line is an id; the lists of single classes have a flag (-1, 0 or 1) behind it. An id may have spaces in it, so a
    whole line counts first if there is an image or an annotation of that name, then its first word.
    """

    def exists(image_id: str) -> bool:
        return image_id in folder.image_files or image_id in folder.annotation_files

    seen: dict[str, int] = {}
    for row, line in enumerate(read_lines(path, "list of images"), start=1):
        if not (fields := line.split()):
            continue
        whole = line.strip()
        unflagged = whole.removesuffix(fields[-1]).rstrip() if fields[-1] in ("-1", "0", "1") else whole
        options = (whole, unflagged or whole, fields[0])
        image_id = next((option for option in options if exists(option)), options[1])
        if image_id in seen:
            text = f"'{path}' lists '{image_id}' twice."
            problems.note("repeated", text, got=f"lines {seen[image_id]} and {row}")
        else:
            seen[image_id] = row
    return list(seen)


def _read_folder(root: Path, folder: VocFolder, ids: list[str], problems: Problems) -> list[_Image]:
    """Return the images of these ids, those left out that lack a file, or have several."""
    base, files = os.path.relpath(folder.images, root), folder.image_files
    xmls = [folder.annotation(image_id) for image_id in ids]

    def read(index: int) -> VocFile | DataError:
        try:
            return read_voc(xmls[index])
        except DataError as error:
            return error

    images: list[_Image] = []
    # Closed here when a problem is raised: left to the garbage collector, it would wait for its threads in whichever
    # thread collects, and that one may hold the lock which ending a thread needs.
    with closing(in_threads(read, len(ids), "reading annotations", 1)) as results:
        for image_id, xml, annotation in zip(ids, xmls, results, strict=True):
            if image_id not in files:
                missing = folder.images / f"{image_id}.jpg"
                problems.note("no_image", f"there is no image '{missing}'.", got=f"annotated in '{xml}'")
            elif len(files[image_id]) > 1:
                text = f"several images in '{folder.images}' are called '{image_id}'."
                problems.note(
                    "ambiguous", text, got=", ".join(files[image_id]), allowed="one image for each annotation"
                )
            elif isinstance(annotation, DataError):
                problems.pass_on("unreadable" if os.path.exists(xml) else "no_annotation", annotation)
            else:
                file = os.path.normpath(os.path.join(base, files[image_id][0]))
                images.append(_Image(file, xml, annotation))
    return images


def _class_names(
    config: DataConfig, layout: VocLayout, train: list[_Image], val: list[_Image]
) -> tuple[str, ...]:
    given = read_class_names(config.class_names)
    if given is not None:
        return given
    trained, evaluated = (
        {known.name for image in split for known in image.read.objects} for split in (train, val)
    )
    names = (trained | evaluated) - {""}
    # All twenty of Pascal VOC even if some are missing here: labels then agree between years and subsets.
    if names <= set(VOC_CLASSES) and any(
        folder.images.parent.name.startswith("VOC") for folder in layout.folders
    ):
        return VOC_CLASSES
    if not names:
        raise DataError("none of the annotations has an object.", got=f"{len(train)} images to train on")
    untrained = evaluated - trained - {""}
    if untrained:
        _log.warning("no training image has an object of class '%s'.", min(untrained))
    return tuple(sorted(names))


def _split(root: Path, split: _Split, names: tuple[str, ...], problems: Problems) -> BoxSplit:
    images, frames = split.images, split.frames
    number = {name: label for label, name in enumerate(names)}
    rows: list[tuple[float, ...]] = []
    origins: list[tuple[str, int]] = []
    for owner, image in enumerate(images):
        for count, known in enumerate(image.read.objects, start=1):
            where = f"object {count} of '{image.xml}'"
            if known.wrong is not None:
                problems.note("incomplete", f"{where} is incomplete.", got=known.wrong)
            elif known.name not in number:
                text = f"{where} is of a class that is not among the {len(names)} known ones."
                problems.note("unknown_class", text, got=repr(known.name), allowed=", ".join(names[:20]))
            else:
                rows.append((owner, number[known.name], known.difficult, *known.corners))
                origins.append((image.xml, count))
    table = np.array(rows, np.float64).reshape(-1, 7)
    boxes = FoundBoxes(
        sizes_N2=frames.sizes_N2,
        ids_N=np.arange(len(images)),
        owners_M=table[:, 0].astype(np.int64),
        boxes_M4=table[:, 3:],
        labels_M=table[:, 1].astype(np.int64),
        difficult_M=table[:, 2] > 0,
        crowd_M=np.zeros(len(table), np.bool_),
        areas_M=np.full(len(table), np.nan),
        category_ids_C=np.arange(len(names)),
        inclusive=True,
    )
    annotations = checked(boxes, lambda m: f"object {origins[m][1]} of '{origins[m][0]}'", problems)
    return BoxSplit(
        FileImages(str(root), [image.file for image in images], _COLOR), frames.turned(annotations)
    )
