"""Food-101 in its official layout, read by torchvision's reader of its lists."""

from __future__ import annotations

from netaug.config import DataConfig
from netaug.core.errors import DataError
from netaug.data.lists import Listing, listed_source
from netaug.data.readers.layout import find_layout, reading
from netaug.data.registry import Published, Source, dataset

_FOLDER = "food-101"
_NEEDED = tuple(f"{_FOLDER}/{name}" for name in ("meta/train.json", "meta/test.json", "images"))
_PUBLISHED = Published(
    num_classes=101,
    train=75_750,
    val=25_250,
    val_split="test",
    metric="top1",
    tree=(f"{_FOLDER}/meta/train.json, test.json", f"{_FOLDER}/images/CLASS/*.jpg"),
    obtain="https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101",
    source="Bossard, Guillaumin, Van Gool 2014, Food-101, section 3; metric: arXiv:1805.08974, table 1",
    train_per_class=(750, 750),
    val_per_class=(250, 250),
    downloads=True,
)


@dataset("food101", _PUBLISHED)
def load_food101(config: DataConfig) -> Source:
    """Load Food-101: train and test as published; classes in the order of their names, as in its classes.txt."""
    from torchvision.datasets import Food101

    root = find_layout(config, _PUBLISHED, _NEEDED)
    folder = root / _FOLDER
    with reading(config, folder, _PUBLISHED):
        train = Food101(root, "train", download=config.download)
        test = Food101(root, "test")
    if train.classes != test.classes:
        differing = sorted(set(train.classes) ^ set(test.classes))
        raise DataError(
            f"the lists of food101 in '{folder / 'meta'}' name different classes.",
            got=f"{len(train.classes)} in train.json, {len(test.classes)} in test.json; "
            f"in one only: {', '.join(differing[:3])}",
            allowed="the same classes in both",
            fix="unpack the dataset's archive again",
        )
    images = folder / "images"

    def listing(split: Food101) -> Listing:
        names = [path.relative_to(images).as_posix() for path in split._image_files]
        return Listing(images, names, split._labels)

    return listed_source(config, train.classes, listing(train), listing(test))
