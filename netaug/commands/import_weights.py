"""`netaug import-weights`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser

from netaug.commands.arguments import announce, new_parser, parse
from netaug.config.loading import default_config
from netaug.config.settings import add_settings
from netaug.core.errors import ConfigError
from netaug.core.escaping import say
from netaug.core.existing import check_weights

_EXAMPLE = """
netaug import-weights mcunet.pth --model mcunet
netaug import-weights checkpoint.pt --model.name timm:resnet18 --out resnet18.safetensors --classes names.txt"""

_SETTINGS = tuple(f"model.{key}" for key in ("name", "num_classes", "in_chans", "options"))


def run(words: list[str]) -> None:
    """Write a weights file that the other commands read."""
    arguments, given = parse(_parser(), _full_names(words), _SETTINGS, exists={"file": check_weights})
    if not any(word.startswith("--model.name=") for word in given):
        raise ConfigError(
            "a weights file of another program does not say which network it is for.",
            got="no --model",
            fix="add --model NAME",
        )
    config = default_config(given).model
    announce(f"loading {arguments.file}")

    from netaug.config.trust import confirmation
    from netaug.weights.importing import Feed, import_weights, read_class_names

    feed = Feed(
        image_size=arguments.image_size,
        mean=arguments.mean and tuple(arguments.mean),
        std=arguments.std and tuple(arguments.std),
        class_names=None if arguments.classes is None else read_class_names(Path(arguments.classes)),
    )
    out = Path(arguments.out)
    loaded, card, classes = import_weights(Path(arguments.file), config, feed, out=out, part=arguments.part)
    own = confirmation(card.name)
    say(
        f"mapped:  {loaded}\n"
        f"network: {card.name}, {card.num_classes:,} classes ({classes}), "
        f"images of {card.in_chans}x{card.image_size}x{card.image_size}\n"
        f"wrote:   {out}\n"
        f"next:    netaug predict {out} IMAGE{own}; netaug eval {out} --data DIR{own}"
    )


def _parser() -> ArgumentParser:
    parser = new_parser(
        "import-weights",
        "FILE --model NAME [--out model.safetensors] [--classes FILE]",
        "Converts weights into a file for `netaug eval`, `predict` and `train --model.weights`.\n"
        "Reads safetensors and PyTorch checkpoints, with the network's own names or with those of the\n"
        "NetAug paper's released code.",
        _EXAMPLE,
    )
    parser.add_argument("file", type=str, help="The weights; no code in it is run.")
    parser.add_argument(
        "--out", type=str, default="model.safetensors", help="The file to write; must not exist."
    )
    parser.add_argument(
        "--classes",
        type=str | None,
        default=None,
        help="Text file with one class name per line, in label order; null is ImageNet's "
        "for 1000 classes, else numbers.",
    )
    parser.add_argument(
        "--part",
        type=str | None,
        default=None,
        help="Key of the checkpoint that holds the weights; null finds it, averaged weights before plain ones.",
    )
    parser.add_argument(
        "--image-size",
        type=int | None,
        default=None,
        help="Height = width in pixels of the input; null is what the network is meant for.",
    )
    _add_input_options(parser)
    add_settings(parser, _SETTINGS)
    return parser


def _add_input_options(parser: ArgumentParser) -> None:
    """Add what a file of another program does not say about the network's input."""
    for name, about in (("mean", "mean"), ("std", "standard deviation")):
        parser.add_argument(
            f"--{name}",
            type=float,
            nargs="+",
            default=None,
            help=f"Per-channel {about} of pixels in [0, 1]; null is timm's for its networks, else ImageNet's.",
        )


def _full_names(words: Sequence[str]) -> list[str]:
    """Return the words with ``--model NAME`` as ``--model.name NAME``."""
    return [
        word.replace("--model", "--model.name", 1) if word.split("=", 1)[0] == "--model" else word
        for word in words
    ]
