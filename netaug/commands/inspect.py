"""`netaug inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from netaug.commands.arguments import new_parser, parse
from netaug.config import RunConfig
from netaug.recipes import recipe_names
from netaug.recipes.loader import default_config, load_config
from netaug.recipes.settings import add_settings

if TYPE_CHECKING:
    from torch import Tensor, nn

_EXAMPLE = """
netaug inspect mcunet
netaug inspect demo/digits --netaug.width 1,2,3
netaug inspect timm:resnet18 --image-size 160 --num-classes 10"""

_PLAIN_WIDTH = 160  # a file has no width of its own


def run(words: list[str]) -> None:
    """Print the width groups of a network."""
    parser = new_parser(
        "inspect",
        "MODEL|RECIPE [--image-size N] [--num-classes N] [--in-chans N] [--members] [--netaug.width ...]",
        "Shows the width groups of a network: members, role, widths, and what stays as it is and why.",
        _EXAMPLE,
    )
    parser.add_argument("model", type=str, help="A name as for --model.name, or a recipe.")
    for option, about in (
        ("image-size", "Height = width in pixels; null is the recipe's or the network's own."),
        ("num-classes", "Number of logits; null is the recipe's, or 1000."),
        ("in-chans", "Image channels; null is the recipe's, or 3."),
    ):
        parser.add_argument(f"--{option}", type=int | None, default=None, help=about)
    parser.add_argument("--members", action="store_true", help="List the parameters of every group.")
    add_settings(parser, ("netaug",))
    arguments, given = parse(parser, words, ("netaug", "model", "data", "train.seed"))
    is_recipe = arguments.model in recipe_names() or Path(arguments.model).is_file()
    config = (
        load_config(arguments.model, given)
        if is_recipe
        else default_config([f"--model.name={arguments.model}", *given])
    )

    from rich.console import Console

    from netaug.elastic.inspect import describe

    model, example = _network(config, arguments, is_recipe)
    found = describe(model, example, config.netaug.augment_config(config.train.seed))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    console.print(found.render(members=arguments.members))


def _network(config: RunConfig, arguments: Any, is_recipe: bool) -> tuple[nn.Module, Tensor]:
    """The network with two images of noise; what was not given is the data's if it is at hand, or usual."""
    import torch

    from netaug.data import build_data
    from netaug.models import create_model, default_image_size

    at_hand = is_recipe and (config.data.name == "digits" or config.data.root is not None)
    info = build_data(config.data, seed=config.train.seed).info if at_hand else None
    wanted = config.model
    size = arguments.image_size or config.data.image_size or (info.image_size if info else None)
    classes = arguments.num_classes or wanted.num_classes or (info.num_classes if info else 1000)
    chans = arguments.in_chans or wanted.in_chans or (info.in_chans if info else 3)
    model = create_model(wanted.name, num_classes=classes, in_chans=chans, **wanted.options)
    side = size or default_image_size(wanted.name)
    return model, torch.randn(2, chans, side, side)
