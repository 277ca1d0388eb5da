"""`netaug eval`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from netaug.commands.arguments import new_parser, parse
from netaug.config import DataConfig, RunConfig
from netaug.errors import ConfigError, DataError
from netaug.recipes.loader import default_config
from netaug.recipes.settings import add_settings

if TYPE_CHECKING:
    from netaug.data import DataInfo
    from netaug.train.checkpoint import ModelCard

_EXAMPLE = """
netaug eval runs/demo-digits-netaug-seed0
netaug eval model.safetensors --data.name folder --data.root DIR"""

_SETTINGS = (
    *(f"data.{key}" for key in ("name", "root", "image_size", "eval_batch_size", "workers", "cache")),
    *(f"data.{key}" for key in ("download", "holdout", "on_error")),
    *(f"train.{key}" for key in ("label_smoothing", "device", "threads")),
)


def run(words: list[str]) -> None:
    """Print the top-1 of a trained network."""
    parser = new_parser(
        "eval",
        "RUN|WEIGHTS [--data.root DIR] [--data.key VALUE ...]",
        "Measures top-1 on the evaluation images: of the run's own data, or of the data given.",
        _EXAMPLE,
    )
    parser.add_argument("run", type=str, help="A run folder, or a weights file (then give --data.name).")
    add_settings(parser, _SETTINGS)
    arguments, given = parse(parser, words, _SETTINGS)

    from netaug.data import Normalizer, build_data
    from netaug.evaluate import evaluate
    from netaug.tasks import ClassificationTask
    from netaug.train.checkpoint import load_weights
    from netaug.train.device import choose_device, set_up
    from netaug.train.runlog import find_weights

    place = Path(arguments.run)
    weights = find_weights(place)
    config = _config(place, given)
    model, card = load_weights(weights)
    device = choose_device(config.train.device)
    set_up(device, config.train.threads)
    data = build_data(evaluation_data(config.data, card), seed=config.train.seed)
    check_classes(card, data.info)
    normalizer = Normalizer(card.mean, card.std, device, config.train.channels_last)
    task = ClassificationTask(config.train.label_smoothing)
    found = evaluate(model.to(device), data.val, normalizer, task)
    print(
        f"top-1 {found['top1']:.2f} %  loss {found['loss']:.4f}  "
        f"n {data.info.val_size:,}  split {data.info.val_split} of {data.info.name}"
    )


def _config(place: Path, given: list[str]) -> RunConfig:
    if place.is_dir():
        from netaug.train.runlog import read_config

        return read_config(place, tuple(given))
    if not any(word.startswith("--data.name=") for word in given):
        raise ConfigError(
            f"'{place}' is a weights file, which does not say what to evaluate on.",
            got="no --data.name",
            fix="add --data.name and --data.root, or give the run folder",
        )
    return default_config(given)


def evaluation_data(config: DataConfig, card: ModelCard) -> DataConfig:
    """The data settings that read evaluation images as the network was trained to see them.

    One training image is enough here; how images are cropped is the card's business.
    """
    cropped = card.crop_ratio < 1
    return replace(
        config,
        image_size=config.image_size or card.image_size,
        augment="imagenet" if cropped else "none",
        cache="none" if cropped else config.cache,
        batch_size=1,
        limit=1,
    )


def check_classes(card: ModelCard, info: DataInfo) -> None:
    """Refuse data whose classes or channels are not those the network was trained on.

    Raises:
        DataError: They differ; names the first differing class.
    """
    if card.in_chans != info.in_chans:
        raise DataError(
            "the images have other channels than the network.",
            got=f"{info.in_chans} in {info.name!r}",
            allowed=card.in_chans,
        )
    if card.class_names == info.class_names:
        return
    pairs = zip(info.class_names, card.class_names, strict=False)
    first = next((f"{ours!r}, the network says {theirs!r}" for ours, theirs in pairs if ours != theirs), "")
    raise DataError(
        "the classes of the data are not those the network was trained on.",
        got=f"{info.num_classes} classes in {info.name!r}"
        + (f", first that differs: {first}" if first else ""),
        allowed=f"the network's {card.num_classes} classes, in the same order",
        fix="give the data of the training with --data.name and --data.root",
    )
