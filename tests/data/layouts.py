"""Every dataset in its official layout on disk: a few generated images each, and real lists, labels and names.

``LAYOUTS[name]`` writes one below a folder and says what a reader must find there. Readers of torchvision compare
checksums, which generated files cannot have: call :func:`accept_checksums` before reading.
"""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from tests.data.layout_kit import Expected, pictures
from tests.data.layouts_imagenet import (
    imagenet,
    imagenet21k,
    imagenet_archive,
    imagenet_flat,
    imagenet_kaggle,
    imagenet_metabin,
)


def accept_checksums(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torchvision's readers take files that only have to exist."""

    def exists(path: str | Path, md5: str | None = None) -> bool:
        return Path(path).is_file()

    for module in ("cifar", "flowers102"):
        monkeypatch.setattr(f"torchvision.datasets.{module}.check_integrity", exists)


def food101(root: Path) -> Expected:
    """Food-101; its lists are not sorted by class."""
    meta = root / "food-101" / "meta"
    meta.mkdir(parents=True)
    classes = {"waffles": 2, "apple_pie": 0, "baklava": 1}
    splits: list[dict[str, int]] = []
    for split, numbers in (("train", (1005649, 1014775)), ("test", (1011328,))):
        lists = {name: [f"{name}/{number}" for number in numbers] for name in classes}
        (meta / f"{split}.json").write_text(json.dumps(lists))
        names = [name for listed in lists.values() for name in listed]
        splits.append({f"food-101/images/{name}.jpg": classes[name.split("/")[0]] for name in names})
    pictures(root, *splits)
    return Expected({0: "apple_pie", 1: "baklava", 2: "waffles"}, 3, splits[0], splits[1])


def flowers102(root: Path) -> Expected:
    """Oxford 102 Flowers: labels by number of the image, and three lists of numbers."""
    folder = root / "flowers-102"
    folder.mkdir(parents=True)
    labels = [77, 77, 1, 1, 102, 102, 77, 1, 102, 102]
    ids = {"trnid": [5, 1], "valid": [3, 6], "tstid": [2, 4, 7, 8, 9, 10]}
    savemat(folder / "imagelabels.mat", {"labels": np.array([labels], np.uint8)})
    savemat(folder / "setid.mat", {name: np.array([numbers], np.uint16) for name, numbers in ids.items()})

    def split(*names: str) -> dict[str, int]:
        numbers = [number for name in names for number in ids[name]]
        return {f"flowers-102/jpg/image_{n:05d}.jpg": labels[n - 1] - 1 for n in numbers}

    train, val = split("trnid", "valid"), split("tstid")
    pictures(root, train, val)
    names = {0: "pink primrose", 76: "passion flower", 101: "blackberry lily"}
    return Expected(names, 102, train, val)


def cars(root: Path) -> Expected:
    """Stanford Cars in torchvision's layout."""
    devkit = root / "stanford_cars" / "devkit"
    devkit.mkdir(parents=True)
    names = [f"Maker Model {number} 2012" for number in range(1, 197)]
    names[0], names[195] = "AM General Hummer SUV 2000", "smart fortwo Convertible 2012"
    savemat(devkit / "cars_meta.mat", {"class_names": np.array([names], dtype=object)})
    fields = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname"]

    def annotate(path: Path, folder: str, labels: list[int]) -> dict[str, int]:
        entries = np.empty((1, len(labels)), dtype=[(field, object) for field in fields])
        entries[0] = [(1, 2, 9, 9, label, f"{n:05d}.jpg") for n, label in enumerate(labels, 1)]
        savemat(path, {"annotations": entries})
        return {f"stanford_cars/{folder}/{n:05d}.jpg": label - 1 for n, label in enumerate(labels, 1)}

    train = annotate(devkit / "cars_train_annos.mat", "cars_train", [14, 3, 196, 1])
    val = annotate(root / "stanford_cars" / "cars_test_annos_withlabels.mat", "cars_test", [196, 14, 2])
    pictures(root, train, val)
    return Expected({0: names[0], 1: names[1], 195: names[195]}, 196, train, val)


def cub200(root: Path) -> Expected:
    """CUB-200-2011: four lists by number of the image or class."""
    folder = root / "CUB_200_2011"
    folder.mkdir(parents=True)
    classes = [f"{number:03d}.Some_Bird_{number}" for number in range(1, 201)]
    classes[0], classes[199] = "001.Black_footed_Albatross", "200.Common_Yellowthroat"
    rows = [(1, 1), (1, 0), (2, 1), (200, 0), (200, 1), (200, 1)]  # class, is for training
    names = [f"{classes[label - 1]}/Bird_{n:04d}_{n}.jpg" for n, (label, _) in enumerate(rows, 1)]
    lists = {
        "images.txt": names,
        "image_class_labels.txt": [label for label, _ in rows],
        "train_test_split.txt": [flag for _, flag in rows],
        "classes.txt": classes,
    }
    for name, values in lists.items():
        lines = [f"{number} {value}\n" for number, value in enumerate(values, 1)]
        (folder / name).write_text("".join(lines))
    train, val = (
        {
            f"CUB_200_2011/images/{name}": label - 1
            for name, (label, is_train) in zip(names, rows, strict=True)
            if is_train == flag
        }
        for flag in (1, 0)
    )
    pictures(root, train, val)
    return Expected({0: "Black footed Albatross", 199: "Common Yellowthroat"}, 200, train, val)


def pets(root: Path) -> Expected:
    """Oxford-IIIT Pets: lists whose names of cats begin with a capital letter."""
    folder = root / "oxford-iiit-pet" / "annotations"
    folder.mkdir(parents=True)
    header_free = {
        "trainval.txt": [
            "Abyssinian_100 1 1 1",
            "american_bulldog_10 2 2 1",
            "Bengal_7 3 1 2",
            "Bengal_8 3 1 2",
        ],
        "test.txt": ["american_bulldog_201 2 2 1", "Abyssinian_201 1 1 1"],
    }
    splits: list[dict[str, int]] = []
    for name, lines in header_free.items():
        (folder / name).write_text("\n".join(lines) + "\n")
        rows = [line.split() for line in lines]
        splits.append({f"oxford-iiit-pet/images/{row[0]}.jpg": int(row[1]) - 1 for row in rows})
    pictures(root, *splits)
    return Expected({0: "Abyssinian", 1: "American Bulldog", 2: "Bengal"}, 3, splits[0], splits[1])


CIFAR10_CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def cifar10(root: Path) -> Expected:
    """CIFAR-10's batches; all images of a file are in one array."""
    folder = root / "cifar-10-batches-py"
    batches = {f"data_batch_{n}": [(n + i) % 10 for i in range(4)] for n in range(1, 6)}
    batches["test_batch"] = [6, 7, 8, 9]
    _pickles(folder, batches, "labels", "batches.meta", {"label_names": CIFAR10_CLASSES})
    *train, val = batches.values()
    return Expected(
        dict(enumerate(CIFAR10_CLASSES)),
        10,
        _numbered([label for labels in train for label in labels]),
        _numbered(val),
    )


def cifar100(root: Path) -> Expected:
    """CIFAR-100's two files, with fine and coarse labels."""
    names = [f"thing {number}" for number in range(100)]
    names[0], names[99] = "apple", "worm"
    batches = {"train": [99, 0, 50, 7, 8, 9], "test": [0, 99, 1]}
    _pickles(root / "cifar-100-python", batches, "fine_labels", "meta", {"fine_label_names": names})
    return Expected({0: "apple", 99: "worm"}, 100, _numbered(batches["train"]), _numbered(batches["test"]))


def _pickles(
    folder: Path, batches: dict[str, list[int]], key: str, meta: str, names: dict[str, list[str]]
) -> None:
    folder.mkdir(parents=True)
    draws = np.random.default_rng(0)
    for name, labels in batches.items():
        pixels = draws.integers(0, 256, (len(labels), 3072), dtype=np.uint8)
        (folder / name).write_bytes(pickle.dumps({"data": pixels, key: labels}, protocol=2))
    (folder / meta).write_bytes(pickle.dumps(names, protocol=2))


def fashion_mnist(root: Path) -> Expected:
    """Fashion-MNIST's four files: zero, zero, 8 (bytes), number of axes; the axes' lengths; the values."""
    raw = root / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    draws, labels = np.random.default_rng(0), {"train": [*range(10), 9, 8], "t10k": [9, 0, 1]}
    for name, values in labels.items():
        pixels = draws.integers(0, 256, (len(values), 28, 28), dtype=np.uint8)
        for kind, array in (("images-idx3", pixels), ("labels-idx1", np.array(values, np.uint8))):
            header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            (raw / f"{name}-{kind}-ubyte").write_bytes(header + array.tobytes())
    return Expected(
        {0: "T-shirt/top", 9: "Ankle boot"}, 10, _numbered(labels["train"]), _numbered(labels["t10k"])
    )


def _numbered(labels: list[int]) -> dict[str, int]:
    return {str(number): label for number, label in enumerate(labels)}


LAYOUTS: dict[str, Callable[[Path], Expected]] = {
    "imagenet": imagenet,
    "imagenet21k": imagenet21k,
    "food101": food101,
    "flowers102": flowers102,
    "cars": cars,
    "cub200": cub200,
    "pets": pets,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "fashion_mnist": fashion_mnist,
}
"""Writes each dataset below a folder, by the dataset's name."""

VARIANTS: dict[str, Callable[[Path], Expected]] = {
    "imagenet_flat": imagenet_flat,
    "imagenet_archive": imagenet_archive,
    "imagenet_kaggle": imagenet_kaggle,
    "imagenet_metabin": imagenet_metabin,
}
"""Further layouts in which people have a dataset; the name begins with the dataset's."""
