"""The settings of one run: frozen dataclasses, checked in one place, printed and saved with the run.

A recipe is a YAML file with these keys; the command line overrides them as ``--group.key value``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from netaug.config.detect import DetectConfig
from netaug.config.distill import DistillConfig
from netaug.config.regularize import RegularizeConfig
from netaug.config.train import TrainConfig
from netaug.core.errors import ConfigError
from netaug.elastic.settings import AugmentConfig, StepSettings

__all__ = [
    "MOST_PIXELS",
    "DataConfig",
    "DetectConfig",
    "DistillConfig",
    "ModelConfig",
    "NetAugConfig",
    "RegularizeConfig",
    "RunConfig",
    "TrainConfig",
]


MOST_PIXELS = 4096
"""Largest side of a network's input."""


@dataclass(frozen=True)
class ModelConfig:
    """Which network is trained.

    Args:
        name: A name of `netaug models`, `timm:NAME`, or a factory `package.module:function`.
        num_classes: Number of logits; null counts the classes of the data.
        in_chans: Image channels; null takes those of the data (1 grey, 3 color).
        options: Further keyword arguments of the model's factory.
        dropout: Probability in [0, 1) of dropping a feature before the classifier while training, whatever the
            factory calls it; null keeps the factory's own, or that of `options`.
        init: `model` keeps the factory's own initialization; `uniform` is kaiming_uniform(a=sqrt 5), the paper's
            choice for NetAug; `he` is he-normal by fan-out, the paper's choice for its baseline.
        weights: What to start from, relative to the working directory: a run folder, or a file of weights,
            safetensors or a PyTorch checkpoint. It must fit the network exactly; a detector's backbone also starts
            from a classifier. null starts from `init`.
        new_head: Whether the classifier is not taken from `weights` but starts from `init`, for other classes.
    """

    name: str = "mobilenetv2-tiny"
    num_classes: int | None = None
    in_chans: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    dropout: float | None = None
    init: Literal["model", "uniform", "he"] = "model"
    weights: str | None = None
    new_head: bool = False

    def __post_init__(self) -> None:
        for name in ("num_classes", "in_chans"):
            if name in self.options:
                raise ConfigError(
                    f"model.options has {name}, which every factory is given by itself.",
                    got=f"{name}={self.options[name]!r}",
                    fix=f"leave it out: it follows the data; model.{name} checks it",
                )
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise ConfigError(
                "model.dropout is out of range.", got=self.dropout, allowed="null, or a number in [0, 1)"
            )
        if self.new_head and self.weights is None:
            raise ConfigError(
                "model.new_head has no effect without weights to start from.",
                got="model.new_head true, model.weights null",
                fix="add --model.weights FILE, or leave model.new_head out",
            )
        if self.options.get("pretrained") and (self.init != "model" or self.weights is not None):
            other = "model.weights" if self.weights is not None else f"model.init {self.init}"
            raise ConfigError(
                "the network's pretrained weights would be replaced before training starts.",
                got=f"pretrained in model.options, and {other}",
                fix="--model.init model keeps them" if self.weights is None else "leave one of them out",
            )


@dataclass(frozen=True)
class DataConfig:
    """Which images are trained on and how they are fed.

    Args:
        name: `digits` (built in), `folder`, `table`, `webdataset`, `hf`, `packed`, `cifar10` or `fashion_mnist`; with
            boxes `voc`, `coco` or `yolo`.
        root: Folder of the dataset on disk; a table may be one file, shards may be at an address, and `hf` takes
            `hub:OWNER/NAME` too; `digits` needs none.
        train_split: What is trained on, where the usual names do not find it: a split's name; a table in `root`;
            a pattern of shards such as `train-{0000..0127}.tar`.
        val_split: The same for evaluation.
        image_column: Column of images or of the paths of their files; in shards the ending of the images' names.
        label_column: Column of labels; in shards the ending of the labels' names, or a field of their JSON.
        class_names: Text file with the names of all classes, one a line, in label order; without it classes that the
            dataset does not name are numbered, or sorted by name.
        image_size: Height and width in pixels of the network's input; null keeps the images' own size.
        mean: Per-channel mean of pixels scaled to [0, 1] that images are normalized with; empty takes the dataset's.
        std: Per-channel standard deviation, same scale; empty takes the dataset's.
        augment: `imagenet` = random resized crop, flip, color jitter; `small` = pad, crop, flip; `none`;
            of detection data `detection` = the `detect` settings, or `none`.
        pad: Pixels of zero padding around the image before the random crop of `small`.
        flip: Whether training images are mirrored at random (off for digits and letters).
        distinct_epochs: How many epochs have augmentations of their own; later ones repeat them in turn, in other
            orders. Teacher outputs can then be read from a cache. null repeats none.
        augment_seed: Keys the augmentation, so that runs with other seeds can share such a cache; null is `train.seed`.
        batch_size: Images per training step.
        eval_batch_size: Images per evaluation step.
        workers: Loader processes; 0 loads in the training process. The data does not depend on it.
        cache: `ram` holds the decoded images in memory, `none` decodes each time, `auto` chooses by size.
        download: Whether a torchvision dataset that is not on disk may be downloaded into `root`.
        classes: Keep only the images of these classes, which are then labeled in this order; empty keeps all.
        limit: Use only this many training images, chosen by `subset_seed`, the same for every run.
        shots: Use only this many training images of each class, chosen by `subset_seed`.
        subset_seed: Keys which images `limit` and `shots` keep; `train.seed` does not change them.
        holdout: Share in [0, 1) of the training images held out and used in place of the validation split; for
            tuning, so that settings are not chosen on the images they are judged by.
        box_orientation: Which picture boxes were drawn on where EXIF turns a photograph: `upright` as it is shown,
            `stored` as its pixels lie in the file; `auto` is `upright`, and refuses an annotation that has the size of
            the stored picture, which leaves it open.
        on_error: `raise` stops at an image that cannot be decoded and names it; `skip` leaves it out and counts.
    """

    name: str = "digits"
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
    distinct_epochs: int | None = None
    augment_seed: int | None = None
    batch_size: int = 128
    eval_batch_size: int = 256
    workers: int = 0
    cache: Literal["auto", "ram", "none"] = "auto"
    download: bool = False
    classes: tuple[str, ...] = ()
    limit: int | None = None
    shots: int | None = None
    subset_seed: int = 0
    holdout: float = 0.0
    box_orientation: Literal["auto", "upright", "stored"] = "auto"
    on_error: Literal["raise", "skip"] = "raise"


@dataclass(frozen=True)
class NetAugConfig(StepSettings):
    """Network Augmentation during training; see `netaug.AugmentConfig` for the paper's terms.

    Args:
        enabled: false trains the plain network: the baseline.
        preset: Named settings, which those named beside it win over. `paper` is the paper's step. `fast` costs less
            than half of it: nothing is augmented in the first half, then the wider network also teaches
            (distill.in_place 1). No form was shown to beat a baseline trained for the same MACs
            (docs/results/pareto-cifar10).
        sort: Whether hidden channels are sorted by importance at epoch starts while start < progress < width_until.
    """

    groups: dict[str, tuple[float, ...]] = field(default_factory=dict)
    enabled: bool = True
    preset: Literal["paper", "fast"] = "paper"
    sort: bool = True

    def augment_config(self, seed: int) -> AugmentConfig:
        """Return the same settings for :func:`netaug.augment`."""
        shared = {item.name: getattr(self, item.name) for item in fields(StepSettings)}
        shared |= {"width": tuple(self.width), "expand": tuple(self.expand), "keep": tuple(self.keep)}
        return AugmentConfig(**shared, seed=seed)


@dataclass(frozen=True)
class RunConfig:
    """Everything that determines a run's result, except machine and versions."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    netaug: NetAugConfig = field(default_factory=NetAugConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    regularize: RegularizeConfig = field(default_factory=RegularizeConfig)
    detect: DetectConfig = field(default_factory=DetectConfig)

    def __post_init__(self) -> None:
        self._check_teaching()
        if self.train.accumulate > 1 and 2 * self.train.accumulate > self.data.batch_size:
            raise ConfigError(
                "train.accumulate leaves parts of less than two images.",
                got=f"{self.train.accumulate} parts of {self.data.batch_size} images (data.batch_size)",
                allowed=f"1 to {max(1, self.data.batch_size // 2)}",
            )

    def _check_teaching(self) -> None:
        self._check_base_learns()
        if self.distill.taught and self.distill.on == "augmented" and not self.netaug.enabled:
            raise ConfigError(
                "distill.on augmented teaches nothing without NetAug: there is no augmented pass.",
                got="netaug.enabled false",
                fix="--distill.on base",
            )
        if self.distill.cache is not None and self.regularize.mixes:
            raise ConfigError(
                "distill.cache holds what a teacher says of single images, not of mixed ones.",
                got=f"distill.cache, and {' and '.join(self.regularize.on)}",
                fix="leave distill.cache out: the teacher then runs; or leave mixup and cutmix out",
            )
        if self.model.dropout and self.regularize.dropout and not self.regularize.places:
            raise ConfigError(
                "model.dropout and regularize.dropout both drop what goes into the classifier.",
                got=f"{self.model.dropout:g} and {self.regularize.dropout:g}",
                fix="set one of them; or say with regularize.places where the other drops",
            )

    def _check_base_learns(self) -> None:
        """What teaches the base pass needs one that learns."""
        netaug = self.netaug
        if netaug.base_pass or not netaug.enabled:
            return
        always = (
            netaug.augment_every == 1
            and netaug.start == 0
            and max(netaug.width_until, netaug.expand_until) == 1
        )
        for name, useless in (
            ("distill.in_place", self.distill.in_place > 0),
            ("distill.on base", always and self.distill.taught and self.distill.on == "base"),
        ):
            if useless:
                raise ConfigError(
                    f"{name} teaches the base pass, which netaug.base_pass false leaves out.",
                    got=f"{name}{f' {self.distill.in_place:g}' * (name == 'distill.in_place')}, netaug.base_pass false",
                    fix="leave one of them out",
                )
