"""The datasets by name, with what the help says of them; kept apart from their readers, which need torch."""

from __future__ import annotations

from typing import NamedTuple


class DatasetName(NamedTuple):
    """What is known of a dataset before anything is read.

    Args:
        summary: One line: what is in it, or where its files lie.
        task: Name of the kind of task: ``classify``, one class per image; ``detect``, boxes; or another.
        is_layout: Whether the name says how files lie, and not what is in them.
    """

    summary: str
    task: str = "classify"
    is_layout: bool = False


DATASETS: dict[str, DatasetName] = {
    "cars": DatasetName("16,185 photos of 196 models of cars (Stanford Cars); files in ROOT/stanford_cars"),
    "cifar10": DatasetName(
        "60,000 photos of 10 kinds of things, 32x32 color; official files or class folders in ROOT"
    ),
    "cifar100": DatasetName(
        "60,000 photos of 100 kinds of things, 32x32 color; official files or class folders in ROOT"
    ),
    "coco": DatasetName(
        "COCO: instances_train*.json and instances_val*.json anywhere in ROOT, and the images they name",
        "detect",
        is_layout=True,
    ),
    "cub200": DatasetName("11,788 photos of 200 species of birds (CUB-200-2011); ROOT/CUB_200_2011"),
    "digits": DatasetName("1,797 handwritten digits, 8x8 gray, 10 classes; built in (scikit-learn, UCI)"),
    "fashion_mnist": DatasetName(
        "70,000 pictures of 10 kinds of clothes, 28x28 gray; official files in ROOT/FashionMNIST/raw"
    ),
    "flowers102": DatasetName(
        "8,189 photos of 102 kinds of flowers (Oxford); official files in ROOT/flowers-102"
    ),
    "folder": DatasetName(
        "image folders: ROOT/train/CLASS/*.jpg and ROOT/val/CLASS (or ROOT/test); with data.holdout ROOT/CLASS/*.jpg",
        is_layout=True,
    ),
    "food101": DatasetName("101,000 photos of 101 dishes (Food-101); official files in ROOT/food-101"),
    "hf": DatasetName(
        "Hugging Face datasets: ROOT is a folder of save_to_disk or of Parquet files, or "
        "hub:OWNER/NAME[:CONFIGURATION]",
        is_layout=True,
    ),
    "imagenet": DatasetName(
        "1.28 M photos of 1,000 classes (ImageNet-1k, ILSVRC2012); ROOT/train and ROOT/val"
    ),
    "imagenet21k": DatasetName("11 M photos of 10,450 classes (ImageNet-21K-P, winter 2021)"),
    "packed": DatasetName(
        "a packed copy of a dataset, by netaug data pack; index.npy and images.bin in ROOT",
        is_layout=True,
    ),
    "pets": DatasetName("7,349 photos of 37 breeds of cats and dogs (Oxford-IIIT Pet)"),
    "table": DatasetName(
        "CSV, TSV or Parquet with columns path, label [, split]: ROOT is one such file, or holds train.csv and val.csv",
        is_layout=True,
    ),
    "voc": DatasetName(
        "Pascal VOC: JPEGImages, Annotations/*.xml, ImageSets/Main/*.txt, of one folder or several years; or images "
        "with XML files beside them, in train and valid",
        "detect",
        is_layout=True,
    ),
    "webdataset": DatasetName(
        "tar shards of NAME.jpg and NAME.cls (txt, json): ROOT holds train/*.tar and val/*.tar, or is an address",
        is_layout=True,
    ),
    "yolo": DatasetName(
        "YOLO's text labels: ROOT/data.yaml, or ROOT/images/train, labels/train, images/val, labels/val",
        "detect",
        is_layout=True,
    ),
}
"""Every dataset of ``data.name``; under each of these names a reader in ``netaug/data/readers`` is registered."""


_HEADINGS = {"classify": "With one label per image", "detect": "With boxes"}


def names_in_words() -> str:
    """Return the sentences that list all datasets in the help of ``data.name``."""
    tasks = dict.fromkeys([*_HEADINGS, *(dataset.task for dataset in DATASETS.values())])
    lists = " ".join(f"{_HEADINGS.get(task, f'For {task}')}: {_names_of(task)}." for task in tasks)
    return f"{lists} `netaug data --help` describes each."


def _names_of(task: str) -> str:
    return ", ".join(f"`{name}`" for name, dataset in DATASETS.items() if dataset.task == task)
