"""Measure how fast one core makes batches of images with boxes: held in memory, and decoded each time.

    python -m benchmarks.boxes --data ROOT [--name voc] [--side 256] [--epochs 3]

Prints images per second of processor time (not of the clock, so other work on the machine hardly counts): medians over
epochs of training batches with everything that `data.augment detection` does, and of evaluation batches.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterable

import torch

from netaug.config import DataConfig, DetectConfig
from netaug.data import build_data
from netaug.data.batch import Batch


def rate(batches: Iterable[Batch]) -> float:
    """Return images per second of processor time."""
    start = time.process_time()
    images = sum(len(batch) for batch in batches)
    return images / (time.process_time() - start)


def measure(config: DataConfig, epochs: int) -> tuple[float, float, float]:
    """Return the seconds until loaders are built, and images per second in training and evaluation."""
    start = time.process_time()
    data = build_data(config, seed=0, detect=DetectConfig())
    seconds = time.process_time() - start
    trained = statistics.median(rate(data.train.epoch(epoch)) for epoch in range(epochs))
    judged = statistics.median(rate(data.val) for _ in range(epochs))
    return seconds, trained, judged


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--name", default="voc")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=3)
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for cache in ("ram", "none"):
        config = DataConfig(
            name=given.name,
            root=given.data,
            image_size=given.side,
            augment="detection",
            batch_size=given.batch,
            cache="ram" if cache == "ram" else "none",
        )
        seconds, trained, judged = measure(config, given.epochs)
        print(
            f"data.cache {cache:<5} loaders after {seconds:5.1f} s; training {trained:6,.0f} images/s, "
            f"evaluation {judged:6,.0f}"
        )


if __name__ == "__main__":
    main()
