"""Oxford-IIIT Pets in its official layout, read by torchvision's reader of its lists."""

from __future__ import annotations

from netaug.config import DataConfig
from netaug.data.lists import Listing, listed_source
from netaug.data.readers.layout import find_layout, reading
from netaug.data.registry import Published, Source, dataset

_FOLDER = "oxford-iiit-pet"
_NEEDED = tuple(
    f"{_FOLDER}/{name}" for name in ("annotations/trainval.txt", "annotations/test.txt", "images")
)
_PUBLISHED = Published(
    num_classes=37,
    train=3680,
    val=3669,
    val_split="test",
    metric="mean_per_class",
    tree=(f"{_FOLDER}/images/BREED_1.jpg ...", f"{_FOLDER}/annotations/trainval.txt, test.txt"),
    obtain="https://www.robots.ox.ac.uk/~vgg/data/pets (images.tar.gz and annotations.tar.gz)",
    source="Parkhi, Vedaldi, Zisserman, Jawahar 2012, and its two lists; metric: arXiv:1805.08974, table 1",
    downloads=True,
)


@dataset("pets", _PUBLISHED)
def load_pets(config: DataConfig) -> Source:
    """Load the pets: trainval and test as published, labels as in the lists, counted from 0."""
    from torchvision.datasets import OxfordIIITPet

    root = find_layout(config, _PUBLISHED, _NEEDED)
    folder = root / _FOLDER
    with reading(config, folder, _PUBLISHED):
        train = OxfordIIITPet(root, "trainval", download=config.download)
        test = OxfordIIITPet(root, "test")

    def listing(split: OxfordIIITPet) -> Listing:
        return Listing(folder / "images", [path.name for path in split._images], split._labels)

    return listed_source(config, train.classes, listing(train), listing(test))
