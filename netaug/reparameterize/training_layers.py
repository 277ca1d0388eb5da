"""What a training loop sees of layers that only the training has: put in, told the progress, taken out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from netaug.profile import profile
from netaug.reparameterize.branched_conv import BranchedConv
from netaug.reparameterize.branches import add_branches, merge_branches
from netaug.reparameterize.deep_conv import DeepConv
from netaug.reparameterize.depth import add_depth, contract_layers, fade_layers
from netaug.reparameterize.pairs import Left
from netaug.reparameterize.scaled_conv import ScaledConv
from netaug.reparameterize.settings import BranchSettings, DepthSettings


class TrainingLayers(Protocol):
    """Changes a network for its training, and gives the plain one back at the end."""

    def wrap(self, model: nn.Module, example: tuple[Tensor, ...]) -> nn.Module:
        """Return the network to train, a copy of the caller's class.

        Raises:
            ModelError: The model does not run on the example.
            UnsupportedModelError: Nothing in it can be changed.
            ConfigError: A setting does not fit it.
        """

    def about(self, network: nn.Module) -> list[str]:
        """Return lines that say what the training of a network has beside its own layers."""

    def on_step(self, network: nn.Module, progress: float) -> None:
        """Let a network be what it is at this progress of the training, in [0, 1]; called before each step."""

    def is_plain_at(self, progress: float) -> bool:
        """Whether a network of this progress computes what a plain one can."""

    def finish(self, network: nn.Module) -> nn.Module:
        """Return the plain network, a copy: the caller's class, keys and shapes, with equal outputs when evaluated."""


@dataclass(frozen=True)
class Branches:
    """Puts parallel branches at convolutions and merges them.

    Args:
        settings: Which.
        seed: Keys their first weights.
    """

    settings: BranchSettings
    seed: int

    def wrap(self, model: nn.Module, example: tuple[Tensor, ...]) -> nn.Module:
        """Return the network with branches."""
        return add_branches(model, example, self.settings, self.seed)[0]

    def about(self, network: nn.Module) -> list[str]:
        """Return how many branches there are, and at how many convolutions."""
        layers = [module for module in network.modules() if isinstance(module, BranchedConv | ScaledConv)]
        count = sum(len(layer.convs) + bool(layer.identity) for layer in layers)
        return [f"branches: {count} at {len(layers)} convolutions, merged at the end"]

    def on_step(self, network: nn.Module, progress: float) -> None:
        """Do nothing: branches are the same all the time."""

    def is_plain_at(self, progress: float) -> bool:
        """Return True: branches can be merged at any time."""
        return True

    def finish(self, network: nn.Module) -> nn.Module:
        """Return the network with its branches merged."""
        return merge_branches(network)


@dataclass(frozen=True)
class Depth:
    """Makes convolutions two with a fading non-linearity between, and contracts them.

    Args:
        settings: Which, and when it fades.
        seed: Keys their first weights.
    """

    settings: DepthSettings
    seed: int

    def wrap(self, model: nn.Module, example: tuple[Tensor, ...]) -> nn.Module:
        """Return the network with deeper layers."""
        return add_depth(model, example, self.settings, self.seed)[0]

    def about(self, network: nn.Module) -> list[str]:
        """Return how many convolutions are deeper, and when they fade."""
        count = sum(isinstance(module, DeepConv) for module in network.modules())
        start, until = self.settings.start, self.settings.until
        return [
            f"depth: {count} convolutions are two, whose non-linearities fade from {start:.0%} to {until:.0%} "
            "of the training; contracted at the end"
        ]

    def on_step(self, network: nn.Module, progress: float) -> None:
        """Set the slope of the non-linearities."""
        fade_layers(network, self.settings.slope(progress))

    def is_plain_at(self, progress: float) -> bool:
        """Whether the non-linearities have faded."""
        return self.settings.slope(progress) == 1.0

    def finish(self, network: nn.Module) -> nn.Module:
        """Return the network with its deeper layers contracted."""
        return contract_layers(network)


@dataclass(frozen=True)
class Several:
    """Applies several one inside the other; without any, the network is trained as it is.

    Args:
        layers: In the order in which they are put in; they are taken out in reverse.
    """

    layers: Sequence[TrainingLayers] = ()

    def wrap(self, model: nn.Module, example: tuple[Tensor, ...]) -> nn.Module:
        """Return the network with all of them."""
        for layers in self.layers:
            model = layers.wrap(model, example)
        return model

    def about(self, network: nn.Module) -> list[str]:
        """Return the lines of all of them."""
        return [line for layers in self.layers for line in layers.about(network)]

    def on_step(self, network: nn.Module, progress: float) -> None:
        """Tell all of them."""
        for layers in self.layers:
            layers.on_step(network, progress)

    def is_plain_at(self, progress: float) -> bool:
        """Whether all of them can be taken out."""
        return all(layers.is_plain_at(progress) for layers in self.layers)

    def finish(self, network: nn.Module) -> nn.Module:
        """Return the network without them; without any it is the network itself."""
        for layers in reversed(self.layers):
            network = layers.finish(network)
        return network


def training_layers(branches: BranchSettings, depth: DepthSettings, seed: int) -> Several:
    """Return what these settings switch on: depth first, so that the convolutions inside get branches too."""
    chosen = list[TrainingLayers]()
    if depth.ratio > 0:
        chosen.append(Depth(depth, seed))
    if branches.branches > 1:
        chosen.append(Branches(branches, seed))
    return Several(tuple(chosen))


def describe_layers(
    model: nn.Module,
    example: tuple[Tensor, ...],
    branches: BranchSettings,
    depth: DepthSettings,
    seed: int = 0,
) -> list[str]:
    """Return lines for people: what these settings put into a network, what they leave and why, what a step costs.

    Args:
        model: It is not touched.
        example: A batch of its one input.
        branches: Settings of parallel branches.
        depth: Settings of deeper layers.
        seed: Keys first weights.

    Raises:
        NetaugError: As :meth:`TrainingLayers.wrap`.
    """
    layers = training_layers(branches, depth, seed)
    if not layers.layers:
        return []
    network, reasons = model, dict[str, list[str]]()
    if depth.ratio > 0:
        network, _, left = add_depth(network, example, depth, seed)
        _add_reasons(reasons, "not deeper", left)
    if branches.branches > 1:
        network, _, left = add_branches(network, example, branches, seed)
        _add_reasons(reasons, "no branches", left)
    cost = profile(network, example[0]).macs / max(1, profile(model, example[0]).macs)
    return [
        *layers.about(network),
        f"a step runs {cost:.2f}x the MACs of the plain network's, branches counted one by one",
        *(f"  {', '.join(names)}: {reason}" for reason, names in reasons.items()),
    ]


def _add_reasons(reasons: dict[str, list[str]], what: str, left: Sequence[Left]) -> None:
    for entry in left:
        reasons.setdefault(f"{what}, {entry.reason}", []).append(entry.conv)
