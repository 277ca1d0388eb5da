"""Options that name a device, and the check of a network against its memory, for the commands that take them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netaug.core.errors import ModelError
from netaug.export.boards import Budget, budget_of

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from netaug.config import RunConfig
    from netaug.export.budget import MemoryNeed


def add_budget(parser: ArgumentParser) -> None:
    """Add the options that say how much memory there is."""
    parser.add_argument(
        "--board",
        type=str | None,
        default=None,
        help="A board of `netaug boards`: checks whether the network, in int8, fits its memory.",
    )
    parser.add_argument(
        "--sram",
        type=str | None,
        default=None,
        help="Memory for activations, such as 256KB; over the board's.",
    )
    parser.add_argument(
        "--flash",
        type=str | None,
        default=None,
        help="Memory for code and weights, such as 1MB; over the board's.",
    )


def given_budget(arguments: Any) -> Budget | None:
    """Return the memory that a command line asks for, or None.

    Raises:
        ConfigError: There is no such board, or a size is not one.
    """
    return budget_of(arguments.board, arguments.sram, arguments.flash)


@dataclass(frozen=True)
class Deployment:
    """A network, and the images that the device will see.

    Attributes:
        name: As for ``--model.name``.
        options: Of its factory.
        num_classes: Number of logits.
        in_chans: Image channels.
        side: Height = width of its images in pixels.
    """

    name: str
    options: dict[str, Any]
    num_classes: int
    in_chans: int
    side: int

    @classmethod
    def of(cls, config: RunConfig, feed: Any) -> Deployment:
        """Return the network of settings; ``feed`` has num_classes, in_chans and side."""
        return cls(config.model.name, dict(config.model.options), feed.num_classes, feed.in_chans, feed.side)

    def need(self, *, name: str | None = None, side: int | None = None) -> MemoryNeed:
        """Return the memory it takes, or that a network of another name or at another image side takes.

        Raises:
            ModelError: There is no such network, or it does not take such images.
        """
        from netaug.export.micro.need import need_at_side
        from netaug.models import create_model

        network = create_model(
            name or self.name, num_classes=self.num_classes, in_chans=self.in_chans, **self.options
        )
        return need_at_side(network, self.in_chans, side or self.side)

    def what_would_fit(self, need: MemoryNeed, budget: Budget) -> list[str]:
        """Return what to change so that a network which does not fit does, one sentence per way."""
        from netaug.export.boards import show_size
        from netaug.export.budget import largest_side, largest_width

        ways = []
        smaller = largest_side(lambda side: self.need(side=side), self.side, need, budget, step=16)
        if smaller:
            ways.append(f"images of {smaller[0]} pixels need {show_size(smaller[1].sram)} of SRAM")
        family = re.fullmatch(r"(.*)-(\d+(?:\.\d+)?)", self.name)
        if family and not self.name.startswith("timm:"):
            narrower = largest_width(
                lambda width: self.need(name=f"{family[1]}-{width:g}"), float(family[2]), need, budget
            )
            if narrower:
                sizes = f"{show_size(narrower[1].sram)} of SRAM and {show_size(narrower[1].flash)} of flash"
                ways.append(f"{family[1]}-{narrower[0]:g} needs {sizes}")
        return ways or ["no smaller image or width fits: take a smaller network, or fewer classes"]


def refuse_what_does_not_fit(deployment: Deployment, budget: Budget) -> str:
    """Return the verdict on a network that fits a budget.

    Raises:
        ModelError: It does not fit; the message names the layer at the peak and what would fit.
    """
    from netaug.export.budget import verdict

    need = deployment.need()
    if need.fits(budget):
        return verdict(need, budget)
    raise ModelError(
        f"the network '{deployment.name}' does not fit the memory it is meant for.",
        got=verdict(need, budget),
        fix="; or ".join(deployment.what_would_fit(need, budget)),
    )
