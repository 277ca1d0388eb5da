"""Measure how many training images a core prepares per second: ours, the paper's pipeline, timm's, mere decoding.

`python -m benchmarks.input --data DIR`, a folder of class folders of JPEGs. Every way prepares the same files at the
same size with the same changes (random resized crop, mirror, brightness 32/255, saturation 0.5) in this one process on
one thread. The ways take turns in every round, so that a drift of the machine's speed meets all of them; quoted are
medians over rounds, and ratios of these medians. Seconds are CPU seconds of this process: other programs on the machine
matter little. The first round warms up and is left out.

The paper's pipeline and timm's end with normalized float images, decoding with pixels, ours with uint8 batches;
`ours, normalized` adds what the training process then does on a CPU. The packed ways read images scaled to 256 from the
memory-mapped file of `netaug data pack`, as uint8 pixels or as JPEGs; it is written to a temporary folder beforehand.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image
from timm.data import create_dataset, create_loader
from torchvision import transforms as v1

from netaug.config import DataConfig
from netaug.data.batch import Normalizer
from netaug.data.dataset import Steps
from netaug.data.decode.image import SUFFIXES, decode_file
from netaug.data.decode.jpeg import decoder
from netaug.data.loading import Loading, TrainLoader
from netaug.data.readers.folder import IMAGENET_MEAN, IMAGENET_STD
from netaug.data.readers.packed.payload import Packing
from netaug.data.readers.packed.writer import Origin, pack
from netaug.data.registry import Source, Split, load_source
from netaug.data.store import FileImages
from netaug.data.transforms.augment import ImagenetAugment

BATCH = 50
PAPERS, DECODING = "paper's", "decoding"
PACKED = 256
"""Pixels of the shorter side in the packed copies."""

Ways = dict[str, Callable[[int], Iterable[Any]]]


def image_names(folder: Path) -> list[str]:
    """Return every image file below a folder, relative to it, sorted."""
    paths = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return sorted(str(path.relative_to(folder)) for path in paths)


def our_batches(split: Split, size: int) -> Callable[[int], Iterable[Any]]:
    """Return the batches of one epoch of our training pipeline, in this process."""
    steps = Steps(None, single=ImagenetAugment(0, size, True))
    loader = TrainLoader(split, steps, batch_size=min(BATCH, len(split)), seed=0, loading=Loading())
    return loader.epoch


def ours_normalized(split: Split, size: int) -> Callable[[int], Iterable[Any]]:
    """Return the same, each batch also normalized as the training process does it."""
    batches = our_batches(split, size)
    normalizer = Normalizer(IMAGENET_MEAN, IMAGENET_STD, torch.device("cpu"), channels_last=True)
    return lambda epoch: (normalizer(batch.images_NCHW) for batch in batches(epoch))


def packed_copy(split: Split, out: Path, how: Packing) -> Split:
    """Return the same images read from a packed copy, as `netaug data pack` writes it."""
    source = Source(("one",), 3, IMAGENET_MEAN, IMAGENET_STD, split, None, "val")
    pack(Origin("folder", "top1", source), out, how, skip_errors=False, jobs=1, say=lambda text: None)
    return load_source(DataConfig(name="packed", root=str(out), holdout=0.1)).train


def papers_batches(files: list[str], size: int) -> Callable[[int], Iterable[Any]]:
    """Return batches by Pillow and torchvision's first transforms, as in the code of arXiv:2110.08890."""
    transform = v1.Compose(
        [
            v1.RandomResizedCrop(size),
            v1.RandomHorizontalFlip(),
            v1.ColorJitter(brightness=32 / 255, saturation=0.5),
            v1.ToTensor(),
            v1.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )

    def batches(epoch: int) -> Iterable[Any]:
        del epoch
        for start in range(0, len(files), BATCH):
            images = []
            for file in files[start : start + BATCH]:
                with open(file, "rb") as opened:
                    images.append(transform(Image.open(opened).convert("RGB")))
            yield torch.stack(images)

    return batches


def timms_batches(folder: Path, size: int) -> Callable[[int], Iterable[Any]]:
    """Return the loader of timm's training script, in this process."""
    loader = create_loader(
        create_dataset("", root=str(folder), split="train", is_training=True),
        input_size=(3, size, size),
        batch_size=BATCH,
        is_training=True,
        interpolation="bilinear",
        color_jitter=(32 / 255, 0.0, 0.5),
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        num_workers=0,
        persistent_workers=False,
        use_prefetcher=False,
        pin_memory=False,
    )
    return lambda epoch: loader


def decoded(files: list[str]) -> Callable[[int], Iterable[Any]]:
    """Return every file read and decoded in full, by our decoder, and nothing else."""
    return lambda epoch: (decode_file(file, 3) for file in files)


def rates(ways: Ways, count: int, rounds: int) -> dict[str, list[float]]:
    """Return images per CPU second of each way, one entry per round; the ways take turns."""
    rates_by_way: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, batches in ways.items():
            start = time.process_time()
            for _ in batches(number):
                pass
            if number:
                rates_by_way[name].append(count / (time.process_time() - start))
    return rates_by_way


def main() -> None:
    """Measure and print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of class folders of JPEGs")
    parser.add_argument("--size", type=int, default=176, help="pixels of the training images' sides")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    names = image_names(arguments.data)
    if not names:
        parser.error(f"there are no images below '{arguments.data}'")
    names = names[: len(names) // BATCH * BATCH] if len(names) > BATCH else names
    files = [os.path.join(arguments.data, name) for name in names]
    split = Split(FileImages(str(arguments.data), names, 3), np.zeros(len(names), np.int64))
    with tempfile.TemporaryDirectory() as temporary:
        packed = {
            f"ours, packed {how.encoding}": packed_copy(split, Path(temporary, how.encoding), how)
            for how in (Packing("pixels", PACKED), Packing("jpeg", PACKED, 90))
        }
        ways = all_ways(arguments.data, files, split, packed, arguments.size)
        report(rates(ways, len(files), arguments.rounds), files, arguments.size)


def all_ways(folder: Path, files: list[str], split: Split, packed: dict[str, Split], size: int) -> Ways:
    """Return every way of preparing the images, by name."""
    return {
        PAPERS: papers_batches(files, size),
        "timm's": timms_batches(folder, size),
        DECODING: decoded(files),
        "ours": our_batches(split, size),
        "ours, normalized": ours_normalized(split, size),
        **{name: our_batches(copy, size) for name, copy in packed.items()},
    }


def report(rates_by_way: dict[str, list[float]], files: list[str], size: int) -> None:
    """Print a line for each way."""
    print(f"torchvision {torchvision.__version__}, {decoder()}, {len(files)} files, {size} px")
    medians = {name: statistics.median(values) for name, values in rates_by_way.items()}
    for name, median in medians.items():
        low, high = min(rates_by_way[name]), max(rates_by_way[name])
        print(
            f"{name:20} {median:6.0f} images/s per core ({low:.0f}-{high:.0f})   "
            f"{median / medians[PAPERS]:5.2f} x the paper's   {median / medians[DECODING]:5.2f} x decoding"
        )


if __name__ == "__main__":
    main()
