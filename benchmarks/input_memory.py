"""Measure whether the loader's processes grow over an epoch of a listing as long as ImageNet's.

`python -m benchmarks.input_memory`: 1.2 million paths and labels, two workers, one epoch, every image decoded (8 x 8
JPEGs, so that an epoch takes minutes; the paths, as long as ImageNet's, lead to a few hundred files). Printed is the
proportional set size of each worker (PSS: its own pages, and its part of shared ones) as the epoch proceeds.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from netaug.data.dataset import Steps
from netaug.data.loading import Loading, TrainLoader
from netaug.data.registry import Split
from netaug.data.store import FileImages
from netaug.data.transforms.augment import ImagenetAugment


def pss_kib(process: int) -> int:
    """Return the proportional set size of a process in KiB."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def listing(folder: Path, length: int, files: int) -> FileImages:
    """Return paths in ImageNet's form, ``length`` of them, to ``files`` small images."""
    (folder / "n01440764").mkdir()
    names = [f"n01440764/n01440764_{number:05d}.JPEG" for number in range(files)]
    for name in names:
        Image.new("RGB", (8, 8), (9, 99, 199)).save(folder / name, "jpeg")
    array = np.array([name.encode() for name in names])
    return FileImages(str(folder), np.resize(array, length), 3)


def main() -> None:
    """Run one epoch and print the sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--length", type=int, default=1_200_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=256)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        images = listing(Path(temporary), arguments.length, 300)
        split = Split(images, np.zeros(arguments.length, np.int64))
        steps = Steps(None, single=ImagenetAugment(0, 8, True))
        loading = Loading(workers=arguments.workers)
        loader = TrainLoader(split, steps, batch_size=arguments.batch, seed=0, loading=loading)
        start, shown = time.monotonic(), max(1, len(loader) // 10)
        for step, _ in enumerate(loader.epoch(0)):
            if step % shown == 0:
                children = multiprocessing.active_children()
                sizes = "  ".join(f"{pss_kib(child.pid) / 1024:7.1f}" for child in children if child.pid)
                print(
                    f"{step / len(loader):4.0%} {time.monotonic() - start:5.0f} s   PSS of the workers in MiB: {sizes}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
