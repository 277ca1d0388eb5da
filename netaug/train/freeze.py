"""Freezes parts of a network, as in fine-tuning only the classifier.

Width groups with a frozen member stay at base width: channels added to a layer that does not learn would stay noise.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

from torch import nn

from netaug.core.errors import ConfigError
from netaug.core.suggest import did_you_mean, nearest
from netaug.elastic import Supernet

BACKBONE = "backbone"
"""The pattern that means all parameters but those of the classifier, unless a part of the network has this name."""
_SHOWN = 12


def freeze(model: nn.Module, patterns: Sequence[str], head: Collection[str]) -> None:
    """Stop training the parameters that a pattern matches.

    Args:
        model: Changed in place: ``requires_grad`` of these parameters becomes false.
        patterns: Globs of names of modules or parameters (``*`` also matches dots), or ``backbone``, which in a
            network without a part of this name are all but those of the classifier.
        head: Names of the parameters of the classifier, which ``backbone`` leaves out.

    Raises:
        ConfigError: A pattern matches nothing, or nothing is left to train.
    """
    parameters, children = dict(model.named_parameters()), dict(model.named_children())
    for pattern in patterns:
        if pattern == BACKBONE and head and BACKBONE not in children:
            matched = [name for name in parameters if name not in head]
        else:
            matched = [name for name in parameters if _inside(name, pattern)]
        if not matched:
            raise _no_match(model, pattern)
        for name in matched:
            parameters[name].requires_grad_(False)
    if patterns and not any(parameter.requires_grad for parameter in parameters.values()):
        raise ConfigError(
            "train.freeze leaves nothing to train.",
            got=f"{', '.join(patterns)}: all {len(parameters)} parameters are frozen",
            fix="--train.freeze backbone trains the classifier alone",
        )


def keep_statistics(model: nn.Module) -> None:
    """Put norms in frozen parts into evaluation mode: they use their statistics and no longer change them.

    A norm without parameters of its own is frozen if the nearest module around it that has parameters is.
    """
    modules = dict(model.named_modules())
    for name, module in modules.items():
        if getattr(module, "running_mean", None) is None:
            continue
        around, parameters = name, list(module.parameters())
        while not parameters and around:
            around = around.rpartition(".")[0]
            parameters = list(modules[around].parameters())
        if not any(parameter.requires_grad for parameter in parameters):
            module.eval()


def frozen_groups(supernet: Supernet) -> tuple[str, ...]:
    """Name the width groups that would give a frozen layer further channels, which would stay noise."""
    trained = {name for name, parameter in supernet.base.named_parameters() if parameter.requires_grad}
    return tuple(
        group.name
        for group in supernet.groups.values()
        if group.most > group.base
        and any(member.partition("[")[0] not in trained for member in group.members)
    )


def _inside(name: str, pattern: str) -> bool:
    """Return whether the pattern matches the parameter or a module that it is in."""
    parts = name.split(".")
    return any(fnmatchcase(".".join(parts[:count]), pattern) for count in range(1, len(parts) + 1))


def _no_match(model: nn.Module, pattern: str) -> ConfigError:
    if pattern == BACKBONE:
        return ConfigError(
            f"train.freeze backbone: {type(model).__name__} has no classifier that could be told from the rest.",
            allowed="glob patterns of its modules or parameters",
        )
    names = [name for name, _ in model.named_modules() if name] + [n for n, _ in model.named_parameters()]
    close = nearest(pattern, names, count=1)
    tops = list(dict(model.named_children())) or names
    return ConfigError(
        "train.freeze matches nothing.",
        got=repr(pattern),
        allowed=f"{BACKBONE}, or glob patterns of modules or parameters: {', '.join(tops[:_SHOWN])}, ...",
        fix=did_you_mean(map(repr, close)) or "`netaug inspect` lists modules",
    )
