"""Depth for the training: a convolution becomes two with a norm and a non-linearity between, which fades to nothing.

At the end all of that is linear and one convolution again: :func:`contract_layers` writes it into the caller's own.

Source:
    NetBooster, Yu et al. 2023, arXiv:2306.13586, sections 3.2 (expansion of 1x1 convolutions) and 3.3 (max(slope x, x)
    whose slope goes linearly from 0 to 1). Here the two parts follow each other in one training.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, cast

from torch import Tensor, nn

from netaug.core.errors import ConfigError, UnsupportedModelError
from netaug.core.modules import copied
from netaug.elastic.preconditions import check_preconditions
from netaug.reparameterize.deep_conv import DeepConv, Fading
from netaug.reparameterize.pairs import BatchNorm, Convolution, Left, Pair, find_pairs, replace_module
from netaug.reparameterize.proof import check_same_outputs
from netaug.reparameterize.settings import DepthSettings


@dataclass(frozen=True)
class Deepened:
    """Describes a convolution that is two.

    Args:
        conv: Name of its module.
        hidden: Channels between the two.
    """

    conv: str
    hidden: int


def add_depth(
    model: nn.Module, example: tuple[Tensor, ...], settings: DepthSettings, seed: int
) -> tuple[nn.Module, list[Deepened], list[Left]]:
    """Return a copy of a network with deeper layers, which these are, and which are not with the reason.

    Raises:
        ModelError: The model does not run on the example.
        UnsupportedModelError: It cannot be recorded, or no convolution can be deepened.
        ConfigError: A pattern matches no module.
    """
    check_preconditions(model, example)
    pairs, left = find_pairs(model, example)
    chosen, others = _chosen(model, pairs, settings)
    left += others
    if not chosen:
        raise UnsupportedModelError(
            f"no convolution of '{type(model).__name__}' can be deepened.",
            got=f"'{left[0].conv}': {left[0].reason}" if left else "there are no convolutions",
            allowed="convolutions of torch with a batch norm of their own behind them",
            fix="name them with layers, as patterns of module names",
        )
    network, done = copied(model), list[Deepened]()
    for pair in chosen:
        conv = cast(Convolution, network.get_submodule(pair.conv))
        norm = cast(BatchNorm, network.get_submodule(pair.norm))
        smaller = min(conv.in_channels, conv.out_channels)
        hidden = conv.groups * max(1, round(settings.ratio * smaller / conv.groups))
        replace_module(network, pair.conv, DeepConv(conv, (pair.norm, norm), hidden, (seed, pair.conv)))
        done.append(Deepened(pair.conv, hidden))
    faded = copied(network)
    fade_layers(faded, 1.0)
    check_same_outputs(faded, contract_layers(faded), example)
    return network, done, left


def _chosen(model: nn.Module, pairs: list[Pair], settings: DepthSettings) -> tuple[list[Pair], list[Left]]:
    names = [pair.conv for pair in pairs]
    for pattern in settings.layers:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ConfigError(
                f"layers {pattern!r} matches no convolution of '{type(model).__name__}' with a batch norm behind it.",
                got=pattern,
                allowed=f"patterns of {', '.join(names[:6])}, ..." if names else None,
            )
    chosen, left, count = list[Pair](), list[Left](), 0
    for pair in pairs:
        conv = cast(Convolution, model.get_submodule(pair.conv))
        if settings.layers:
            reason = "" if any(fnmatchcase(pair.conv, p) for p in settings.layers) else "not named in layers"
        else:
            reason = _why_not_usual(conv)
        if not reason:
            count += 1
            reason = (
                "" if (count - 1) % settings.every == 0 else f"one of {settings.every} is deepened (every)"
            )
        if reason:
            left.append(Left(pair.conv, reason))
        else:
            chosen.append(pair)
    return chosen, left


def _why_not_usual(conv: Convolution) -> str:
    if math.prod(conv.kernel_size) > 1:
        return "its kernel is not 1x1; name it in layers"
    if conv.groups > 1:
        return "it has groups; name it in layers"
    return "it reduces the channels; name it in layers" if conv.out_channels < conv.in_channels else ""


def fade_layers(network: nn.Module, slope: float) -> None:
    """Set the slope of all fading non-linearities of a network."""
    for module in network.modules():
        if isinstance(module, Fading):
            module.slope.fill_(slope)


def contract_layers(network: nn.Module) -> nn.Module:
    """Return a copy of a network in which deepened convolutions are one again: the caller's class, keys and shapes.

    Raises:
        ModelError: The non-linearities have not faded.
    """
    plain = copied(network)
    for name, module in list(plain.named_modules()):
        if isinstance(module, DeepConv):
            follower = cast(BatchNorm, plain.get_submodule(module.follower))
            replace_module(plain, name, module.contracted(follower))
    return plain


class DeepNetwork(nn.Module):
    """A network with deeper layers; :func:`netaug.deepen` makes it.

    Attributes:
        network: The caller's model (a copy) with deeper layers.
        deepened: Which layers these are.
        left: What is as it was, with the reason.
    """

    def __init__(
        self, network: nn.Module, deepened: list[Deepened], left: list[Left], settings: DepthSettings
    ) -> None:
        super().__init__()
        self.network = network
        self.deepened, self.left = tuple(deepened), tuple(left)
        self._settings = settings
        self.training = network.training

    def forward(self, *inputs: Any) -> Any:
        """Run the network."""
        return self.network(*inputs)

    def fade(self, progress: float) -> None:
        """Set the non-linearities to what they are at this progress of the training, in [0, 1]."""
        fade_layers(self.network, self._settings.slope(progress))

    def contract(self) -> nn.Module:
        """Return the plain network: the caller's class, keys and shapes, with outputs equal in evaluation mode.

        Raises:
            ModelError: The non-linearities have not faded.
        """
        return contract_layers(self.network)


def deepen(
    model: nn.Module,
    example_input: Tensor | tuple[Tensor, ...],
    ratio: float = 6.0,
    *,
    every: int = 2,
    layers: tuple[str, ...] = (),
    start: float = 0.4,
    until: float = 0.6,
    seed: int = 0,
) -> DeepNetwork:
    """Make convolutions two with a non-linearity between, for the training; the model is left untouched.

    Args:
        model: Any network whose operations ``torch.export`` can record.
        example_input: A batch as in training, or a tuple for several inputs.
        ratio: Channels between the two, as a multiple of the smaller of the convolution's own two.
        every: Deepens one of this many convolutions that qualify.
        layers: Glob patterns of those that qualify; none are the 1x1 ones that do not reduce channels.
        start: Progress at which the non-linearities begin to fade.
        until: Progress from which on they are the identity.
        seed: Keys the first weights.

    Returns:
        The network to train; call its ``fade(progress)`` in each step, and ``contract()`` at the end.

    Raises:
        ConfigError: A setting is out of range, or a pattern matches nothing.
        ModelError: The model does not run on the example.
        UnsupportedModelError: The model cannot be recorded, or nothing in it can be deepened.

    Source:
        arXiv:2306.13586.
    """
    if not ratio > 0:
        raise ConfigError("ratio is out of range.", got=ratio, allowed="a number in (0, 64]")
    settings = DepthSettings(ratio=ratio, every=every, layers=layers, start=start, until=until)
    example = example_input if isinstance(example_input, tuple) else (example_input,)
    return DeepNetwork(*add_depth(model, example, settings, seed), settings)
