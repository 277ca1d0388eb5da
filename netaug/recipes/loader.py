"""From a recipe and overrides to a checked :class:`RunConfig`, and back to YAML."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import yaml

from netaug.config import RunConfig
from netaug.errors import ConfigError
from netaug.recipes import find_recipe, recipe_text
from netaug.recipes.settings import GROUPS, build, open_setting, settings, typed, unknown_key


def load_config(recipe: str, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a recipe and apply overrides to it.

    Args:
        recipe: A packaged name such as ``demo/digits``, or the path of a YAML file (a run's ``config.yaml`` is one).
        overrides: Command-line words: ``--train.lr 0.1`` as two, or ``--train.lr=0.1`` as one. Later ones win.

    Returns:
        The run configuration, checked; keys not named anywhere have their defaults.

    Raises:
        ConfigError: Unknown recipe or key (with the nearest valid name), wrong type, value out of range, no YAML.
    """
    _, path = find_recipe(recipe)
    values = _flatten(_read_yaml(recipe_text(recipe), str(path)), str(path))
    return build(_override(values, overrides))


def default_config(overrides: Sequence[str] = ()) -> RunConfig:
    """The configuration without a recipe: defaults and overrides, see :func:`load_config`."""
    return build(_override({}, overrides))


def to_mapping(config: RunConfig) -> dict[str, Any]:
    """The configuration as nested plain values: what ``config.yaml`` holds and JSON or YAML can write."""
    return {
        group: {name: _plain(value) for name, value in dataclasses.asdict(getattr(config, group)).items()}
        for group in GROUPS
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    return list(value) if isinstance(value, tuple) else value


def to_yaml(config: RunConfig) -> str:
    """The configuration as YAML; :func:`load_config` reads it back to an equal one."""
    return yaml.safe_dump(to_mapping(config), sort_keys=False)


def _read_yaml(text: str, where: str) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where} is not YAML.", got=str(error).replace("\n", "; ")) from error
    tree = {} if tree is None else tree
    if not isinstance(tree, dict):
        raise ConfigError(f"{where} does not hold settings.", got=type(tree).__name__, allowed=_SHAPE)
    return tree


_SHAPE = f"a mapping with the groups {', '.join(GROUPS)}"


def _flatten(tree: dict[str, Any], where: str) -> dict[str, Any]:
    """Nested recipe to `group.key` and typed value."""
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
    return values


def _override(values: dict[str, Any], words: Sequence[str]) -> dict[str, Any]:
    values = dict(values)
    for key, text in pairs(words):
        if (mapping := open_setting(key)) is not None:
            options = values.get(mapping, {})
            values[mapping] = {**options, key.removeprefix(f"{mapping}."): yaml.safe_load(text)}
        elif key in settings():
            values[key] = typed(key, text, "command line")
        else:
            raise unknown_key(key, "command line")
    return values


def pairs(words: Sequence[str]) -> list[tuple[str, str]]:
    """Split ``--key value`` and ``--key=value`` words into keys and values.

    Raises:
        ConfigError: A word is not an option, or its value is missing.
    """
    found, rest = [], list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--") and "=" not in word:
            raise ConfigError(f"{word!r} is not a setting.", got=word, allowed="--group.key value")
        key, equals, value = word.removeprefix("--").partition("=")
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise ConfigError(f"--{key} needs a value.", got="none", allowed=f"--{key} VALUE")
            value = rest.pop(0)
        found.append((key, value))
    return found
