"""Resolves the names of optimizers: what each of them takes, and which cannot be used here and why."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch

from netaug.core.errors import ConfigError
from netaug.core.suggest import did_you_mean, nearest

COMMON = ("sgd", "momentum", "adamw", "adam", "nadamw", "lamb", "lars", "lion", "rmsprop", "rmsproptf")
"""Named in messages; timm has some eighty more."""

_OWN = ("lr", "weight_decay", "momentum")
"""Arguments with a setting of their own."""

_UNUSABLE = {
    "adahessian": "it differentiates twice, which the added gradients of two passes do not allow",
    "kron": "it draws random numbers that are not saved: a resumed run would get other weights",
}

_UNSORTABLE = {
    "adafactor": "it keeps sums over rows and columns of a weight, not one value per element",
    "muon": "it treats wide and narrow weights by different rules, and channels move between them",
}


def optimizer_class(name: str) -> type[torch.optim.Optimizer]:
    """Return the class that this name stands for.

    Raises:
        ConfigError: There is no such name, it is one that training cannot use, or its package is missing.
    """
    if (
        name == "sgd"
    ):  # without timm, which takes longer to import than a wrong setting should take to be named
        return torch.optim.SGD
    from timm.optim import get_optimizer_class, list_optimizers

    names = list(list_optimizers())
    if name not in names:
        close = nearest(name, names, count=3)
        raise ConfigError(
            f"there is no optimizer {name!r}.",
            got=f"train.optimizer {name}",
            allowed=f"{', '.join(COMMON)}, or another name of timm.optim.list_optimizers()",
            fix=did_you_mean(close),
        )
    reason = next((why for start, why in _UNUSABLE.items() if name.startswith(start)), None)
    if reason is not None:
        raise ConfigError(
            f"the optimizer {name!r} cannot be used.", got=reason, fix=f"choose one of {', '.join(COMMON)}"
        )
    try:
        kind: type[torch.optim.Optimizer] = get_optimizer_class(name, bind_defaults=False)
    except (ImportError, AssertionError) as error:
        raise ConfigError(
            f"the optimizer {name!r} cannot be used on this machine.",
            got=str(error),
            fix=f"install its package, on a machine with CUDA; or choose one of {', '.join(COMMON)}",
        ) from error
    return kind


def check_sorting(name: str) -> None:
    """Refuse an optimizer whose states cannot follow channels that are sorted; by name, before any time is spent.

    Raises:
        ConfigError: Its states have another shape than the weights.
    """
    for part, reason in _UNSORTABLE.items():
        if part in name:
            raise ConfigError(
                f"channels cannot be sorted with the optimizer {name!r}.",
                got=reason,
                fix="--netaug.sort false, or another optimizer such as sgd or adamw",
            )


def used_options(name: str, kind: type[torch.optim.Optimizer], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options as arguments of the class: lists as tuples, and numbers that YAML reads as text, such as 1e-6.

    Raises:
        ConfigError: The class has no such argument, or it has a setting of its own.
    """
    known = [word for word in inspect.signature(kind).parameters if word not in ("params", *_OWN)]
    for option in options:
        if option in _OWN:
            raise ConfigError(
                f"train.optimizer_options.{option} has a setting of its own.", fix=f"give train.{option}"
            )
        if option not in known:
            close = nearest(option, known, count=1)
            raise ConfigError(
                f"the optimizer {name!r} has no option {option!r}.",
                got=f"train.optimizer_options.{option}",
                allowed=", ".join(known),
                fix=did_you_mean(map(repr, close)),
            )
    return {option: _value(value) for option, value in options.items()}


def _value(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_value(member) for member in value)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
