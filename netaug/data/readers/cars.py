"""Stanford Cars in torchvision's layout of its official files; its own download does not exist any more."""

from __future__ import annotations

from pathlib import Path

from netaug.config import DataConfig
from netaug.data.lists import Listing, listed_source
from netaug.data.readers.layout import find_layout, reading
from netaug.data.registry import Published, Source, dataset

_FOLDER = "stanford_cars"
_TEST_LABELS = "cars_test_annos_withlabels.mat"
_NEEDED = tuple(
    f"{_FOLDER}/{name}"
    for name in (
        "devkit/cars_meta.mat",
        "devkit/cars_train_annos.mat",
        _TEST_LABELS,
        "cars_train",
        "cars_test",
    )
)
_PUBLISHED = Published(
    num_classes=196,
    train=8144,
    val=8041,
    val_split="test",
    metric="top1",
    tree=(
        f"{_FOLDER}/cars_train/00001.jpg ... 08144.jpg",
        f"{_FOLDER}/cars_test/00001.jpg ... 08041.jpg",
        f"{_FOLDER}/devkit/cars_meta.mat, cars_train_annos.mat",
        f"{_FOLDER}/{_TEST_LABELS}",
    ),
    obtain="the authors' download is gone. Copies are on Kaggle (jessicali9530/stanford-cars-dataset); the devkit "
    "and the labels of the test images are linked in https://github.com/pytorch/vision/issues/7545",
    source="Krause, Stark, Deng, Fei-Fei 2013, 3D Object Representations; metric: arXiv:1805.08974, table 1",
)


@dataset("cars", _PUBLISHED)
def load_cars(config: DataConfig) -> Source:
    """Load the cars: train and test as published, labels and names in the order of cars_meta.mat."""
    from torchvision.datasets import StanfordCars

    root = find_layout(config, _PUBLISHED, _NEEDED)
    folder = root / _FOLDER
    with reading(config, folder, _PUBLISHED):
        train, test = StanfordCars(root, "train"), StanfordCars(root, "test")

    def listing(images: str, split: StanfordCars) -> Listing:
        names, labels = zip(*split._samples, strict=True)
        return Listing(folder / images, [Path(path).name for path in names], [int(label) for label in labels])

    class_names = [str(name) for name in train.classes]
    return listed_source(config, class_names, listing("cars_train", train), listing("cars_test", test))
