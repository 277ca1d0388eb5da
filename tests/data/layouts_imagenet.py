"""ImageNet in the layouts in which people have it."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import numpy as np
import torch
from scipy.io import savemat

from tests.data.layout_kit import Expected, picture, pictures

DEVKIT = "ILSVRC2012_devkit_t12"
WNIDS = {"n01440764": "tench", "n02012849": "crane (n02012849)", "n02123045": "tabby", "n07753592": "banana"}
_SYNSET_IDS = {
    "n02123045": 1,
    "n07753592": 2,
    "n01440764": 3,
    "n02012849": 4,
}  # the devkit's order is another


def imagenet(root: Path) -> Expected:
    """ImageNet-1k with class folders in both splits."""
    train = {f"train/{w}/{w}_{n}.JPEG": label for label, w in enumerate(WNIDS) for n in (10, 7)}
    val = {f"val/{w}/ILSVRC2012_val_{label + 1:08d}.JPEG": label for label, w in enumerate(WNIDS)}
    pictures(root, train, val)
    return Expected(dict(enumerate(WNIDS.values())), len(WNIDS), train, val)


def imagenet_flat(root: Path) -> Expected:
    """ImageNet-1k with the official flat validation images and the devkit beside them."""
    expected = imagenet_flat_images(root)
    data = root / DEVKIT / "data"
    data.mkdir(parents=True)
    fields = ["ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children", "wordnet_height"]
    rows = [(n, wnid, WNIDS[wnid], "", 0, [], 0) for wnid, n in _SYNSET_IDS.items()]
    rows.append((5, "n00001740", "entity", "", 4, [1, 2, 3, 4], 9))  # not a class: it has children
    synsets = np.empty((len(rows), 1), dtype=[(field, object) for field in fields])
    synsets[:, 0] = rows
    savemat(data / "meta.mat", {"synsets": synsets})
    wnids = list(WNIDS)
    truth = [_SYNSET_IDS[wnids[label]] for label in expected.val.values()]
    (data / "ILSVRC2012_validation_ground_truth.txt").write_text("".join(f"{n}\n" for n in truth))
    return expected


def imagenet_flat_images(root: Path) -> Expected:
    """The same without anything that says what is on the validation images."""
    train = {f"train/{w}/{w}_{n}.JPEG": label for label, w in enumerate(WNIDS) for n in (10, 7)}
    val = {f"val/ILSVRC2012_val_{n + 1:08d}.JPEG": label for n, label in enumerate([2, 0, 3, 1, 2])}
    pictures(root, train, val)
    return Expected(dict(enumerate(WNIDS.values())), len(WNIDS), train, val)


def imagenet_kaggle(root: Path) -> Expected:
    """ImageNet-1k as Kaggle hands it out."""
    inner = root / "ILSVRC" / "Data" / "CLS-LOC"
    expected = imagenet_flat_images(inner)
    rows = ["ImageId,PredictionString"]
    wnids = list(WNIDS)
    for name, label in reversed(expected.val.items()):
        rows.append(f"{Path(name).stem},{wnids[label]} 1 2 30 40 {wnids[label]} 5 6 70 80 ")
    (root / "LOC_val_solution.csv").write_text("\n".join(rows) + "\n")
    train, val = (
        {f"ILSVRC/Data/CLS-LOC/{name}": label for name, label in split.items()}
        for split in (expected.train, expected.val)
    )
    return Expected(expected.classes, expected.num_classes, train, val)


def imagenet21k(root: Path) -> Expected:
    """ImageNet-21K-P (winter 2021)."""
    names = {"n00006484": "cell (n00006484)", "n01440764": "tench", "n07753592": "banana (n07753592)"}
    train = {f"imagenet21k_train/{w}/{w}_{n}.JPEG": i for i, w in enumerate(names) for n in (1, 2)}
    val = {f"imagenet21k_val/{w}/{w}_9.JPEG": i for i, w in enumerate(names)}
    pictures(root, train, val)
    picture(root / "imagenet21k_small_classes" / "n00004475" / "n00004475_1.JPEG")
    return Expected(dict(enumerate(names.values())), len(names), train, val)


def imagenet_archive(root: Path) -> Expected:
    """The flat validation images with the devkit as it is downloaded."""
    expected = imagenet_flat(root)
    folder = root / DEVKIT
    with tarfile.open(root / f"{DEVKIT}.tar.gz", "w:gz") as archive:
        archive.add(folder, DEVKIT)
    shutil.rmtree(folder)
    return expected


def imagenet_metabin(root: Path) -> Expected:
    """The flat validation images with what torchvision makes of the devkit: names by id, and the ids in order."""
    expected = imagenet_flat_images(root)
    wnids = list(WNIDS)
    names = {wnid: (name,) for wnid, name in WNIDS.items()}
    torch.save((names, [wnids[label] for label in expected.val.values()]), root / "meta.bin")
    return expected
