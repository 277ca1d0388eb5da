"""From a file of weights to one that netaug's commands take: the same tensors with a description."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

import netaug
from netaug.config import ModelConfig
from netaug.core.errors import CheckpointError, ConfigError
from netaug.core.seeding import generator, seeded
from netaug.core.text_files import read_text, split_lines
from netaug.data.readers.folder import IMAGENET_MEAN, IMAGENET_STD
from netaug.data.transforms.small import IMAGENET_CROP_RATIO
from netaug.models import create_model, default_image_size
from netaug.models.dropout import card_options, factory_options
from netaug.models.registry import is_detector
from netaug.models.trial import check_fits
from netaug.weights.files import WeightsFile, read_weights
from netaug.weights.head import ClassAxis, count_classes, head_tensors
from netaug.weights.loading import Loaded, put
from netaug.weights.matching import match
from netaug.weights.metadata import ModelCard, save_weights

_IMAGENET_CLASSES = 1000
_COLOR_CHANNELS = 3


@dataclass(frozen=True)
class Feed:
    """Sets how images are prepared and what the outputs are called; None takes what is usual for the network.

    Args:
        image_size: Height = width of the input in pixels.
        mean: Per-channel mean of pixels in [0, 1].
        std: Per-channel standard deviation, same scale.
        class_names: In label order.
    """

    image_size: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    class_names: tuple[str, ...] | None = None


def import_weights(
    path: Path, config: ModelConfig, feed: Feed, *, out: Path, part: str | None = None
) -> tuple[Loaded, ModelCard, str]:
    """Write the weights of a file with a card that describes them.

    Args:
        path: What to read.
        config: The network; ``num_classes`` None takes the file's.
        feed: What the card says beside it.
        out: The safetensors file to write.
        part: Key of the checkpoint that holds the tensors; None finds it.

    Returns:
        What was loaded, the card, and where the class names come from.

    Raises:
        CheckpointError: The file cannot be read or does not fit, or ``out`` cannot be written.
        ConfigError: The settings contradict each other or the file.
        ModelError: The network cannot be built, or does not run on such images.
    """
    _refuse_detector(config, path)
    _check_place(out)
    config = replace(config, weights=str(path))  # its checks are those of starting from weights
    file = read_weights(path, part)
    if file.card:
        raise CheckpointError(
            f"'{path}' needs no import: it is a weights file of netaug.",
            fix=f"`netaug predict {path} IMAGE`, or train with --model.weights {path}",
        )
    in_chans = config.in_chans or _COLOR_CHANNELS
    num_classes, head = _classes(file, config, in_chans)
    with seeded(0, "import"):  # building draws weights that are replaced below
        options = factory_options(config)
        model = create_model(config.name, num_classes=num_classes, in_chans=in_chans, **options)
    loaded = put(model, file, match(model, file, head=head, name=config.name), ())
    names, origin = _class_names(feed, num_classes)
    card = _card(config, feed, in_chans, names)
    _check_runs(model.eval(), card, path)
    save_weights(out, model, card)
    return loaded, card, origin


def _refuse_detector(config: ModelConfig, path: Path) -> None:
    if is_detector(config.name):
        raise ConfigError(
            "weights of a detector cannot be imported: they do not hold its anchors, without which no box is known.",
            got=config.name,
            fix=f"train from them: --model.weights {path}; it takes a detector's weights, and its backbone's",
        )


def read_class_names(path: Path) -> tuple[str, ...]:
    """Return the lines of a text file.

    Raises:
        ConfigError: It cannot be read, has an empty line between names, or a name twice.
    """
    try:
        names = split_lines(read_text(path, "file of class names").rstrip())
    except FileNotFoundError as error:
        raise ConfigError(
            f"the class names '{path}' cannot be read.",
            got=error,
            allowed="a UTF-8 text file, one name per line",
        ) from error
    names = [name.strip() for name in names]
    first: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if not name or name in first:
            raise ConfigError(
                f"line {number} of the class names '{path}' is " + ("empty." if not name else "there twice."),
                got=repr(name) if not name else f"{name!r}, also line {first[name]}",
                allowed="each name once, in label order",
            )
        first[name] = number
    return tuple(names)


def _check_place(out: Path) -> None:
    if out.exists() or not out.parent.is_dir():
        problem = "exists already" if out.exists() else "is in a folder that does not exist"
        raise CheckpointError(f"'{out}' {problem}.", allowed="a new file", fix="choose another with --out")


def _classes(file: WeightsFile, config: ModelConfig, in_chans: int) -> tuple[int, dict[str, ClassAxis]]:
    """Return the number of classes, the file's if it has a classifier, and the classifier's tensors."""
    # A network has to be built to know its classifier, and a number of classes to build it.
    guess = config.num_classes or _IMAGENET_CLASSES
    head = head_tensors(config.name, num_classes=guess, in_chans=in_chans, options=factory_options(config))
    with seeded(0, "import"):
        model = create_model(config.name, num_classes=guess, in_chans=in_chans, **factory_options(config))
    count = count_classes(model, head, file)
    if count is not None and config.num_classes not in (None, count):
        raise ConfigError(
            f"the classifier in '{file.path}' has another number of classes than asked for.",
            got=f"model.num_classes {config.num_classes}, the file has {count}",
            fix="leave model.num_classes out: it then follows the file",
        )
    return count or guess, head


def _class_names(feed: Feed, num_classes: int) -> tuple[tuple[str, ...], str]:
    if feed.class_names is not None:
        if len(feed.class_names) != num_classes:
            raise ConfigError(
                "the class names are not as many as the classes in the file.",
                got=f"{len(feed.class_names)} names",
                allowed=num_classes,
            )
        return feed.class_names, "named by --classes"
    if num_classes == _IMAGENET_CLASSES:
        from netaug.data.readers import wordnet

        names = wordnet.class_names(wordnet.official_ids(wordnet.IMAGENET_1K), wordnet.IMAGENET_1K)
        return names, "assumed to be ImageNet's; else give --classes"
    return tuple(map(str, range(num_classes))), "named by their numbers; --classes FILE names them"


def _card(config: ModelConfig, feed: Feed, in_chans: int, names: tuple[str, ...]) -> ModelCard:
    mean, std, crop_ratio = _usual(config.name, in_chans)
    card = ModelCard(
        name=config.name,
        options=card_options(config),
        num_classes=len(names),
        in_chans=in_chans,
        class_names=names,
        image_size=default_image_size(config.name) if feed.image_size is None else feed.image_size,
        mean=feed.mean or mean,
        std=feed.std or std,
        crop_ratio=crop_ratio,
        top1=None,
        val_split="val",
        netaug_version=netaug.__version__,
    )
    try:
        card.check()
    except ValueError as error:
        raise ConfigError(
            "the network's input cannot be described.",
            got=error,
            allowed=f"--mean and --std with {in_chans} numbers each, --std and --image-size above 0",
        ) from error
    return card


def _usual(name: str, in_chans: int) -> tuple[tuple[float, ...], tuple[float, ...], float]:
    """Return mean, deviation and crop of the images; None for images that are not RGB, which have no usual ones."""
    if in_chans != _COLOR_CHANNELS:
        return (), (), IMAGENET_CROP_RATIO
    if name.startswith("timm:"):
        import timm

        settings = timm.get_pretrained_cfg(name.removeprefix("timm:"))
        if settings is not None:
            return tuple(settings.mean), tuple(settings.std), float(settings.crop_pct)
    return IMAGENET_MEAN, IMAGENET_STD, IMAGENET_CROP_RATIO


@torch.no_grad()
def _check_runs(model: nn.Module, card: ModelCard, path: Path) -> None:
    shape = (2, card.in_chans, card.image_size, card.image_size)
    example = torch.randn(shape, generator=generator(0, "example"))
    check_fits(model, card.name, example, card.num_classes)
    if not torch.isfinite(model(example)).all():
        raise CheckpointError(
            f"the network with the weights of '{path}' answers with values that are not numbers.",
            got="NaN or infinite logits for images of noise",
            fix="check --model.options and --image-size; else the file is damaged",
        )
