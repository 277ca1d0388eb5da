"""`netaug eval`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from netaug.commands.arguments import new_parser, parse
from netaug.commands.widths import (
    ALLOWED,
    check_images,
    choose,
    describe,
    measured,
    open_bench,
    print_table,
    split_words,
)
from netaug.config import DataConfig, RunConfig
from netaug.errors import ConfigError, DataError
from netaug.recipes.loader import default_config
from netaug.recipes.settings import add_settings

if TYPE_CHECKING:
    from netaug.data import DataInfo
    from netaug.train.card import ModelCard

_EXAMPLE = """
netaug eval runs/demo-digits-netaug-seed0
netaug eval runs/demo-digits-netaug-seed0 --widths base widest draws:4 macs:2.0x
netaug eval model.safetensors --data.name folder --data.root DIR"""

SETTINGS = (
    *(f"data.{key}" for key in ("name", "root", "image_size", "eval_batch_size", "workers", "cache")),
    *(f"data.{key}" for key in ("download", "holdout", "on_error")),
    *(f"train.{key}" for key in ("label_smoothing", "device", "threads")),
)


def run(words: list[str]) -> None:
    """Print the top-1 of a trained network."""
    parser = new_parser(
        "eval",
        "RUN|WEIGHTS [--widths NETWORK ...] [--data.root DIR] [--data.key VALUE ...]",
        "Measures top-1 on the evaluation images: of the run's own data, or of the data given.\n"
        "With --widths, of networks of other widths too, which a NetAug run has trained along.",
        _EXAMPLE,
    )
    parser.add_argument("run", type=str, help="A run folder, or a weights file (then give --data.name).")
    parser.add_argument(
        "--widths", type=str, nargs="+", default=None, help=f"{ALLOWED}. Only for a run folder."
    )
    parser.add_argument(
        "--images",
        type=int | None,
        default=None,
        help="Training images for the batch norms of other widths; null is 16000, or all if there are fewer.",
    )
    add_settings(parser, SETTINGS)
    arguments, given = parse(parser, words, SETTINGS)
    images = check_images(arguments.images, given=arguments.widths is not None)
    if arguments.widths is not None:
        _eval_widths(Path(arguments.run), split_words(arguments.widths), given, images)
    else:
        _eval_one(Path(arguments.run), given)


def _eval_widths(run: Path, parts: list[str], given: list[str], images: int) -> None:
    """Print a table of networks of a run's supernet."""
    bench = open_bench(run, given, images)
    info, rows = bench.data.info, []
    for choice in choose(bench.supernet, parts):
        own = choice.label == "base"  # the network of the run folder, as it is shipped
        network = bench.supernet.extract() if own else bench.network(choice.widths)
        rows.append(measured(bench, choice, network))
    print(f"top-1 on {info.val_split} of {info.name}, n {info.val_size:,}")
    print(
        f"base with its own statistics; others: {describe(bench)}\n"
        if bench.recalibrates
        else describe(bench)
    )
    print_table(bench, rows)


def _eval_one(place: Path, given: list[str]) -> None:
    """Print the top-1 of the network of a run folder or weights file."""
    from netaug.data import Normalizer, build_data
    from netaug.evaluate import evaluate
    from netaug.tasks import ClassificationTask
    from netaug.train.card import load_weights
    from netaug.train.device import choose_device, set_up
    from netaug.train.runlog import find_weights

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
