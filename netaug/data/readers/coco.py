"""COCO: files of instances in JSON anywhere in a folder, and the images they name."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from netaug.config import DataConfig
from netaug.core.errors import DataError, NoEvaluationImagesError
from netaug.core.existing import listing
from netaug.data.detection.annotation_checks import FoundBoxes, checked
from netaug.data.detection.coco_files import lone_file
from netaug.data.detection.coco_ids import Key, id_array, shown
from netaug.data.detection.files import ImageIndex
from netaug.data.detection.orientation import Frames, Orientation, find_frames
from netaug.data.detection.problems import Problems
from netaug.data.detection.sources import BoxSource, BoxSplit
from netaug.data.readers.coco_json import Category, CocoFile, read_coco
from netaug.data.registry import dataset
from netaug.data.roots import require_root
from netaug.data.store import FileImages

_COLOR = 3
_TREE = "\n           ".join(
    (
        "ROOT/annotations/instances_train2017.json and instances_val2017.json, ROOT/train2017/*.jpg, val2017/*.jpg",
        "or instances_train.json and instances_val.json anywhere in ROOT with the images they name,",
        "or train/_annotations.coco.json and valid/_annotations.coco.json beside the images,",
        "or one file of any name, of whose images a part is held out",
    )
)


@dataset("coco", reads=("train_split", "val_split"))
def load_coco(config: DataConfig, problems: Problems) -> BoxSource:
    """Find the images of a dataset in COCO's format: `train` and `val`, else `test`."""
    root = require_root(config)
    jsons = _jsons(root)
    train_path = _find(root, jsons, config.train_split, ("train",), "train")
    path = None
    if config.holdout == 0:  # before anything is read: there may be none
        path = _find(root, jsons, config.val_split, ("val", "valid", "test"), "val", train_path)
        if path == train_path:
            raise DataError("data.train_split and data.val_split are one file.", got=path)
    index = ImageIndex(root)
    train_file = read_coco(train_path, problems)
    categories = train_file.categories
    train = _split(root, index, train_file, categories, config.box_orientation, problems)
    val, val_split = None, "val"
    if path is not None:
        val_file = read_coco(path, problems)
        _check_categories(train_file, val_file)
        val = _split(root, index, val_file, categories, config.box_orientation, problems)
        val_split = "test" if "test" in f"{path.parent.name}/{path.name}".lower() else "val"
    return BoxSource(tuple(category.name for category in categories.values()), train, val, val_split, "coco")


def _jsons(root: Path) -> list[Path]:
    paths = sorted(path for path in root.rglob("*.json") if not path.name.startswith("."))
    if not paths:
        raise DataError(
            f"there is no JSON file in data.root '{root}'.",
            got=f"in ROOT there is: {listing(root)}",
            allowed=_TREE,
        )
    return paths


def _find(
    root: Path,
    jsons: list[Path],
    named: str | None,
    splits: tuple[str, ...],
    setting: str,
    train: Path | None = None,
) -> Path:
    """Return the file of a split: the one named, or one called after it."""
    if named is not None:
        exact = [path for path in jsons if named in (path.name, path.stem, str(path.relative_to(root)))]
        if len(exact) == 1:
            return exact[0]
        splits = (named.lower(),)
    for split in splits:
        for fits in (
            [path for path in jsons if path.name.lower().startswith(f"instances_{split}")],
            [path for path in jsons if path.name == "_annotations.coco.json" and path.parent.name == split],
            [path for path in jsons if split in path.stem.lower()],
        ):
            if len(fits) > 1:
                shown = ", ".join(f"'{path.relative_to(root)}'" for path in fits[:8])
                raise DataError(
                    f"several files could be the annotations of '{split}'.",
                    got=shown,
                    fix=f"--data.{setting}_split {fits[-1].relative_to(root)}",
                )
            if fits:
                return fits[0]
    if setting == "train" and named is None and (lone := lone_file(jsons)) is not None:
        return lone  # such as Label Studio's result.json, or CVAT's instances_default.json
    alone = train is not None and named is None and not any(_is_other_split(path, train) for path in jsons)
    raise (NoEvaluationImagesError if alone else DataError)(
        f"no file of annotations in data.root '{root}' is called after {' or '.join(splits)}.",
        got=", ".join(f"'{path.relative_to(root)}'" for path in jsons[:8]),
        allowed=_TREE,
        fix=f"--data.{setting}_split FILE.json" + ", or --data.holdout 0.2" * (setting == "val"),
    )


def _is_other_split(path: Path, train: Path) -> bool:
    """Return whether a file holds annotations of other images than those that are trained on."""
    # COCO's own captions and keypoints of the training images lie beside the boxes, as may files of any other kind.
    if path == train or "train" in (path.stem.lower() if path.parent == train.parent else ""):
        return False
    return b'"annotations"' in path.read_bytes()


def _check_categories(train: CocoFile, val: CocoFile) -> None:
    """Refuse categories other than those that are trained: ids and names must be the same."""
    for key, category in val.categories.items():
        known = train.categories.get(key)
        if known is None or known.name != category.name:
            trained = "no category" if known is None else known.name
            raise DataError(
                f"'{val.path}' has a category that '{train.path}' lacks.",
                got=f"category {shown(category.id)}: '{category.name}'; to train on it is {trained!r}",
                allowed="the same ids for the same names in both files",
            )


def _split(
    root: Path,
    index: ImageIndex,
    file: CocoFile,
    categories: dict[Key, Category],
    orientation: Orientation,
    problems: Problems,
) -> BoxSplit:
    """Return the images of a file that can be used, with their objects."""
    paths, frames = _usable_images(root, index, file, orientation, problems)
    kept_N = np.array([row for row, path in enumerate(paths) if path is not None], np.int64)
    if not len(kept_N):
        raise DataError(
            f"none of the {len(paths)} images of '{file.path}' can be used.", got=problems.first()
        )
    position_N = np.full(len(paths), -1, np.int64)  # of each of the file's images among those that are kept
    position_N[kept_N] = np.arange(len(kept_N))
    kept_M = position_N[file.owners_M] >= 0  # objects of images that are left out go with them
    trained = list(categories)  # labels are positions among the training file's categories, for both splits
    labels = np.array([trained.index(key) for key in file.categories], np.int64)
    boxes = FoundBoxes(
        sizes_N2=frames.sizes_N2,
        ids_N=file.ids_N[kept_N],
        owners_M=position_N[file.owners_M[kept_M]],
        boxes_M4=file.boxes_M4[kept_M],
        labels_M=labels[file.categories_M[kept_M]],
        difficult_M=np.zeros(int(kept_M.sum()), np.bool_),
        crowd_M=file.crowd_M[kept_M],
        areas_M=file.areas_M[kept_M],
        category_ids_C=id_array([category.id for category in categories.values()]),
    )
    object_names = file.names_M[kept_M]
    file_names = [file.files[row] for row in kept_N.tolist()]

    def name(m: int) -> str:
        return f"object {object_names[m]} of '{file.path}' (image '{file_names[int(boxes.owners_M[m])]}')"

    images = FileImages(str(root), [path for path in paths if path is not None], _COLOR)
    return BoxSplit(images, frames.turned(checked(boxes, name, problems)))


def _usable_images(
    root: Path, index: ImageIndex, file: CocoFile, orientation: Orientation, problems: Problems
) -> tuple[list[str | None], Frames]:
    """Return where each image of a file is, None for those that are left out, and the pictures of the others."""
    paths = _find_images(root, index, file, problems)
    on_disk = np.flatnonzero([path is not None for path in paths])
    files = [paths[row] or "" for row in on_disk.tolist()]
    frames = find_frames(root, files, file.sizes_N2[on_disk], orientation, f"'{file.path.name}'")
    for position, error in frames.errors.items():
        problems.pass_on("undecodable", error)
        paths[int(on_disk[position])] = None
    sound = [position for position in range(len(on_disk)) if position not in frames.errors]
    return paths, frames.select(np.array(sound, np.int64))


def _find_images(root: Path, index: ImageIndex, file: CocoFile, problems: Problems) -> list[str | None]:
    """Return where each image of a file is, relative to the root; None for those that are left out."""
    folder = os.path.relpath(file.path.parent, root)
    hints = [file.path.stem.lower().removeprefix("instances_"), folder.lower(), "images"]
    paths: list[str | None] = []
    users: dict[str, str] = {}
    for wanted, number in zip(file.files, file.ids_N.tolist(), strict=True):
        candidates = index.find(wanted, hints, folder)
        owner = f"image {shown(number)} of '{file.path}'"
        path = candidates[0] if len(candidates) == 1 else None
        if not candidates:
            text = f"the image '{wanted}' is not on disk, neither in '{root}' nor below it."
            problems.note("no_image", text, got=owner)
        elif path is None:
            text = f"several files could be the image '{wanted}', and nothing tells which is meant."
            allowed = "file_name with its folder, or images in a folder called after the annotation file"
            problems.note("ambiguous", text, got=f"{owner}: {', '.join(candidates[:4])}", allowed=allowed)
        elif path in users:
            text = f"two images of '{file.path}' are one file, '{path}'."
            problems.note("repeated", text, got=f"{users[path]} and {owner}")
            path = None
        else:
            users[path] = owner
        paths.append(path)
    return paths
