"""Make a checked :class:`RunConfig` from a recipe, the one that it is based on, and overrides; write it as YAML.

What the paper's recipes have in common is in ``_base.yaml`` files. A preset is settings under one name; settings that
are named in the same place, a recipe or the command line, win over it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import yaml

from netaug.config import RunConfig, TrainConfig
from netaug.config.provenance import check_provenance
from netaug.config.recipes import find_recipe, recipe_text
from netaug.config.settings import GROUPS, build, open_setting, own_first, settings, typed, unknown_key
from netaug.core.errors import ConfigError
from netaug.core.yaml_files import parse_yaml

_log = logging.getLogger("netaug")


def load_config(
    recipe: str, overrides: Sequence[str] = (), *, trusted: Collection[str] = (), builds: bool = True
) -> RunConfig:
    """Read a recipe and apply overrides to it.

    Args:
        recipe: A packaged name such as ``demo/digits``, or the path of a YAML file (a run's ``config.yaml`` is one).
        overrides: Command-line words: ``--train.lr 0.1`` as two, or ``--train.lr=0.1`` as one. Later ones win.
        trusted: Factories ``package.module:function`` that the recipe may name; those in ``overrides`` are trusted.
        builds: Whether the network of the settings will be built. Without, any may be named: nothing is imported.

    Returns:
        The run configuration, checked; keys not named anywhere have their defaults.

    Raises:
        ConfigError: Unknown recipe or key (with the nearest valid name), wrong type, value out of range, no YAML.
        UntrustedNetworkError: The recipe names a factory that is neither in ``overrides`` nor trusted.
        ModelError: The recipe has an option that makes timm load a file or download.
    """
    values, given = recipe_values(recipe), given_settings({}, overrides)
    config = build(_with_warmup_inside(values, given, override(values, overrides)))
    if builds:
        check_provenance(config, given, trusted)
    return config


def default_config(overrides: Sequence[str] = ()) -> RunConfig:
    """Return the configuration without a recipe: defaults and overrides, see :func:`load_config`."""
    return build(override({}, overrides))


def recipe_values(recipe: str, inside: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the settings that a recipe names, `group.key` to typed value, on top of those of its ``base``.

    Args:
        recipe: As for :func:`load_config`. A ``base:`` at its top names another one, whose settings it starts from:
            a packaged name, or a path relative to the file.
        inside: Files of the recipes that this one is the base of.

    Raises:
        ConfigError: As :func:`load_config`; or recipes are each other's base.
    """
    _, path = find_recipe(recipe)
    where = str(path)
    if where in inside:
        raise ConfigError(
            f"the recipe {recipe!r} is its own base.",
            got=" -> ".join((*inside[inside.index(where) :], where)),
        )
    tree = _read_yaml(recipe_text(recipe), where)
    base = tree.pop(BASE, None)
    if base is None:
        return _flatten(tree, where)
    if not isinstance(base, str):
        raise ConfigError(
            f"{BASE!r} is the name of a recipe ({where}).", got=base, allowed="a name or a path"
        )
    beside = path.parent / base
    start = recipe_values(str(beside) if beside.is_file() else base, (*inside, where))
    return start | _flatten(tree, where)


BASE = "base"
"""The key of a recipe that names the one it starts from."""


def to_mapping(config: RunConfig) -> dict[str, Any]:
    """Return the configuration as nested plain values: what ``config.yaml`` holds and JSON or YAML can write."""
    return {group: section_to_mapping(getattr(config, group)) for group in GROUPS}


def section_to_mapping(section: Any) -> dict[str, Any]:
    """Return one section of the configuration, such as its ``DataConfig``, as plain values by key."""
    return {field.name: _plain(getattr(section, field.name)) for field in own_first(type(section))}


def flat_mapping(config: RunConfig) -> dict[str, Any]:
    """Return the configuration as plain values by ``group.key``."""
    groups = to_mapping(config).items()
    return {f"{group}.{name}": value for group, members in groups for name, value in members.items()}


def with_values(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """Return the configuration with other values by ``group.key``, checked."""
    groups: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        group, _, name = key.partition(".")
        groups.setdefault(group, {})[name] = value
    return replace(
        config, **{group: replace(getattr(config, group), **members) for group, members in groups.items()}
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    return list(value) if isinstance(value, tuple) else value


def to_yaml(config: RunConfig) -> str:
    """Return the configuration as YAML; :func:`load_config` reads it back to an equal one."""
    return yaml.safe_dump(to_mapping(config), sort_keys=False)


def _read_yaml(text: str, where: str) -> dict[str, Any]:
    tree = parse_yaml(text, where)
    tree = {} if tree is None else tree
    if not isinstance(tree, dict):
        raise ConfigError(f"{where} does not hold settings.", got=type(tree).__name__, allowed=_SHAPE)
    return tree


_SHAPE = f"a mapping with the groups {', '.join(GROUPS)}"


def _flatten(tree: dict[str, Any], where: str) -> dict[str, Any]:
    """Flatten a nested recipe to `group.key` and typed value."""
    values = {}
    for group, members in tree.items():
        if group not in GROUPS:
            raise unknown_key(str(group), where)
        if members is not None and not isinstance(members, dict):
            raise ConfigError(
                f"{group!r} is a group of settings ({where}).", got=members, allowed="a mapping"
            )
        for name, value in (members or {}).items():
            key = f"{group}.{name}"
            if key not in settings():
                raise unknown_key(key, where)
            values[key] = typed(key, value, where)
    return with_preset(values)


def override(values: Mapping[str, Any], arguments: Sequence[str]) -> dict[str, Any]:
    """Return settings by `group.key`, overridden by those of command-line words."""
    kept = _of_the_same(values, arguments)
    return {**kept, **with_preset(given_settings(kept, arguments))}


_OF_NETWORK = (
    "model.options",
    "model.num_classes",
    "model.in_chans",
    "model.dropout",
    "netaug.groups",
    "netaug.keep",
)
_OF_DATASET = (
    *("data.root", "data.train_split", "data.val_split", "data.image_column", "data.label_column"),
    *("data.class_names", "data.classes", "data.mean", "data.std"),
)


def _of_the_same(values: Mapping[str, Any], arguments: Sequence[str]) -> dict[str, Any]:
    """Return a recipe's settings without those of its network or dataset, where the arguments name another one."""
    named = {key: text for key, text in pairs(arguments) if key in ("model.name", "data.name")}
    dropped: list[str] = []
    for key, of_it in (("model.name", _OF_NETWORK), ("data.name", _OF_DATASET)):
        if key in named and key in values and named[key] != values[key]:
            dropped += of_it
    return {key: value for key, value in values.items() if key not in dropped}


def _with_warmup_inside(
    values: Mapping[str, Any], given: Mapping[str, Any], merged: dict[str, Any]
) -> dict[str, Any]:
    """Shrink a recipe's warm-up with epochs that leave it no room.

    Args:
        values: The recipe's settings.
        given: Those that the user gave.
        merged: Both.
    """
    epochs, warmup = merged.get("train.epochs"), merged.get("train.warmup_epochs", TrainConfig.warmup_epochs)
    if "train.warmup_epochs" in given or "train.epochs" not in given or warmup <= epochs:
        return merged
    shorter = round(warmup * epochs / max(values.get("train.epochs", TrainConfig.epochs), epochs), 4)
    if shorter != warmup:
        _log.warning("train.warmup_epochs is %g in place of %g, for %d epochs.", shorter, warmup, epochs)
    return {**merged, "train.warmup_epochs": shorter}


def given_settings(values: Mapping[str, Any], arguments: Sequence[str]) -> dict[str, Any]:
    """Return the settings of command-line words alone, typed; single options are put among those of ``values``."""
    given: dict[str, Any] = {}
    for key, text in pairs(arguments):
        if (mapping := open_setting(key)) is not None:
            options = given.get(mapping, values.get(mapping, {}))
            given[mapping] = {**options, key.removeprefix(f"{mapping}."): parse_yaml(text, f"--{key}")}
        elif key in settings():
            given[key] = typed(key, text, "command line")
        else:
            raise unknown_key(key, "command line")
    return given


def pairs(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """Split ``--key value`` and ``--key=value`` words into keys and values.

    Raises:
        ConfigError: A word is not an option, or its value is missing.
    """
    options, rest = [], list(arguments)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--") and "=" not in word:
            raise ConfigError(f"{word!r} is not a setting.", got=word, allowed="--group.key value")
        key, equals, value = word.removeprefix("--").partition("=")
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise ConfigError(f"--{key} needs a value.", got="none", allowed=f"--{key} VALUE")
            value = rest.pop(0)
        options.append((key, value))
    return options


KEY = "netaug.preset"
_PAPER: dict[str, Any] = {
    "netaug.max_macs_ratio": None,
    "netaug.alpha": 1.0,
    "netaug.draws": 1,
    "netaug.base_pass": True,
    "netaug.batch_share": 1.0,
    "netaug.resolution": 1.0,
    "netaug.augment_every": 1,
    "netaug.start": 0.0,
    "netaug.expand_until": 1.0,
    "netaug.sort": True,
    "netaug.sort_gates": True,
    "distill.in_place": 0.0,
}
PRESETS: dict[str, dict[str, Any]] = {
    "paper": _PAPER,
    "fast": {**_PAPER, "netaug.start": 0.5, "distill.in_place": 1.0},
    "best": {"netaug.enabled": False, "starts.count": 8},
}
"""Settings by preset. Multipliers and `width_until` are the network's own: recipes have them."""


def with_preset(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings named in one place over those of the preset that is named there, if one is."""
    return {**PRESETS.get(values.get(KEY, ""), {}), **values}
