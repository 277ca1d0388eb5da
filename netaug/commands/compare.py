"""`netaug compare`."""

from __future__ import annotations

from pathlib import Path

from netaug.commands.arguments import new_parser, parse
from netaug.recipes import find_recipe
from netaug.recipes.loader import load_config
from netaug.recipes.settings import GROUPS

_EXAMPLE = """
netaug compare demo/digits --seeds 4 --jobs 2
netaug compare demo/cifar10 --seeds 3 --data.root DIR --lr 0.1 0.2 --out runs/cifar10"""


def run(words: list[str]) -> None:
    """Train the arms of a comparison and print the outcome."""
    parser = new_parser(
        "compare",
        "RECIPE --seeds N [--jobs K] [--out DIR] [--overwrite] [--lr LR ...] [--threads T] [--group.key VALUE ...]",
        "Trains the recipe with and without NetAug, at equal epochs and again with the baseline at NetAug's\n"
        "training time, and says honestly whether it helped. Takes the settings of `netaug train --help`.",
        _EXAMPLE,
    )
    parser.add_argument("recipe", type=str, help="A name of `netaug recipes`, or the path of a YAML file.")
    parser.add_argument("--seeds", type=int, required=True, help="Runs per arm, with the seeds 0 .. N-1.")
    parser.add_argument("--jobs", type=int, default=1, help="Trainings at the same time.")
    parser.add_argument(
        "--out", type=str | None, default=None, help="Folder of the comparison; null is runs/compare-RECIPE."
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="Remove an earlier comparison in --out first."
    )
    parser.add_argument(
        "--lr",
        type=float,
        nargs="+",
        default=[],
        help="Peak learning rates; of several, each arm gets the best on held-out training images.",
    )
    parser.add_argument(
        "--threads", type=int | None, default=None, help="CPU threads a run; null shares the cores out."
    )
    arguments, given = parse(parser, words, tuple(GROUPS))
    name, _ = find_recipe(arguments.recipe)
    load_config(arguments.recipe, given)  # a mistake in it is better said before anything starts

    from rich.console import Console

    from netaug.compare import CompareRequest, compare, show

    out = arguments.out or f"runs/compare-{name.replace('/', '-')}"
    request = CompareRequest(
        recipe=arguments.recipe,
        overrides=tuple(given),
        seeds=arguments.seeds,
        jobs=arguments.jobs,
        out=Path(out),
        overwrite=arguments.overwrite,
        lrs=tuple(arguments.lr),
        threads=arguments.threads,
    )
    show(compare(request), Console())
