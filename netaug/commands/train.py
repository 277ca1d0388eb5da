"""`netaug train`."""

from __future__ import annotations

import gc
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser

from netaug.commands.arguments import add_trust, check_recognizable, new_parser, parse, trusted_names
from netaug.commands.deployment import Deployment, add_budget, given_budget, refuse_what_does_not_fit
from netaug.commands.evaluation import shown_mean
from netaug.commands.inspect import feed_of
from netaug.config import RunConfig
from netaug.config.loading import load_config
from netaug.config.recipes import find_recipe
from netaug.config.settings import GROUPS, add_settings
from netaug.core.display import score_name
from netaug.core.escaping import say
from netaug.distributed.announce import failures_announced
from netaug.distributed.launch import place

if TYPE_CHECKING:
    from netaug.runs.folder import RunFolder

_EXAMPLE = """
netaug train --model mcunet --data DIR
netaug train --model mynets.py:MyNet --data DIR --epochs 50
netaug train demo/digits --train.epochs 20
netaug train demo/digits --netaug.enabled false --out runs/baseline
netaug train imagenet/mcunet --data.root DIR --data.workers 8
netaug train demo/digits --model.options.channels '[4, 6, 8]' --netaug.width 1,2,3"""


def run(words: list[str]) -> None:
    """Train one network, and print its score and folder."""
    parser = new_parser(
        "train",
        "[RECIPE] [--model NAME] [--data DIR] [--epochs N] [--out DIR] [--board NAME] [--group.key VALUE ...]",
        "Trains a network and writes a run folder: settings, metrics of each epoch, and the plain network. Without a\n"
        "recipe the settings are chosen from the images in --data and the network, and printed with their reasons.",
        _EXAMPLE,
    )
    parser.add_argument(
        "recipe",
        type=str,
        nargs="?",
        default=None,
        help="A name of `netaug recipes`, or the path of a YAML file; none chooses settings for --data DIR.",
    )
    add_run_folder(parser, "runs/RECIPE-ARM-seedN, or RECIPE is MODEL-DIR")
    add_budget(parser)
    add_trust(parser)
    add_settings(parser)
    with failures_announced():
        arguments, given = parse(parser, words, tuple(GROUPS))
        if arguments.recipe is None:
            name, config = without_recipe(given)
        else:
            name, config = of_recipe(arguments.recipe, given, trusted_names(arguments, given))
        budget = given_budget(arguments)
        if budget is not None:  # before the first step: a network that does not fit is trained for nothing
            say(refuse_what_does_not_fit(Deployment.of(config, feed_of(config, is_recipe=True)), budget))

    from netaug.runs.resume import choose_folder

    out = Path(arguments.out) if arguments.out else choose_folder(name, config, resume=arguments.resume)
    train_and_report(config, out, resume=arguments.resume, trusted=trusted_names(arguments, given))


def without_recipe(given: list[str]) -> tuple[str, RunConfig]:
    """Choose the settings for the images and the network that were given, and print them with their reasons.

    Returns:
        A name for run folders, and the settings.
    """
    check_recognizable(given)
    if place().rank == 0:
        say("looking at the images to choose settings for them", file=sys.stderr, flush=True)
    with without_collector():
        from netaug.api.training import settings_of

    return settings_of(None, given)


def of_recipe(recipe: str, given: list[str], trusted: Collection[str]) -> tuple[str, RunConfig]:
    """Read a recipe, with smaller batches where the images do not fill one.

    Returns:
        A name for run folders, and the settings.
    """
    name, config = find_recipe(recipe)[0], load_config(recipe, given, trusted=trusted)
    _say_what_is_loaded(config)
    with without_collector():
        from netaug.api.training import fit_to_images

    return name, fit_to_images(config, given)


@contextmanager
def without_collector() -> Iterator[None]:
    """Switch Python's garbage collector off for the import of torch, which is never collected: a tenth of its time."""
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # else the next collection goes through all of it
        gc.enable()


def add_run_folder(parser: ArgumentParser, default: str) -> None:
    """Add the options of the run folder, and of resuming in it.

    Args:
        parser: Of a command that trains.
        default: The folder without ``--out``, in words.
    """
    parser.add_argument(
        "--out",
        type=str | None,
        default=None,
        help=f"The run folder. null is {default}, or the next free name with -2, -3, ... behind it. An unfinished run "
        "of the same settings resumes there.",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="Resume the run in the folder, also if it is finished but gets more epochs; starts one if there is none.",
    )


def train_and_report(config: RunConfig, out: Path, *, resume: bool, trusted: Collection[str]) -> None:
    """Train into a run folder, and print how good the network is and where."""
    from netaug.api.training import train
    from netaug.config.trust import confirmation

    result = train(config, out=out, resume=resume, trusted=trusted)
    if place().rank > 0:
        return
    summary, folder = result.summary, result.folder
    own = confirmation(config.model.name)
    advice = f"advice:  {summary['advice']}\n" if summary["advice"] else ""
    name, epochs = summary["score"], summary["epochs"]
    score = summary["val_metrics"].get(name, summary["val_top1"])
    mean = shown_mean(summary.get("val_mean_per_class"))
    say(
        f"{score_name(name)} {score:.2f} %{mean} on {summary['val_split']} after {epochs} epoch{'s' * (epochs != 1)}; "
        f"{summary['params']:,} parameters, {summary['macs']:,} MACs\n"
        f"{advice}{_about_best(summary, score, folder)}network: {folder.weights}\n"
        f"next:    netaug eval {folder.path}{own}; netaug predict {folder.path} IMAGE{own}"
    )


def _say_what_is_loaded(config: RunConfig) -> None:
    """Print the first line, before torch is imported, which takes seconds."""
    if place().rank == 0:
        where = f" in {config.data.root}" if config.data.root else ""
        network, data = config.model.name, config.data.name
        say(f"loading the network {network} and the data {data}{where}", file=sys.stderr, flush=True)


def _about_best(summary: Mapping[str, Any], last: float, folder: RunFolder) -> str:
    """Return lines about an early end, and about the best epoch where that is better than the last one."""
    lines, best = "", summary["best"]
    if summary["stopped_early"]:
        lines += f"stopped: no better score since epoch {best['epoch']} (train.patience)\n"
    if best is not None and best["score"] > last and folder.best.is_file():
        lines += (
            f"best:    {score_name(summary['score'])} {best['score']:.2f} % after epoch {best['epoch']}, chosen "
            f"on these {summary['val_split']} images, so too high on them: {folder.best}\n"
        )
    return lines
