"""ImageNet-1k as people have it: class folders, or the official flat validation images with the devkit's labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from netaug.config import DataConfig
from netaug.core.errors import DataError
from netaug.core.existing import listing
from netaug.data.readers import wordnet
from netaug.data.readers.folder import IMAGENET_MEAN, IMAGENET_STD
from netaug.data.readers.imagenet_labels import find_labels, places
from netaug.data.readers.layout import find_layout
from netaug.data.readers.scan import class_folders, listing_folders, scan_evaluation, scan_split
from netaug.data.registry import Published, Source, Split, dataset
from netaug.data.roots import archives_in, unpacking
from netaug.data.store import FileImages

_KAGGLE = "ILSVRC/Data/CLS-LOC"
_COLOR = 3
_PUBLISHED = Published(
    num_classes=1000,
    train=1_281_167,
    val=50_000,
    val_split="val",
    metric="top1",
    tree=(
        "train/n01440764/*.JPEG ... (1,000 folders)",
        "val/n01440764/*.JPEG ... (1,000 folders)",
        "or val/ILSVRC2012_val_00000001.JPEG ... (50,000 files) with one of",
        "  ILSVRC2012_devkit_t12/data/meta.mat, ILSVRC2012_validation_ground_truth.txt",
        "  ILSVRC2012_devkit_t12.tar.gz",
        "  meta.bin (of torchvision)",
        f"or {_KAGGLE}/train, {_KAGGLE}/val, LOC_val_solution.csv (Kaggle's)",
    ),
    obtain="https://image-net.org/download.php (ILSVRC2012), after registration",
    source="Russakovsky et al. 2015, arXiv:1409.0575, table 2: 732 to 1,300 training images a class",
    train_per_class=(732, 1300),
    val_per_class=(50, 50),
)


@dataset("imagenet", _PUBLISHED)
def load_imagenet(config: DataConfig) -> Source:
    """Load ImageNet-1k; labels count the sorted WordNet ids, as in torchvision and timm."""
    splits = ["train"] if config.holdout > 0 else ["train", "val"]
    root = find_layout(config, _PUBLISHED, splits, [f"{_KAGGLE}/{split}" for split in splits])
    base = root if (root / "train").is_dir() else root / _KAGGLE  # as find_layout has checked
    wnids = class_folders(base / "train")
    wordnet.warn_of_strangers(base / "train", wnids, wordnet.IMAGENET_1K, "ImageNet-1k")
    val = None
    if config.holdout == 0:
        val = _validation(base, root, wnids)
    return Source(
        class_names=wordnet.class_names(wnids, wordnet.IMAGENET_1K),
        in_chans=_COLOR,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        train=scan_split(base / "train", wnids, wnids),
        val=val,
        val_split="val",
    )


def _validation(base: Path, root: Path, wnids: tuple[str, ...]) -> Split:
    folder = base / "val"
    if listing_folders(folder):
        return scan_evaluation(folder, wnids)
    files = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in (".jpeg", ".jpg"))
    if not files:
        packed = [*archives_in(folder), *archives_in(root)]
        raise DataError(
            f"'{folder}' holds no images.",
            got=f"inside: {listing(folder)}",
            allowed="class folders, or ILSVRC2012_val_00000001.JPEG ...",
            fix=f"unpack the archive: {unpacking(packed[0], folder)}" if packed else None,
        )
    candidates = places(root, base)
    labels = find_labels(candidates)
    if labels is None:
        raise DataError(
            f"the validation images in '{folder}' are not in class folders, and nothing says what is on them.",
            got=f"{len(files)} files, first: {files[0]}; beside them: {listing(root)}",
            allowed="the devkit's labels: " + ", ".join(f"'{place}'" for place in candidates),
            fix="put ILSVRC2012_devkit_t12.tar.gz of image-net.org into data.root",
        )
    return _flat(folder, files, wnids, *labels)


def _flat(
    folder: Path, files: list[str], wnids: tuple[str, ...], labels: Mapping[str, str], origin: Path
) -> Split:
    number = {wnid: label for label, wnid in enumerate(wnids)}
    labels_by_file = [labels.get(Path(name).stem) for name in files]
    for name, wnid in zip(files, labels_by_file, strict=True):
        if wnid is None:
            raise DataError(
                f"'{origin}' has no label for '{folder / name}'.",
                got=f"labels of {len(labels)} images",
                allowed="ILSVRC2012_val_00000001.JPEG ... as published",
                fix="give the files their published names again",
            )
        if wnid not in number:
            raise DataError(
                f"'{folder / name}' is of class '{wnid}', which 'train' lacks.",
                got=f"{len(wnids)} class folders in train",
                allowed="validation images of the classes in train only",
                fix="unpack all training images, or move validation images into class folders",
            )
    labels_N = np.array([number[wnid] for wnid in labels_by_file if wnid is not None], np.int64)
    return Split(FileImages(str(folder), files, _COLOR), labels_N)
