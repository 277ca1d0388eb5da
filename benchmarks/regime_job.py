"""Define the trainings of the search for a regime: their settings, and which images they train on and are scored on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.regime_data import Images, load_digits_split, load_split
from netaug.core.seeding import generator

HELD_OUT, HELD_OUT_OF_DIGITS = 5000, 360
VEHICLES = ("airplane", "automobile", "ship", "truck")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class Job:
    """Describe one training.

    Args:
        task: `cifar10-SIDE`, the side in pixels, or `digits-8`, of which 360 are held out.
        network: Arguments of :func:`benchmarks.regime_nets.build_network`.
        arm: `plain`, `netaug`, or one of :func:`benchmarks.regime_nets.layers_of_arm`.
        epochs: Passes over the training images.
        batch_size: Images per step.
        lr: Peak learning rate of SGD with Nesterov momentum 0.9 and a cosine to zero.
        seed: Keys weights, order, augmentation and widths.
        limit: Use only this many training images; 0 uses all.
        width: Width multipliers of the arm `netaug`.
        expand: Expand multipliers of the arm `netaug`.
        width_until: Progress up to which width groups are augmented.
        alpha: Weight of the augmented pass.
        in_place: Weight of the distillation loss from the wide network to the base network.
        init: `model` or `uniform`, of both arms alike.
        smoothing: Label smoothing.
        weight_decay: Of weights, not of biases and norms.
        test: Train on the held-out images too, and score the test split.
        optimizer: `sgd` or `adamw`.
        teacher: Settings of the plain job of a teacher, trained before and kept for all that name it; empty is none.
        distill: Weight of the distillation loss from the teacher, in every pass.
        temperature: Of that loss.
        cached: Compute the teacher's outputs once, for all crops of all images, and not in every step.
        tested: Score the test split too, which nothing may be chosen on.
        starts: Draws of the first weights that compete, as `starts.count` of a training does.
        until: Fraction of the training at which the last but one is left.
        coarse: Tell vehicles (class 1) from animals (class 0) in place of the ten classes of CIFAR-10.
    """

    task: str = "cifar10-8"
    network: dict[str, Any] = field(default_factory=dict)
    arm: str = "plain"
    epochs: int = 100
    batch_size: int = 256
    lr: float = 0.4
    seed: int = 0
    limit: int = 0
    width: tuple[float, ...] = (1.0, 1.8, 2.6)
    expand: tuple[float, ...] = (1.0, 1.6, 2.2, 2.8)
    width_until: float = 0.5
    alpha: float = 1.0
    in_place: float = 0.0
    init: str = "model"
    smoothing: float = 0.1
    weight_decay: float = 4e-5
    test: bool = False
    optimizer: str = "sgd"
    teacher: dict[str, Any] = field(default_factory=dict)
    distill: float = 0.0
    temperature: float = 1.0
    cached: bool = False
    tested: bool = False
    starts: int = 1
    until: float = 0.3
    coarse: bool = False

    @property
    def name(self) -> str:
        """Digest of the settings that are not the default, by which a finished or a stopped run is recognized."""
        usual = Job()
        settings = {
            key: value for key, value in asdict(self).items() if _plain(value) != _plain(getattr(usual, key))
        }
        return hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=6).hexdigest()


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def splits(job: Job, root: Path, cache: Path) -> tuple[Images, Images]:
    """Return training and evaluation images; the held-out ones are the same for every job of a task."""
    side, digits = int(job.task.rpartition("-")[2]), job.task.startswith("digits")

    def read(split: str) -> Images:
        images = load_digits_split(split) if digits else load_split(root, split, side, cache)
        if not job.coarse:
            return images
        return Images(
            images.pixels_NHWC, torch.tensor([name in VEHICLES for name in CIFAR10]).long()[images.labels_N]
        )

    images = read("train")
    order_N = torch.randperm(len(images.labels_N), generator=generator(0, "held out"))
    held = HELD_OUT_OF_DIGITS if digits else min(HELD_OUT, len(images.labels_N) // 5)
    train_N, held_N = order_N[0 if job.test else held :], order_N[:held]
    if job.limit:
        train_N = train_N[: job.limit]
    train = Images(images.pixels_NHWC[train_N], images.labels_N[train_N])
    if job.test:
        return train, read("test")
    return train, Images(images.pixels_NHWC[held_N], images.labels_N[held_N])
