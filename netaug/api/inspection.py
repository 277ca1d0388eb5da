"""`netaug.inspect`: what of a network can widen, and why the rest cannot."""

from __future__ import annotations

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
    if isinstance(model, str):
        name, side = model, default_image_size(model)
        example = torch.randn(2, 3, side, side) if example is None else example
        model = create_model(name, num_classes=num_classes, in_chans=example.shape[1])
        check_fits(model, name, example, num_classes, kind_of_network(name).output_form())
    if example is None:
        raise TypeError("inspect() needs an example input for a network that is given as a module")
    return describe(model, example, AugmentConfig() if config is None else config)
