"""ImageNet-21K-P: the part of ImageNet-21K that is used for pre-training, of its winter 2021 release."""

from __future__ import annotations

from pathlib import Path

from netaug.config import DataConfig
from netaug.core.errors import DataError
from netaug.data.readers import wordnet
from netaug.data.readers.folder import IMAGENET_MEAN, IMAGENET_STD
from netaug.data.readers.layout import find_layout
from netaug.data.readers.scan import class_folders, scan_evaluation, scan_split
from netaug.data.registry import Published, Source, dataset

_COLOR = 3
_PUBLISHED = Published(
    num_classes=10_450,
    train=11_060_223,
    val=522_500,
    val_split="val",
    metric="top1",
    tree=(
        "imagenet21k_train/n00005787/*.JPEG ... (10,450 folders)",
        "imagenet21k_val/n00005787/*.JPEG ... (10,450 folders)",
        "or train/CLASS/* and val/CLASS/*",
    ),
    obtain="https://image-net.org/download-images.php (processed winter21, ImageNet-21K-P), after registration",
    source="Ridnik et al. 2021, arXiv:2104.10972, and the processing instructions of its repository",
    val_per_class=(50, 50),
)
OTHER_RELEASES = {
    11_221: "ImageNet-21K-P of the fall 2011 release",
    19_167: "the whole winter 2021 release, not processed to ImageNet-21K-P",
    21_841: "the whole fall 2011 release, not processed to ImageNet-21K-P",
}
"""What other numbers of class folders mean."""


@dataset("imagenet21k", _PUBLISHED)
def load_imagenet21k(config: DataConfig) -> Source:
    """Load ImageNet-21K-P of winter 2021; labels count the sorted WordNet ids."""
    with_val = config.holdout == 0
    prefixes = ("imagenet21k_", "")
    layouts = [[f"{prefix}{split}" for split in ("train", "val")[: 1 + with_val]] for prefix in prefixes]
    root = find_layout(config, _PUBLISHED, *layouts)
    prefix = next(prefix for prefix in prefixes if (root / f"{prefix}train").is_dir())
    folder, val_folder = root / f"{prefix}train", root / f"{prefix}val"
    wnids = class_folders(folder)
    _check_release(folder, wnids)
    wordnet.warn_of_strangers(folder, wnids, wordnet.IMAGENET_21K_P, "ImageNet-21K-P (winter 2021)")
    val = scan_evaluation(val_folder, wnids) if with_val else None
    return Source(
        class_names=wordnet.class_names(wnids, wordnet.IMAGENET_21K_P),
        in_chans=_COLOR,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        train=scan_split(folder, wnids, wnids),
        val=val,
        val_split="val",
    )


def _check_release(folder: Path, wnids: tuple[str, ...]) -> None:
    if len(wnids) in OTHER_RELEASES:
        raise DataError(
            f"'{folder}' is another release of ImageNet-21K than the one called imagenet21k.",
            got=f"{len(wnids):,} classes: {OTHER_RELEASES[len(wnids)]}",
            allowed=f"ImageNet-21K-P of the winter 2021 release, {_PUBLISHED.num_classes:,} classes; networks trained "
            "on the two have different classifiers, and their results cannot be compared",
            fix="get processed winter21 from image-net.org; or train on what is there, in folders called train and "
            "val, with --data.name folder",
        )
