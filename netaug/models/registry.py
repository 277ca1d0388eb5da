"""Every model by its name. A new architecture is one file with :func:`register`, and one import line."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from torch import nn

from netaug.config.trust import DETECTORS, backbone_of
from netaug.core.errors import ModelError
from netaug.core.suggest import did_you_mean, nearest
from netaug.models.factory import Factory, call, load, working_directory_importable
from netaug.models.zoo import FALLBACK_IMAGE_SIZE, create_timm_model, is_timm_model, timm_image_size

DETECTOR = "yolov3:"
"""In front of a backbone's name it makes the name of a detector."""

F = TypeVar("F", bound=Factory)


@dataclass(frozen=True)
class _Entry:
    factory: Factory
    about: str
    image_size: int
    any_width: bool


_ENTRIES: dict[str, _Entry] = {}
_DETECTORS: dict[str, _Entry] = {}


def register(name: str, *, about: str, image_size: int, any_width: bool = False) -> Callable[[F], F]:
    """Make a factory known by a name; used as a decorator.

    Args:
        name: What users write. With ``any_width`` it ends in ``-NUMBER``, and any other positive number may
            stand there; the factory gets it as ``width=``.
        about: One line for lists of models.
        image_size: Default height = width of the input in pixels.
        any_width: Whether the name stands for a family of widths.
    """

    def add(factory: F) -> F:
        assert name not in _ENTRIES, f"two models are named {name!r}"
        _ENTRIES[name] = _Entry(factory, about, image_size, any_width)
        return factory

    return add


def register_detector(name: str, *, about: str, image_size: int) -> Callable[[F], F]:
    """Make a factory of detectors known; used as a decorator.

    Args:
        name: What users write before ``:BACKBONE``; the factory gets what follows as ``backbone=``.
        about: One line for lists of models.
        image_size: Default height = width of the input in pixels.
    """

    def add(factory: F) -> F:
        assert name not in _DETECTORS, f"two detectors are named {name!r}"
        assert name in DETECTORS, f"{name!r} is missing in netaug.config.trust.DETECTORS"
        _DETECTORS[name] = _Entry(factory, about, image_size, any_width=False)
        return factory

    return add


def list_models() -> list[str]:
    """Names of the models written here, sorted; a family of widths is listed once, by one of its members."""
    return sorted(_ENTRIES)


def describe_models() -> dict[str, str]:
    """Return one line about each name of :func:`list_models`."""
    return {
        name: entry.about + (", by any number in the name" if entry.any_width else "")
        for name, entry in sorted(_ENTRIES.items())
    }


def describe_detectors() -> dict[str, str]:
    """Return one line about each detector, by its name with ``:BACKBONE`` behind it."""
    return {f"{name}:BACKBONE": entry.about for name, entry in sorted(_DETECTORS.items())}


def create_model(name: str, /, *, num_classes: int = 1000, in_chans: int = 3, **options: object) -> nn.Module:
    """Build a network with fresh weights, drawn from torch's global CPU generator.

    Args:
        name: A name of :func:`list_models`; ``timm:NAME``; ``yolov3:BACKBONE``, a detector on one of those; or
            ``package.module:function``, a factory of the user's that is called with ``num_classes``, ``in_chans`` and
            the options.
        num_classes: Number of logits, of a detector of the classes, >= 1.
        in_chans: Image channels, >= 1.
        **options: Further keyword arguments of the model's factory. For timm, ``pretrained=True`` loads
            weights.

    Returns:
        A module from images ``[N, in_chans, H, W]`` to logits ``[N, num_classes]``, in training mode; a detector's
        maps are described in :mod:`netaug.models.yolov3`.

    Raises:
        ModelError: The name, a number or an option is wrong, or the factory fails.
    """
    for key, value in (("num_classes", num_classes), ("in_chans", in_chans)):
        if type(value) is not int or value < 1:
            raise ModelError(
                f"{key} of model {name!r} cannot be used.", got=repr(value), allowed="a whole number >= 1"
            )
    if name.startswith("timm:"):
        timm_name = name.removeprefix("timm:")
        return create_timm_model(timm_name, num_classes=num_classes, in_chans=in_chans, options=options)
    fixed: dict[str, object] = {"num_classes": num_classes, "in_chans": in_chans}
    backbone = backbone_of(name)
    if backbone is not None:
        return call(factory_of(name), name, fixed | {"backbone": backbone}, options)
    if ":" in name:
        with working_directory_importable():  # a factory may import its own helpers when it is called
            return call(load(name), name, fixed, options)
    entry, width = _find(name)
    return call(entry.factory, name, fixed | width, options)


def default_image_size(name: str, /) -> int:
    """Return height = width in pixels that the model is meant for; 224 for a user's factory, which does not say.

    Raises:
        ModelError: There is no such model.
    """
    if name.startswith("timm:"):
        return timm_image_size(name.removeprefix("timm:"))
    if backbone_of(name) is not None:
        return _DETECTORS[name.partition(":")[0]].image_size
    if ":" in name:
        load(name)
        return FALLBACK_IMAGE_SIZE
    return _find(name)[0].image_size


def check_name(name: str, /) -> None:
    """Refuse the name of a model that is not written here; timm's and users' own are looked for when they are made.

    Raises:
        ModelError: There is no such model.
    """
    if ":" not in name:
        _find(name)


def factory_of(name: str, /) -> Factory:
    """Return the function that builds a model written here.

    Raises:
        ModelError: There is no such model.
    """
    return (
        _DETECTORS[name.partition(":")[0]].factory
        if backbone_of(name) is not None
        else _find(name)[0].factory
    )


def _find(name: str) -> tuple[_Entry, dict[str, object]]:
    """Return the entry of a name, and the width in it as a keyword argument."""
    for known, entry in _ENTRIES.items():
        if not entry.any_width:
            if name == known:
                return entry, {}
            continue
        family, _, _ = known.rpartition("-")
        match = re.fullmatch(re.escape(family) + r"-(\d*\.?\d+)", name, flags=re.ASCII)
        if match:
            width = float(match[1])
            if not 0 < width < float("inf"):
                raise ModelError(
                    f"the width in {name!r} is not positive.", got=match[1], allowed="> 0, e.g. 0.35"
                )
            return entry, {"width": width}
    raise _unknown(name)


def _unknown(name: str) -> ModelError:
    fix = did_you_mean(map(repr, nearest(name, _ENTRIES, 3)))
    if is_timm_model(name):
        fix = f"it is a model of timm: write 'timm:{name}'"
    elif name.endswith(".py"):
        fix = f"name the class or function in the file: {name}:NAME"
    names = [f"{known} (any width)" if entry.any_width else known for known, entry in _ENTRIES.items()]
    return ModelError(
        f"there is no model named {name!r}.",
        got=repr(name),
        allowed=", ".join([*sorted(names), *describe_detectors(), "timm:NAME", "package.module:function"]),
        fix=fix,
    )


def is_detector(name: str) -> bool:
    """Whether the network finds objects instead of naming images."""
    return name.startswith(DETECTOR)
