"""Fashion-MNIST and CIFAR from their official files, downloaded only when asked, by torchvision."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from netaug.config import DataConfig
from netaug.data.readers.folder import scan_folder
from netaug.data.readers.layout import find_layout, reading
from netaug.data.registry import Published, Source, Split, dataset
from netaug.data.store import MemoryImages

# Over the pixels of the training split, the values in common use for these datasets.
CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_STD = (0.2470, 0.2435, 0.2616)
CIFAR100_MEAN = (0.5071, 0.4865, 0.4409)
CIFAR100_STD = (0.2673, 0.2564, 0.2762)
FASHION_MNIST_MEAN = (0.2860,)
FASHION_MNIST_STD = (0.3530,)

_CIFAR_SIDE = 32
_FASHION_MNIST_SIDE = 28
_CIFAR10_FOLDER = "cifar-10-batches-py"
_CIFAR100_FOLDER = "cifar-100-python"
_FASHION_MNIST_FOLDER = "FashionMNIST/raw"
_FASHION_MNIST_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

_CIFAR10 = Published(
    num_classes=10,
    train=50_000,
    val=10_000,
    val_split="test",
    metric="top1",
    tree=(
        "cifar-10-batches-py/data_batch_1 ... data_batch_5, test_batch, batches.meta",
        "or train/CLASS/* and test/CLASS/*",
    ),
    obtain="https://www.cs.toronto.edu/~kriz/cifar.html (the Python version)",
    source="Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images; the page above",
    image_size=_CIFAR_SIDE,
    train_per_class=(5000, 5000),
    val_per_class=(1000, 1000),
    downloads=True,
)
_CIFAR100 = Published(
    num_classes=100,
    train=50_000,
    val=10_000,
    val_split="test",
    metric="top1",
    tree=(f"{_CIFAR100_FOLDER}/train, test, meta", "or train/CLASS/* and test/CLASS/*"),
    obtain="https://www.cs.toronto.edu/~kriz/cifar.html (the Python version)",
    source="Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images; the page above",
    image_size=_CIFAR_SIDE,
    train_per_class=(500, 500),
    val_per_class=(100, 100),
    downloads=True,
)
_FASHION_MNIST = Published(
    num_classes=10,
    train=60_000,
    val=10_000,
    val_split="test",
    metric="top1",
    tree=tuple(f"{_FASHION_MNIST_FOLDER}/{name}" for name in _FASHION_MNIST_FILES),
    obtain="https://github.com/zalandoresearch/fashion-mnist",
    source="Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747",
    in_chans=1,
    image_size=_FASHION_MNIST_SIDE,
    train_per_class=(6000, 6000),
    val_per_class=(1000, 1000),
    downloads=True,
)


@dataset("cifar10", _CIFAR10)
def load_cifar10(config: DataConfig) -> Source:
    """Load CIFAR-10 from ``ROOT/cifar-10-batches-py``, else from class folders of images under ROOT."""
    from torchvision.datasets import CIFAR10

    source = _load_cifar(config, CIFAR10, _CIFAR10, _CIFAR10_FOLDER)
    return dataclasses.replace(source, mean=CIFAR10_MEAN, std=CIFAR10_STD)


@dataset("cifar100", _CIFAR100)
def load_cifar100(config: DataConfig) -> Source:
    """Load CIFAR-100 with its 100 fine labels from ``ROOT/cifar-100-python``, else from class folders."""
    from torchvision.datasets import CIFAR100

    source = _load_cifar(config, CIFAR100, _CIFAR100, _CIFAR100_FOLDER)
    return dataclasses.replace(source, mean=CIFAR100_MEAN, std=CIFAR100_STD)


def _load_cifar(config: DataConfig, factory: Any, published: Published, folder: str) -> Source:
    layouts = [[folder], ["train"]]
    if (
        config.root is not None and Path(config.root, "train").is_file()
    ):  # one of CIFAR-100's own, not class folders
        layouts.pop()
    root = find_layout(config, published, *layouts)
    if not (root / folder).is_dir() and (root / "train").is_dir():
        source = scan_folder(root, with_val=config.holdout == 0)
        return dataclasses.replace(source, image_size=_CIFAR_SIDE)
    train, val = _read(factory, config, root, published, root / folder)
    return Source(
        class_names=tuple(train.classes),
        in_chans=3,
        mean=CIFAR10_MEAN,
        std=CIFAR10_STD,
        train=_color_split(train),
        val=_color_split(val),
        val_split="test",
        image_size=_CIFAR_SIDE,
    )


@dataset("fashion_mnist", _FASHION_MNIST)
def load_fashion_mnist(config: DataConfig) -> Source:
    """Load Fashion-MNIST from ``ROOT/FashionMNIST/raw``."""
    from torchvision.datasets import FashionMNIST

    root = find_layout(config, _FASHION_MNIST, _FASHION_MNIST.tree)
    train, val = _read(FashionMNIST, config, root, _FASHION_MNIST, root / _FASHION_MNIST_FOLDER)
    return Source(
        class_names=tuple(train.classes),
        in_chans=1,
        mean=FASHION_MNIST_MEAN,
        std=FASHION_MNIST_STD,
        train=_gray_split(train),
        val=_gray_split(val),
        val_split="test",
        image_size=_FASHION_MNIST_SIDE,
    )


def _read(
    factory: Any, config: DataConfig, root: Path, published: Published, folder: Path
) -> tuple[Any, Any]:
    """Return both splits as torchvision reads them, which compares checksums before it opens a file."""
    with warnings.catch_warnings(), reading(config, folder, published):
        warnings.simplefilter("ignore")  # NumPy 2.4 warns about the dtypes inside CIFAR's own pickles
        return factory(root, train=True, download=config.download), factory(root, train=False)


def _color_split(split: Any) -> Split:
    pixels_NCHW = torch.from_numpy(split.data).permute(0, 3, 1, 2).contiguous()
    return Split(MemoryImages(pixels_NCHW), np.array(split.targets, np.int64))


def _gray_split(split: Any) -> Split:
    return Split(MemoryImages(split.data[:, None].contiguous()), split.targets.numpy().astype(np.int64))
