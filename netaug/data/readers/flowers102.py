"""Oxford 102 Flowers in its official layout, read by torchvision's reader of its lists."""

from __future__ import annotations

from netaug.config import DataConfig
from netaug.data.lists import Listing, listed_source
from netaug.data.readers.layout import find_layout, reading
from netaug.data.registry import Published, Source, dataset

_FOLDER = "flowers-102"
_NEEDED = tuple(f"{_FOLDER}/{name}" for name in ("imagelabels.mat", "setid.mat", "jpg"))
_PUBLISHED = Published(
    num_classes=102,
    train=2040,
    val=6149,
    val_split="test",
    metric="mean_per_class",
    tree=(f"{_FOLDER}/jpg/image_00001.jpg ... image_08189.jpg", f"{_FOLDER}/imagelabels.mat, setid.mat"),
    obtain="https://www.robots.ox.ac.uk/~vgg/data/flowers/102 (102flowers.tgz and the two .mat files)",
    source="Nilsback, Zisserman 2008, and setid.mat: 10 training and 10 validation images a class, trained on "
    "together as is customary (arXiv:1805.08974, table 1: 2,040 and 6,149, mean per class)",
    train_per_class=(20, 20),
    downloads=True,
)


@dataset("flowers102", _PUBLISHED)
def load_flowers102(config: DataConfig) -> Source:
    """Load the flowers: published training and validation images to train on, test to evaluate.

    Labels and names are in the order of imagelabels.mat, counted from 0.
    """
    from torchvision.datasets import Flowers102

    root = find_layout(config, _PUBLISHED, _NEEDED)
    folder = root / _FOLDER
    with reading(config, folder, _PUBLISHED):
        train = Flowers102(root, "train", download=config.download)
        val, test = Flowers102(root, "val"), Flowers102(root, "test")

    def listing(*parts: Flowers102) -> Listing:
        names = [path.name for part in parts for path in part._image_files]
        return Listing(folder / "jpg", names, [label for part in parts for label in part._labels])

    return listed_source(config, Flowers102.classes, listing(train, val), listing(test))
