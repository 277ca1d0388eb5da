"""Image folders: one folder per class, under `train` and under `val` or `test`."""

from __future__ import annotations

from pathlib import Path

from netaug.config import DataConfig
from netaug.core.errors import DataError
from netaug.core.existing import listing
from netaug.data.readers.layout import nearby_root
from netaug.data.readers.scan import class_folders, scan_evaluation, scan_split
from netaug.data.registry import Source, dataset
from netaug.data.roots import archives_in, require_root, unpacking
from netaug.data.split_folders import EVALUATION, TRAINING, split_folder

# The ImageNet statistics every ImageNet recipe uses (torchvision's model documentation).
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_COLOR = 3
_EVALUATION = ("val", "test")


@dataset("folder")
def load_folder(config: DataConfig) -> Source:
    """Find the images of a folder dataset, in color, with ImageNet's mean and deviation."""
    return scan_folder(require_root(config), with_val=config.holdout == 0)


def scan_folder(root: Path, *, with_val: bool) -> Source:
    """Find the images under ``root``; nothing is decoded.

    Args:
        root: Holds ``train/CLASS/*`` and ``val/CLASS/*`` (or ``valid``, ``validation``), else ``test/CLASS/*``; without
            ``with_val`` the class folders may also lie in it directly.
        with_val: Whether an evaluation split is looked for.

    Returns:
        The splits as files. Classes and files are in the order of their names.

    Raises:
        DataError: A split or class is missing, empty, or in the evaluation split only.
    """
    folder = split_folder(root, TRAINING)
    val_folder = split_folder(root, EVALUATION if folder is not None else _EVALUATION)
    if not with_val and val_folder is None and folder is None:
        folder = root
    if folder is None or (with_val and val_folder is None):
        raise wrong_tree(root, with_val=with_val)
    # Labels count the training folders, also for evaluation: a class that is missing there shifts no other.
    class_names = class_folders(folder)
    train = scan_split(folder, class_names, class_names)
    val = None
    if with_val and val_folder is not None:
        val = scan_evaluation(val_folder, class_names)
    return Source(
        class_names=class_names,
        in_chans=_COLOR,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        train=train,
        val=val,
        val_split="test" if val_folder is not None and val_folder.name.lower().startswith("test") else "val",
    )


def wrong_tree(root: Path, *, with_val: bool) -> DataError:
    """Return the error for a root that lacks the folder of a split."""
    train_missing = split_folder(root, TRAINING) is None
    missing = "'train' folder" if train_missing else "'val' or 'test' folder"
    tree = ["ROOT/train/CLASS/*.jpg"]
    if with_val:
        tree.append("ROOT/val/CLASS/*.jpg (or ROOT/test/CLASS/*.jpg)")
    return DataError(
        f"no {missing} in data.root '{root}'.",
        got=f"in ROOT there is: {listing(root)}",
        allowed="\n           ".join(tree),
        fix=_fix(root, train_missing),
    )


def _fix(root: Path, train_missing: bool) -> str:
    better = (nearby_root(root, ["train", name]) for name in _EVALUATION)
    packed = archives_in(root)
    if train_missing and (folder := next(filter(None, better), None)):
        return f"--data.root {folder}"
    if packed:
        return f"unpack the archive: {unpacking(packed[0], root)}"
    if train_missing:
        return (
            "for ROOT/CLASS/*.jpg hold out images: --data.holdout 0.2; else move the class folders into a folder "
            "named train, or point --data.root at the folder above it"
        )
    return "rename the folder of evaluation images to val, or hold out training images: --data.holdout 0.1"
