"""What a regularizer of layers or of images is: a name, which is its setting, and what it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from netaug.config.regularize import RegularizeConfig
from netaug.regularize.graph_recorder import Watched
from netaug.regularize.places import Found

TensorFunction = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LayerRegularizer:
    """Drops parts of what modules return, while the network trains.

    Args:
        name: Its setting in `regularize`, which holds its probability in [0, 1).
        make_drop: Takes the settings and a module's own probability; returns the function that drops parts of a
            tensor ``[N, ...]`` by draws from torch's generator, and scales up what stays.
        default_places: Takes the calls that the network makes; returns the modules where it acts.
        needs: What a network must have to have such a place, for messages.
        follows_places: Whether `regularize.places` may name other modules for it.
        before_module: Whether it acts on the input of a module of ``default_places`` instead of its output.
        rising: Whether the l-th of L places has ``l / L`` of the probability, instead of all of it.
    """

    name: str
    make_drop: Callable[[RegularizeConfig, float], TensorFunction]
    default_places: Callable[[Watched], Found]
    needs: str
    follows_places: bool = True
    before_module: bool = False
    rising: bool = False


@dataclass(frozen=True)
class ImageRegularizer:
    """Changes single training images.

    Args:
        name: Its setting in `regularize`; it acts where the setting differs from its default.
        make: Takes the settings and the mean color (uint8 value per channel); returns the function that changes an
            image, uint8 ``[C, H, W]``, by draws from torch's generator.
    """

    name: str
    make: Callable[[RegularizeConfig, list[int]], TensorFunction]
