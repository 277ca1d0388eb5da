"""`netaug.inspect`: what of a network can widen, and why the rest cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from netaug.elastic.inspect import Inspection, describe
from netaug.elastic.settings import AugmentConfig
from netaug.models import create_model, default_image_size
from netaug.models.trial import check_fits
from netaug.tasks.registry import kind_of_network


def inspect(
    model: nn.Module | str,
    example: Tensor | None = None,
    *,
    num_classes: int = 1000,
    config: AugmentConfig | None = None,
) -> Inspection:
    """Find the width groups of a network without training it.

    Args:
        model: Any network, or a name as for :func:`netaug.create_model`.
        example: Input with the images first, ``[N, C, H, W]``; None, with a name, is two images of noise in the
            network's usual size.
        num_classes: Number of logits of a network given by name.
        config: Settings of Network Augmentation; None is the default.

    Returns:
        Groups with members, role, widths and reasons, and what the network and its wider ones cost; ``print`` shows it.

    Raises:
        ModelError: The network does not run on the example, or nothing of it can widen.
    """
    chosen = AugmentConfig() if config is None else config
    if isinstance(model, str):
        side = default_image_size(model)
        shape = (2, 3, side, side) if example is None else tuple(example.shape)
        return build_and_inspect(model, shape, num_classes=num_classes, config=chosen, example=example)[2]
    if example is None:
        raise TypeError("inspect() needs an example input for a network that is given as a module")
    return describe(model, example, chosen)


def build_and_inspect(
    name: str,
    shape: Sequence[int],
    *,
    num_classes: int,
    config: AugmentConfig,
    options: Mapping[str, Any] | None = None,
    example: Tensor | None = None,
) -> tuple[nn.Module, Tensor, Inspection]:
    """Build a network by its name and find its width groups.

    Args:
        name: As for :func:`netaug.create_model`.
        shape: Of its input, ``[N, C, H, W]``.
        num_classes: Number of logits.
        config: Settings of Network Augmentation.
        options: Keyword arguments of its factory.
        example: Input of this shape; None draws noise.

    Returns:
        The network, the example input, and the inspection.

    Raises:
        ModelError: The network does not run on such images, or nothing of it can widen.
    """
    network = create_model(name, num_classes=num_classes, in_chans=shape[1], **(options or {}))
    drawn = torch.randn(*shape) if example is None else example
    check_fits(network, name, drawn, num_classes, kind_of_network(name).output_form())
    return network, drawn, describe(network, drawn, config)
