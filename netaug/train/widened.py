"""Networks with more channels everywhere (`model.widen`)."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from netaug.core.errors import ConfigError, UnsupportedModelError
from netaug.elastic import AugmentConfig, Supernet, augment
from netaug.weights.metadata import ModelCard
from netaug.weights.resized import size_changes


def widened(model: nn.Module, example_NCHW: Tensor, factor: float, name: str) -> nn.Module:
    """Return a plain network like this one with ``factor`` times the channels in all width groups that can widen.

    Args:
        model: Any network; it stays as it is.
        example_NCHW: A batch in its input format.
        factor: Above 1. Channels are rounded up to whole groups, as in NetAug.
        name: Of the network, for messages.

    Returns:
        A network of the same class. Its first weights are those of the model in the first channels, the others are
        drawn as NetAug draws added ones.

    Raises:
        ConfigError: Nothing in the network can widen.
    """
    supernet = _supernet(model, example_NCHW, factor, name)
    return supernet.extract(supernet.plan.widest)


def _supernet(model: nn.Module, example_NCHW: Tensor, factor: float, name: str) -> Supernet:
    try:
        return augment(model, example_NCHW, AugmentConfig(width=(1.0, factor), expand=(1.0,)))
    except UnsupportedModelError as error:
        raise ConfigError(
            f"the network {name!r} cannot be widened.",
            got=f"model.widen {factor:g}; {error.where}",
            fix=f"`netaug inspect {name}` says why; leave model.widen out, or take another network as the teacher",
        ) from error


def card_of_widened(
    card: ModelCard, base: nn.Module, network: nn.Module, example_NCHW: Tensor, factor: float
) -> ModelCard:
    """Return the description of a widened network, from which it can be built again.

    Args:
        card: As of the base network.
        base: What the factory builds.
        network: The widened one.
        example_NCHW: A batch in their input format.
        factor: As in :func:`widened`.
    """
    supernet = _supernet(base, example_NCHW, factor, card.name)
    return replace(card, widths=supernet.plan.widest, sizes=size_changes(base, network))
