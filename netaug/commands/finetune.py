"""`netaug finetune`."""

from __future__ import annotations

import sys
from pathlib import Path

from netaug.commands.arguments import add_trust, check_recognizable, new_parser, parse, trusted_names
from netaug.commands.train import add_run_folder, train_and_report
from netaug.config.settings import GROUPS, add_settings
from netaug.core.escaping import say
from netaug.core.existing import check_network
from netaug.distributed.announce import failures_announced
from netaug.distributed.launch import place

_EXAMPLE = """
netaug finetune --from runs/imagenet-mcunet-netaug-seed0 --data.name pets --data.root DIR
netaug finetune transfer/flowers102/mcunet --from mcunet.pth --data.root DIR
netaug finetune --from model.safetensors --data DIR --train.freeze backbone
netaug finetune --from RUN --data.name cub200 --data.root DIR --netaug.enabled true --train.layer_decay 0.75"""


def run(words: list[str]) -> None:
    """Train a pre-trained network on other classes."""
    parser = new_parser(
        "finetune",
        "[RECIPE] --from RUN|WEIGHTS --data DIR [--data.name NAME] [--out DIR] [--group.key VALUE ...]",
        "Trains a network that has been trained before on other images: with a new classifier, at the resolution and\n"
        "with the normalization it was trained with, and without NetAug unless --netaug.enabled true is given. The\n"
        "settings are those of RECIPE; without one, of transfer/DATASET/MODEL if there is one, else the paper's\n"
        "recipe with a learning rate in the middle of its range. The weights may be of a run, a file of netaug, a\n"
        "PyTorch checkpoint or the paper's released code (the last two need --model.name or a RECIPE). What kind of\n"
        "dataset DIR is, is recognized; of few images the batches are smaller, and the rate in proportion.",
        _EXAMPLE,
    )
    parser.add_argument(
        "recipe", type=str, nargs="?", default=None, help="A recipe, or the path of a YAML file."
    )
    parser.add_argument("--from", type=str, required=True, help="A run folder, or a file of weights.")
    add_run_folder(parser, "runs/finetune-DATA-MODEL-ARM-seedN, or RECIPE's name")
    add_trust(parser)
    add_settings(parser)
    with failures_announced():
        arguments, given = parse(parser, words, tuple(GROUPS), exists={"from": check_network})
        if arguments.recipe is None:
            check_recognizable(given)
        if place().rank == 0:  # before torch is imported, which takes seconds
            say(f"loading the network of {arguments['from']} and the data", file=sys.stderr, flush=True)

        from netaug.runs.resume import choose_folder
        from netaug.train.finetune import finetune_config

        trusted = trusted_names(arguments, given)
        name, config = finetune_config(arguments["from"], arguments.recipe, given, trusted)
    if arguments.recipe is None and not name.startswith("finetune-") and place().rank == 0:
        say(f"settings of {name}, the paper's for this dataset and network", file=sys.stderr)
    out = Path(arguments.out) if arguments.out else choose_folder(name, config, resume=arguments.resume)
    train_and_report(config, out, resume=arguments.resume, trusted=trusted)
