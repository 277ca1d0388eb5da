"""`netaug data`: what is done to a dataset before training."""

from __future__ import annotations

import importlib

from netaug.config.datasets import DATASETS
from netaug.core.errors import ConfigError
from netaug.core.escaping import say
from netaug.core.suggest import did_you_mean, nearest

SUBCOMMANDS = {
    "check": "count and decode all images, find corrupt and duplicate ones, measure the speed",
    "anchors": "find the sizes of boxes that a detector starts from",
    "pack": "write a scaled copy in one file, for fast repeated training",
}

_HELP = """\
usage: netaug data SUBCOMMAND [ARGUMENTS]

Works on a dataset before it is trained on.

subcommands:
{rows}

datasets:
{datasets}

example:
  netaug data check --data DIR --model mcunet
  netaug data anchors --data DIR --data.image_size 256
  netaug data pack --data DIR --out PACKED --size 224

`netaug data SUBCOMMAND --help` shows its arguments with an example."""


def run(words: list[str]) -> None:
    """Run one of the subcommands."""
    if words and words[0] in ("-h", "--help", "help"):
        rows = [f"  {name:<10}{line}" for name, line in SUBCOMMANDS.items()]
        datasets = [f"  {name:<15}{dataset.summary}" for name, dataset in DATASETS.items()]
        say(_HELP.format(rows="\n".join(rows), datasets="\n".join(datasets)))
        return
    if not words or words[0] not in SUBCOMMANDS:
        close = nearest(words[0], SUBCOMMANDS, count=1) if words else []
        raise ConfigError(
            f"there is no `netaug data {words[0]}`." if words else "`netaug data` needs a subcommand.",
            got=words[0] if words else None,
            allowed=", ".join(SUBCOMMANDS),
            fix=did_you_mean(f"`netaug data {name}`" for name in close) or "see `netaug data --help`",
        )
    importlib.import_module(f"netaug.commands.data_{words[0]}").run(words[1:])
