"""`netaug distill-cache`."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser

from netaug.commands.arguments import add_trust, announce, new_parser, parse, trusted_names
from netaug.config import RunConfig
from netaug.config.loading import load_config
from netaug.config.settings import GROUPS, add_settings
from netaug.core.errors import ConfigError
from netaug.core.escaping import say

_EXAMPLE = """
netaug distill-cache imagenet/mcunet --data.root DIR --distill.teacher timm:resnet50 --data.distinct_epochs 10 --out DIR
netaug distill-cache demo/digits --distill.teacher runs/teacher --out runs/logits"""
_TOP = 32


def run(words: list[str]) -> None:
    """Cache the teacher's logits of every training image, for trainings without the teacher."""
    arguments, given = parse(_parser(), words, tuple(GROUPS))
    trusted = trusted_names(arguments, given)
    config = load_config(arguments.recipe, given, trusted=trusted)
    if arguments.out is None:
        raise ConfigError(
            "`netaug distill-cache` needs a folder to write to.", got="no --out", fix="--out DIR"
        )
    if arguments.top < 1:
        raise ConfigError("--top is out of range.", got=arguments.top, allowed="a whole number, at least 1")
    _check(config)
    announce(f"loading the teacher {' and '.join(config.distill.teacher)} and the data {config.data.name}")

    from netaug.distill.session import write

    out = Path(arguments.out).expanduser()
    card = write(config, out, arguments.top, trusted)
    same = " ".join(word for word in given if not word.startswith("--distill."))
    say(
        f"{card.images:,} images under {card.draws} augmentations each, {card.packing.bytes} bytes a row: {out}\n"
        f"next: netaug train {arguments.recipe}{' ' * bool(same)}{same} --distill.cache {out}"
    )


def _parser() -> ArgumentParser:
    parser = new_parser(
        "distill-cache",
        "RECIPE --out DIR [--top K] --distill.teacher NAME [--group.key VALUE ...]",
        "Runs a teacher once on every training image as it is augmented in each epoch, and caches its logits:\n"
        "data.distinct_epochs augmentations per image, or train.epochs. `netaug train` with the same settings of the\n"
        "images and --distill.cache DIR then distills from the cache. The same command resumes if stopped.",
        _EXAMPLE,
    )
    parser.add_argument("recipe", type=str, help="A name of `netaug recipes`, or the path of a YAML file.")
    parser.add_argument(
        "--out", type=str | None, default=None, help="The folder to write: new, empty, or of a stopped call."
    )
    parser.add_argument(
        "--top",
        type=int,
        default=_TOP,
        help="Likeliest classes kept per image; the rest of the probability is spread evenly over the others.",
    )
    add_trust(parser)
    add_settings(parser)
    return parser


def _check(config: RunConfig) -> None:
    if not config.distill.teacher:
        raise ConfigError(
            "`netaug distill-cache` needs a teacher.",
            got="distill.teacher empty",
            fix="--distill.teacher RUN or timm:NAME",
        )
    if config.distill.cache is not None:
        raise ConfigError(
            "distill.cache is read in training; the folder to write is --out.", fix="leave distill.cache out"
        )
    if config.regularize.mixes:
        raise ConfigError(
            "the teacher's logits of mixed images are not cached: the mixtures differ in every step.",
            got=f"regularize.{' and '.join(config.regularize.on)}",
            fix="leave mixup and cutmix out; or train with the teacher itself",
        )
