"""`netaug compare`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netaug.commands.arguments import add_trust, announce, check_recognizable, new_parser, parse
from netaug.config.loading import flat_mapping, given_settings, load_config
from netaug.config.recipes import OWN_DATA
from netaug.config.settings import GROUPS
from netaug.core.errors import ConfigError
from netaug.core.escaping import say
from netaug.core.suggest import did_you_mean, nearest

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from netaug.compare import CompareRequest
    from netaug.config import RunConfig

_EXAMPLE = """
netaug compare --data DIR --model mynets.py:MyNet --seeds 3
netaug compare demo/digits --seeds 4 --jobs 2
netaug compare demo/cifar10 --seeds 3 --data.root DIR --lr 0.1 0.2 --out runs/cifar10
netaug compare --list
netaug compare --list distillation-small > mine.yaml
netaug compare distillation --small --jobs 2 --data.root DIR
netaug compare mine.yaml --seeds 3 --nproc 8"""


def run(words: list[str]) -> None:
    """Train the arms of a comparison and print the outcome."""
    arguments, given = _parsed(words)
    if arguments.list:
        _list(arguments.what, given)
        return
    announce(f"preparing the comparison of {arguments.what or 'two arms, with and without NetAug'}")
    request = _request(arguments, given)

    from netaug.compare import compare, show
    from netaug.core.consoles import SafeConsole

    comparison = compare(request)
    # matplotlib is slow to load and needed only now
    from netaug.report.comparison_pages import write_with_runs

    write_with_runs(comparison, request.out)
    show(comparison, SafeConsole())
    say(f"page:    {request.out / 'report.html'}")


def asked(words: list[str]) -> CompareRequest:
    """Return the comparison that the words after `netaug compare` describe, to report on it.

    Raises:
        ConfigError: An option, the plan or the recipe is wrong.
    """
    return _request(*_parsed(words), builds=False)


def _request(arguments: Any, given: list[str], *, builds: bool = True) -> CompareRequest:
    name = None
    if arguments.what is None:
        name, given = _without_recipe(given, arguments.lr)
        arguments.what = OWN_DATA

    from netaug.compare import CompareRequest
    from netaug.compare.planning import find_plan

    plan = find_plan(arguments.what, arguments.small)
    if plan is None:
        # raises for a mistake in the recipe before anything starts
        config = load_config(arguments.what, given, trusted=arguments.trust, builds=builds)
        if builds:
            given = [*given, *_of_filled_batches(config, given, arguments.lr)]
    if name is None:
        name = Path(arguments.what).stem if arguments.what.endswith((".yaml", ".yml")) else arguments.what
    if plan and arguments.small:
        name = plan.name
    seeds = arguments.seeds if arguments.seeds is not None else plan.seeds if plan else None
    if seeds is None:
        raise ConfigError(
            "`netaug compare` needs to know how many runs an arm has.", fix="add --seeds 3, or more"
        )
    return CompareRequest(
        recipe=plan.name if plan and arguments.small else arguments.what,
        overrides=tuple(given),
        seeds=seeds,
        jobs=arguments.jobs,
        out=Path(arguments.out or f"runs/compare-{name.replace('/', '-')}"),
        overwrite=arguments.overwrite,
        lrs=tuple(arguments.lr) or (plan.rates if plan else ()),
        threads=arguments.threads,
        nproc=arguments.nproc,
        plan=plan,
        trusted=tuple(arguments.trust),
    )


def _without_recipe(given: list[str], rates: list[float]) -> tuple[str, list[str]]:
    """Return a name, and the settings that are chosen for the images and the network, with those given behind them.

    Where rates are given, none is chosen.
    """
    if not any(word.startswith(("--data.root=", "--data.name=")) for word in given):
        raise ConfigError(
            "`netaug compare` needs a plan, a recipe, or images.",
            allowed="a name of `netaug compare --list` or `netaug recipes`, the path of a YAML file, or --data DIR",
        )
    check_recognizable(given)

    from netaug.api.default_settings import derive_settings

    derived = derive_settings(given)
    if rates:
        derived = derived.without("train.lr", reason="rate")
    say(derived.explanation, file=sys.stderr, flush=True)
    return derived.name, derived.with_given(given)


def _of_filled_batches(config: RunConfig, given: list[str], rates: list[float]) -> list[str]:
    """Return settings for all arms alike where the images do not fill a batch; rates of the command line stay."""
    from netaug.compare.run_specs import fed_in_tuning
    from netaug.train.filling_batches import with_filled_batches

    if len(rates) > 1:  # the fewest images that a run has
        config = replace(config, data=fed_in_tuning(config.data))
    named = {*given_settings({}, given), *(["train.lr"] if rates else [])}
    before, filled = flat_mapping(config), flat_mapping(with_filled_batches(config, named))
    return [f"--{key}={value}" for key, value in filled.items() if value != before[key]]


def _list(name: str | None, given: list[str]) -> None:
    from netaug.compare.planning import plan_lines, plan_names, plan_path

    if given:
        raise ConfigError("`netaug compare --list` takes no settings.", got=given[0])
    if name is None:
        lines = plan_lines()
        width = max(map(len, lines))
        say("\n".join(f"{name:<{width}}  {line}" for name, line in lines.items()))
        return
    path = plan_path(name)
    if path is None:
        close = nearest(name, plan_names(), count=1)
        raise ConfigError(
            f"there is no packaged plan {name!r}.",
            allowed=", ".join(plan_names()),
            fix=did_you_mean(close),
        )
    say(path.read_text(encoding="utf-8"), end="")


def _parsed(words: list[str]) -> tuple[Any, list[str]]:
    return parse(_parser(), words, tuple(GROUPS))


def _parser() -> ArgumentParser:
    parser = new_parser(
        "compare",
        "PLAN|RECIPE|--data DIR [--model NAME] [--small] --seeds N [--jobs K] [--out DIR] [--overwrite]\n"
        "                      [--lr LR ...] [--threads T] [--nproc P] [--group.key VALUE ...] | --list [PLAN]",
        "Trains the arms of a plan, or a recipe with and without NetAug, at equal epochs and again with the reference\n"
        "at each arm's training time or MACs, and reports honestly which helped. The same command resumes a\n"
        "comparison that was stopped. Takes the settings of `netaug train --help-all`.",
        _EXAMPLE,
    )
    parser.add_argument(
        "what",
        type=str,
        nargs="?",
        default=None,
        metavar="PLAN|RECIPE",
        help="A name of `netaug compare --list` or `netaug recipes`, or the path of a YAML file of either.",
    )
    parser.add_argument(
        "--list", action="store_true", help="List the packaged plans with one line each, or print one."
    )
    parser.add_argument("--small", action="store_true", help="Take the plan's version for a CPU, NAME-small.")
    parser.add_argument(
        "--seeds",
        type=int | None,
        default=None,
        help="Runs per arm, with the seeds 0 .. N-1; null takes the plan's number.",
    )
    _add_run_options(parser)
    add_trust(parser)
    return parser


def _add_run_options(parser: ArgumentParser) -> None:
    """Add what says where and how the runs of an arm are trained."""
    parser.add_argument("--jobs", type=int, default=1, help="Trainings at the same time.")
    parser.add_argument(
        "--out", type=str | None, default=None, help="Folder of the comparison; null is runs/compare-NAME."
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="Remove an earlier comparison in --out first."
    )
    parser.add_argument(
        "--lr",
        type=float,
        nargs="+",
        default=[],
        help="Peak learning rates; of several, each arm that does not set its own gets the best on held-out images.",
    )
    parser.add_argument(
        "--threads",
        type=int | None,
        default=None,
        help="CPU threads per run. null divides the cores among the runs that train at the same time, and takes one "
        "for networks so small that more would slow them down.",
    )
    parser.add_argument(
        "--nproc", type=int, default=1, help="Processes that train one run together, started by torchrun."
    )
