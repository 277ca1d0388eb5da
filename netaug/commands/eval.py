"""`netaug eval`."""

from __future__ import annotations

from pathlib import Path

from netaug.commands.arguments import new_parser, parse
from netaug.commands.evaluation import SETTINGS, check_classes, evaluation_data, shown_mean
from netaug.commands.widths import (
    ALLOWED,
    add_images,
    check_images,
    choose,
    describe,
    measured,
    open_bench,
    print_table,
    split_words,
)
from netaug.config import RunConfig
from netaug.errors import ConfigError
from netaug.recipes.loader import default_config
from netaug.recipes.settings import add_settings

_EXAMPLE = """
netaug eval runs/demo-digits-netaug-seed0
netaug eval runs/demo-digits-netaug-seed0 --widths base widest draws:4 macs:2.0x
netaug eval model.safetensors --data.name folder --data.root DIR"""


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
    add_images(parser, "the batch norms of other widths")
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
    task = ClassificationTask.of(config.train.label_smoothing, data.info)
    found = evaluate(model.to(device), data.val, normalizer, task)
    print(
        f"top-1 {found['top1']:.2f} %{shown_mean(found.get('mean_per_class'))}  loss {found['loss']:.4f}  "
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
