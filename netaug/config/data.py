"""The settings of `data.*`: which images are trained on and how they are fed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args, get_type_hints

from netaug.config.datasets import names_in_words
from netaug.core.errors import ConfigError

MOST_PIXELS = 4096
"""Largest side of a network's input."""

_LEAST = {
    "image_size": 1,
    "batch_size": 1,
    "norm_batch": 2,
    "eval_batch_size": 1,
    "limit": 1,
    "shots": 1,
    "workers": 0,
    "pad": 0,
    "distinct_epochs": 1,
}
_MOST = {"image_size": MOST_PIXELS, "pad": MOST_PIXELS, "workers": 1024}


@dataclass(frozen=True)
class DataConfig:
    """Which images are trained on and how they are fed.

    Args:
        name: A dataset by its name.
        root: Folder of the dataset on disk; a table may be one file, shards may be at an address, and `hf` takes
            `hub:OWNER/NAME` too; `digits` needs none.
        train_split: What is trained on, where the usual names do not find it: a split's name; a table in `root`;
            a pattern of shards such as `train-{0000..0127}.tar`.
        val_split: The same for evaluation.
        image_column: Column of images or of the paths of their files; in shards the ending of the images' names.
        label_column: Column of labels; in shards the ending of the labels' names, or a field of their JSON.
        class_names: Text file with the names of all classes, one per line, in label order; without it classes that the
            dataset does not name are numbered, or sorted by name.
        image_size: Height and width in pixels of the network's input; null keeps the images' own size.
        mean: Per-channel mean of pixels scaled to [0, 1] that images are normalized with; empty takes the dataset's.
        std: Per-channel standard deviation, same scale; empty takes the dataset's.
        augment: `imagenet` = random resized crop, flip, color jitter; `small` = pad, crop, flip; `none`;
            of detection data `detection` = the `detect` settings, or `none`.
        pad: Pixels of zero padding around the image before the random crop of `small`.
        flip: Whether training images are mirrored at random (off for digits and letters).
        scaled_decoding: Whether `imagenet` decodes a JPEG at 1/2, 1/4 or 1/8 where its crop still has as many pixels as
            are needed, which is faster; such crops (a fifth of those for 160 pixels) are softer than the evaluation's.
            false decodes all of them in full, as the paper's code does.
        distinct_epochs: How many epochs have augmentations of their own; later ones repeat them in turn, in other
            orders. Teacher outputs can then be read from a cache. null repeats none.
        augment_seed: Keys the augmentation, so that runs with other seeds can share such a cache; null is `train.seed`.
        batch_size: Images per training step.
        norm_batch: Most images whose statistics a batch norm takes at once in training, on every device: each step's
            batch is cut into microbatches of so many, whatever the number of processes. null takes all images of a
            process, or of one of its `train.accumulate` parts.
        eval_batch_size: Images per evaluation step.
        workers: Loader processes; 0 loads in the training process. The data does not depend on it.
        cache: `ram` holds the decoded images in memory, `none` decodes each time, `auto` chooses by size.
        download: Whether a torchvision dataset that is not on disk may be downloaded into `root`.
        classes: Keep only the images of these classes, which are then labeled in this order; empty keeps all.
        limit: Use only this many training images, chosen by `subset_seed`, the same for every run.
        shots: Use only this many training images of each class, chosen by `subset_seed`.
        subset_seed: Keys which images `limit` and `shots` keep; `train.seed` does not change them.
        holdout: Fraction in [0, 1) of the training images held out and used in place of the validation split; for
            tuning, so that settings are not chosen on the images they are judged by.
        tune_holdout: Fraction in [0, 1) of the training images that `holdout` leaves, evaluated on in place of those it
            holds out; comparisons choose rates on them where the evaluation images are held out themselves.
        box_orientation: Which picture boxes were drawn on where EXIF turns a photograph: `upright` as it is shown,
            `stored` as its pixels lie in the file; `auto` is `upright`, and refuses an annotation that has the size of
            the stored picture, which leaves it open.
        on_error: `raise` stops at an image that cannot be decoded and names it; `skip` leaves it out and counts.
    """

    name: str = field(default="digits", metadata={"help": names_in_words()})
    root: str | None = None
    train_split: str | None = None
    val_split: str | None = None
    image_column: str | None = None
    label_column: str | None = None
    class_names: str | None = None
    image_size: int | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    augment: Literal["imagenet", "small", "detection", "none"] = "small"
    pad: int = 1
    flip: bool = True
    scaled_decoding: bool = True
    distinct_epochs: int | None = None
    augment_seed: int | None = None
    batch_size: int = 128
    norm_batch: int | None = None
    eval_batch_size: int = 256
    workers: int = 0
    cache: Literal["auto", "ram", "none"] = "auto"
    download: bool = False
    classes: tuple[str, ...] = ()
    limit: int | None = None
    shots: int | None = None
    subset_seed: int = 0
    holdout: float = 0.0
    tune_holdout: float = 0.0
    box_orientation: Literal["auto", "upright", "stored"] = "auto"
    on_error: Literal["raise", "skip"] = "raise"

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            holds = value is None or value >= least
            self._require(name, holds, f"an integer of at least {least}")
        for name, most in _MOST.items():
            value = getattr(self, name)
            self._require(name, value is None or value <= most, f"at most {most}")
        for name in ("holdout", "tune_holdout"):
            holds = 0 <= getattr(self, name) < 1
            self._require(name, holds, "a fraction of the training images in [0, 1)", f"--data.{name} 0.1")
        if self.tune_holdout > 0 and self.holdout == 0:
            raise ConfigError(
                "data.tune_holdout has no effect without data.holdout, of whose remaining images it is a part.",
                got=f"data.tune_holdout {self.tune_holdout}",
                fix=f"--data.holdout {self.tune_holdout}",
            )
        if self.shots is not None and self.limit is not None:
            raise ConfigError(
                "data.shots and data.limit both choose training images.",
                got=f"data.shots {self.shots}, data.limit {self.limit}",
                fix="leave one of them out",
            )
        if not self.scaled_decoding and self.augment != "imagenet":
            raise ConfigError(
                f"data.scaled_decoding has no effect with data.augment {self.augment}.",
                got="data.scaled_decoding false",
                fix="leave it out: only `imagenet` decodes at a fraction of the size",
            )
        self._check_choices()

    def _check_choices(self) -> None:
        """Refuse values that no choice has: the command line checks them by type, a caller in Python does not."""
        hints = get_type_hints(type(self))
        for name in ("augment", "cache", "box_orientation", "on_error"):
            value, allowed = getattr(self, name), get_args(hints[name])
            if value not in allowed:
                raise ConfigError(f"data.{name} is unknown.", got=repr(value), allowed=", ".join(allowed))

    def _require(self, name: str, holds: bool, allowed: str, fix: str | None = None) -> None:
        if not holds:
            raise ConfigError(
                f"data.{name} is out of range.", got=getattr(self, name), allowed=allowed, fix=fix
            )
