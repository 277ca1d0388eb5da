"""Caltech-UCSD Birds 200-2011 from its official lists, which torchvision has no reader for."""

from __future__ import annotations

from pathlib import Path

from netaug.config import DataConfig
from netaug.core.errors import DataError
from netaug.core.text_files import read_lines
from netaug.data.lists import Listing, listed_source
from netaug.data.readers.layout import find_layout, reading
from netaug.data.registry import Published, Source, dataset

_FOLDER = "CUB_200_2011"
_LISTS = ("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt")
_NEEDED = tuple(f"{_FOLDER}/{name}" for name in (*_LISTS, "images"))
_PUBLISHED = Published(
    num_classes=200,
    train=5994,
    val=5794,
    val_split="test",
    metric="top1",
    tree=(f"{_FOLDER}/images/001.CLASS/*.jpg", *(f"{_FOLDER}/{name}" for name in _LISTS)),
    obtain="https://www.vision.caltech.edu/datasets/cub_200_2011 (CUB_200_2011.tgz)",
    source="Wah, Branson, Welinder, Perona, Belongie 2011, CNS-TR-2011-001, and its train_test_split.txt",
)


@dataset("cub200", _PUBLISHED)
def load_cub200(config: DataConfig) -> Source:
    """Load the birds: the published split, classes in the order of classes.txt, labels counted from 0."""
    folder = find_layout(config, _PUBLISHED, _NEEDED) / _FOLDER
    with reading(config, folder, _PUBLISHED):
        names, labels, in_train, classes = (_read_list(folder / name) for name in _LISTS)
        images = list(names)
        for other, values in zip(_LISTS[1:3], (labels, in_train), strict=True):
            if list(values) != images:
                raise DataError(
                    f"the lists of cub200 in '{folder}' do not belong together.",
                    got=f"{len(names)} images in images.txt, {len(values)} in {other}",
                    allowed="the same image numbers, in the same order",
                    fix="unpack CUB_200_2011.tgz again",
                )
        if list(classes) != list(range(1, len(classes) + 1)):
            raise DataError(f"'{folder / 'classes.txt'}' does not number its classes 1, 2, 3, ...")
        chosen = {flag: [n for n in images if int(in_train[n]) == flag] for flag in (1, 0)}

    def listing(numbers: list[int]) -> Listing:
        names_N, labels_N = [names[n] for n in numbers], [int(labels[n]) - 1 for n in numbers]
        return Listing(folder / "images", names_N, labels_N)

    class_names = [name.split(".", 1)[-1].replace("_", " ") for name in classes.values()]
    return listed_source(config, class_names, listing(chosen[1]), listing(chosen[0]))


def _read_list(path: Path) -> dict[int, str]:
    """Read the values of a file whose lines are a number and a value."""
    rows = (line.split(maxsplit=1) for line in read_lines(path) if line.strip())
    return {int(number): value.strip() for number, value in rows}
