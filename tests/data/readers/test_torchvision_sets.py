from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch

from netaug.config import DataConfig
from netaug.core.errors import DataError
from netaug.data import build_data
from netaug.data.batch import ClassificationBatch

CIFAR_CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def random_bytes(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)


def write_idx(path: Path, values: np.ndarray) -> None:
    """The MNIST file format: zero, zero, 8 (bytes), number of axes; the axes' lengths; the values."""
    header = struct.pack(">BBBB", 0, 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(header + values.tobytes())


@pytest.fixture
def fashion_root(tmp_path: Path) -> Path:
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for name, count in (("train", 20), ("t10k", 10)):
        write_idx(raw / f"{name}-images-idx3-ubyte", random_bytes(count, 28, 28))
        write_idx(raw / f"{name}-labels-idx1-ubyte", np.arange(count, dtype=np.uint8) % 10)
    return tmp_path


@pytest.fixture
def cifar_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The official layout with made-up pixels; the checksums are not asked for."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for number, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        labels = [(number + n) % 10 for n in range(4)]
        content = {"data": random_bytes(4, 3072), "labels": labels}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": CIFAR_CLASSES}))
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, md5: os.path.isfile(path))
    return tmp_path


def config(name: str, root: Path, **settings: object) -> DataConfig:
    return DataConfig(**{"name": name, "root": str(root), "batch_size": 5, "augment": "none", **settings})  # type: ignore[arg-type]


def joined(batches: list[ClassificationBatch]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.cat([b.images_NCHW for b in batches]), torch.cat([b.labels_N for b in batches])


def error_of(settings: DataConfig) -> DataError:
    with pytest.raises(DataError) as caught:
        build_data(settings, seed=0)
    return caught.value


def test_fashion_mnist_reads_the_official_files(fashion_root: Path):
    data = build_data(config("fashion_mnist", fashion_root), seed=0)
    info = data.info
    assert (info.in_chans, info.image_size, info.num_classes) == (1, 28, 10)
    assert (info.train_size, info.val_size, info.val_split) == (20, 10, "test")
    assert info.class_names[9] == "Ankle boot"
    images, labels = joined(list(data.val))
    assert np.array_equal(images[:, 0].numpy(), random_bytes(10, 28, 28))
    assert labels.tolist() == list(range(10))


def test_cifar10_reads_the_official_files(cifar_root: Path):
    data = build_data(config("cifar10", cifar_root), seed=0)
    info = data.info
    assert (info.in_chans, info.image_size, list(info.class_names)) == (3, 32, CIFAR_CLASSES)
    assert (info.train_size, info.val_size, info.val_split) == (20, 4, "test")
    images, labels = joined(list(data.val))
    assert np.array_equal(images.numpy().reshape(4, 3072), random_bytes(4, 3072))
    assert labels.tolist() == [5, 6, 7, 8]


def test_cifar10_reads_class_folders(make_folder):
    root = make_folder(
        {f"{split}/{name}": 1 for split in ("train", "test") for name in CIFAR_CLASSES}, (32, 32)
    )
    official_mean = (0.4914, 0.4822, 0.4465)
    info = build_data(config("cifar10", root), seed=0).info
    assert (info.name, info.train_size, info.val_size, info.val_split) == ("cifar10", 10, 10, "test")
    assert (info.mean, info.image_size, list(info.class_names)) == (official_mean, 32, CIFAR_CLASSES)


def test_images_are_resized_once(cifar_root: Path):
    data = build_data(config("cifar10", cifar_root, image_size=16), seed=0)
    assert data.info.image_size == 16
    assert next(data.train.epoch(0)).images_NCHW.shape == (5, 3, 16, 16)


@pytest.mark.parametrize("augment", ["small", "imagenet"])
def test_augmentations_work_in_memory(fashion_root: Path, augment: str):
    data = build_data(config("fashion_mnist", fashion_root, augment=augment), seed=0)
    batch = next(data.train.epoch(0))
    assert batch.images_NCHW.shape == (5, 1, 28, 28)
    originals = torch.from_numpy(random_bytes(20, 28, 28))[batch.indices_N, None]
    assert not torch.equal(batch.images_NCHW, originals)


@pytest.mark.parametrize(
    ("name", "looked_for"),
    [("cifar10", "cifar-10-batches-py"), ("fashion_mnist", "FashionMNIST/raw/train-images-idx3-ubyte")],
)
def test_missing_files_show_what_was_looked_for_and_found(tmp_path: Path, name: str, looked_for: str):
    (tmp_path / "something").mkdir()
    error = error_of(config(name, tmp_path))
    assert f"the files of {name} are not in data.root '{tmp_path}'" in error.where
    assert "something/" in str(error.got)
    assert looked_for in str(error.allowed)
    assert "--data.download true" in str(error.fix)


@pytest.mark.parametrize("name", ["cifar10", "fashion_mnist"])
def test_a_root_is_needed(name: str):
    assert "needs a folder" in error_of(DataConfig(name=name)).where


def test_a_root_inside_the_dataset_is_recognised(cifar_root: Path, fashion_root: Path):
    cifar, fashion = cifar_root / "cifar-10-batches-py", fashion_root / "FashionMNIST" / "raw"
    assert error_of(config("cifar10", cifar)).fix == f"--data.root {cifar_root}"
    assert error_of(config("fashion_mnist", fashion)).fix == f"--data.root {fashion_root}"


def test_partly_present_files_are_shown(fashion_root: Path):
    (fashion_root / "FashionMNIST/raw/t10k-images-idx3-ubyte").unlink()
    assert "t10k-labels-idx1-ubyte" in str(error_of(config("fashion_mnist", fashion_root)).got)


def test_a_cut_fashion_file_is_an_error(fashion_root: Path):
    path = fashion_root / "FashionMNIST/raw/train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:1000])
    error = error_of(config("fashion_mnist", fashion_root))
    assert "incomplete or damaged" in error.where


@pytest.fixture
def urls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked of the network, which is down."""
    asked: list[str] = []

    def no_network(url: str, *args: object, **kwargs: object) -> None:
        asked.append(url)
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", no_network)
    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", no_network)
    return asked


def test_cifar_files_with_a_wrong_checksum_are_neither_opened_nor_fetched(tmp_path: Path, urls: list[str]):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(pickle.dumps(pytest.fail))
    assert "incomplete or damaged" in error_of(config("cifar10", tmp_path)).where
    assert urls == []


@pytest.mark.parametrize("name", ["cifar10", "fashion_mnist"])
def test_download_happens_only_when_asked_and_its_failure_is_told(tmp_path: Path, urls: list[str], name: str):
    (tmp_path / "other.txt").write_text("")
    error_of(config(name, tmp_path))
    assert urls == []
    error = error_of(config(name, tmp_path / "new", download=True))
    assert urls
    assert "could not be downloaded" in error.where
    assert error.got
