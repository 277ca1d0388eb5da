"""The classifier's dropout as one setting, whatever a model's factory calls it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from netaug.config import ModelConfig
from netaug.config.trust import LOADING_OPTIONS, backbone_of
from netaug.core.errors import ModelError
from netaug.models.factory import Factory, load
from netaug.models.registry import factory_of

NAMES = ("dropout", "drop_rate", "dropout_rate", "drop")


def factory_options(config: ModelConfig) -> dict[str, object]:
    """Return all keyword arguments of the model's factory but the number of classes and channels."""
    return with_dropout(config.name, config.options, config.dropout)


def card_options(config: ModelConfig) -> dict[str, object]:
    """Return the options that a weights file keeps: without those for timm's pretrained weights, which it replaces."""
    options = factory_options(config)
    if "timm:" not in config.name:
        return options
    return {key: value for key, value in options.items() if key == "pretrained" or key not in LOADING_OPTIONS}


def with_dropout(name: str, options: Mapping[str, object], dropout: float | None) -> dict[str, object]:
    """Return the options for a model's factory with the classifier's dropout among them.

    Args:
        name: As for :func:`netaug.create_model`.
        options: Keyword arguments of the factory; one for the dropout among them is replaced.
        dropout: Probability in [0, 1) of dropping a feature before the classifier; None leaves the options alone.

    Raises:
        ModelError: The factory has no argument for it.
    """
    return dict(options) if dropout is None else {**options, _argument(name): dropout}


def _argument(name: str) -> str:
    """Return the factory's name for it: timm's models all say ``drop_rate``."""
    if name.startswith("timm:"):
        return "drop_rate"
    is_users = ":" in name and backbone_of(name) is None
    factory: Factory = load(name) if is_users else factory_of(name)
    known = inspect.signature(factory).parameters
    argument_name = next((argument for argument in NAMES if argument in known), None)
    if argument_name is None:
        raise ModelError(
            f"model.dropout has no effect on {name!r}: its factory has no argument for it.",
            got=", ".join(known),
            allowed=f"a factory that takes one of {', '.join(NAMES)}",
            fix="leave model.dropout out, or give the factory's own option with --model.options.NAME",
        )
    return argument_name
