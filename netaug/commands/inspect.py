"""`netaug inspect`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netaug.commands.arguments import add_trust, announce, new_parser, parse, trusted_names
from netaug.commands.deployment import Deployment, add_budget, given_budget
from netaug.config import RunConfig
from netaug.config.loading import default_config, load_config
from netaug.config.recipes import find_recipe, recipe_names
from netaug.config.settings import add_settings
from netaug.core.errors import ConfigError
from netaug.core.escaping import say
from netaug.core.suggest import nearest

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from netaug.export.boards import Budget

_EXAMPLE = """
netaug inspect mcunet
netaug inspect demo/digits --netaug.width 1,2,3
netaug inspect timm:resnet18 --image-size 160 --num-classes 10
netaug inspect mcunet --netaug.max_macs_ratio 3
netaug inspect mcunet --board stm32f746g-disco
netaug inspect mcunet --reparameterize.branches 3
netaug inspect timm:resnet18 --regularize.stochastic_depth 0.1 --regularize.dropblock 0.1"""

_PLAIN_WIDTH = 160  # a file has no width of its own
_TEACHING = ("distill.in_place", "distill.in_place_teacher")
_SETTINGS = (
    "netaug",
    "regularize",
    "reparameterize",
    "deepen",
    *_TEACHING,
    *(f"model.{key}" for key in ("name", "num_classes", "in_chans", "options")),
    *(f"data.{key}" for key in ("name", "root", "image_size", "on_error")),
    "train.seed",
)


def run(words: list[str]) -> None:
    """Print the width groups of a network."""
    arguments, given = parse(_parser(), words, _SETTINGS)
    _check_sizes(arguments)
    budget = given_budget(arguments)
    is_recipe = _is_recipe(arguments.model)
    config = (
        load_config(arguments.model, given, trusted=trusted_names(arguments, given))
        if is_recipe
        else default_config([f"--model.name={arguments.model}", *given])
    )
    announce(f"building the network {config.model.name}, and recording its graph")

    from netaug.api.inspection import build_and_inspect
    from netaug.core.consoles import SafeConsole
    from netaug.regularize.layers import put_regularizers
    from netaug.reparameterize.training_layers import describe_layers

    feed = feed_of(
        config,
        is_recipe=is_recipe,
        num_classes=arguments.num_classes,
        in_chans=arguments.in_chans,
        image_size=arguments.image_size,
    )
    if budget is not None:
        _show_memory(f"{config.model.name} {feed}", Deployment.of(config, feed), budget)
        return
    network, example, inspection = build_and_inspect(
        config.model.name,
        (2, feed.in_chans, feed.side, feed.side),
        num_classes=feed.num_classes,
        config=config.netaug.augment_config(config.train.seed),
        options=config.model.options,
    )
    console = SafeConsole(highlight=False)
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    console.print(f"{config.model.name} {feed}\n", markup=False)
    widest_teaches = config.distill.in_place > 0 and config.distill.in_place_teacher == "widest"
    console.print(inspection.render(members=arguments.members, widest_teaches=widest_teaches))
    for line in describe_layers(network, (example,), config.reparameterize, config.deepen):
        console.print(line, markup=False)
    for placed in put_regularizers(network, example, config.regularize):
        console.print(str(placed), markup=False)
        for name, rate in placed.rates.items() if arguments.members else ():
            console.print(f"  {name} {rate:.3g}", markup=False)


def _parser() -> ArgumentParser:
    parser = new_parser(
        "inspect",
        "MODEL|RECIPE [--image-size N] [--num-classes N] [--in-chans N] [--members]\n"
        "                      [--board NAME] [--netaug.width ...]",
        "Shows the width groups of a network: members, role, widths, and what stays as it is and why; and where\n"
        "regularizers that drop parts of it, parallel branches and deeper layers would be put. With a board or an\n"
        "amount of memory: whether it fits in int8, instead.",
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
    add_budget(parser)
    add_trust(parser)
    add_settings(parser, ("netaug", *_TEACHING, "regularize", "reparameterize", "deepen"))
    return parser


def _show_memory(title: str, deployment: Deployment, budget: Budget) -> None:
    from netaug.export.budget import verdict

    need = deployment.need()
    say("\n".join([title, "", *need.describe(), "", verdict(need, budget)]))
    if not need.fits(budget):
        say("\n".join(f"  {way}" for way in deployment.what_would_fit(need, budget)))


@dataclass(frozen=True)
class Feed:
    """What the network is built for; counts depend on it, so it is printed with them."""

    num_classes: int
    in_chans: int
    side: int
    assumed: bool

    def __str__(self) -> str:
        text = f"for {self.num_classes} classes and images of {self.in_chans}x{self.side}x{self.side}"
        note = "; assumed in part, give data.root or --num-classes, --in-chans, --image-size"
        return text + note * self.assumed


def _check_sizes(arguments: Any) -> None:
    for name in ("image_size", "num_classes", "in_chans"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            option = f"--{name.replace('_', '-')}"
            raise ConfigError(f"{option} is out of range.", got=value, allowed="a whole number, at least 1")


def _is_recipe(name: str) -> bool:
    if name in recipe_names() or Path(name).is_file():
        return True
    if "/" in name and ":" not in name and nearest(name, recipe_names()):
        find_recipe(name)  # raises, and names the nearest
    return False


def feed_of(
    config: RunConfig,
    *,
    is_recipe: bool,
    num_classes: int | None = None,
    in_chans: int | None = None,
    image_size: int | None = None,
) -> Feed:
    """Return what is given, else what the recipe's data has if it is there, else the usual."""
    from netaug.data import build_data, published
    from netaug.models import default_image_size

    at_hand = is_recipe and (config.data.name == "digits" or config.data.root is not None)
    info = build_data(config.data, seed=config.train.seed).info if at_hand else None
    known = info or (published(config.data.name) if is_recipe else None)
    classes, chans, side = (
        (known.num_classes, known.in_chans, known.image_size) if known else (None, None, None)
    )
    wanted = config.model
    asked = (
        num_classes or wanted.num_classes or classes,
        in_chans or wanted.in_chans or chans,
        image_size or config.data.image_size or side,
    )
    return Feed(
        asked[0] or 1000,
        asked[1] or 3,
        asked[2] or default_image_size(wanted.name),
        assumed=is_recipe and None in asked,
    )
