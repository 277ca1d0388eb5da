"""Read the parts of a plan's file that many of its keys share: mappings, settings in their types, factors, grids."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from netaug.compare.arms import Settings
from netaug.config.settings import GROUPS, open_setting, settings, typed, unknown_key
from netaug.core.errors import ConfigError
from netaug.core.suggest import did_you_mean, nearest

_NOT_HERE = {
    "train.seed": "leave it out: every arm is trained with the seeds 0 .. N-1",
    "train.threads": "leave it out, and give --threads to `netaug compare`",
}


def read_mapping(value: object, where_in_file: str, allowed: Sequence[str] = ()) -> dict[str, Any]:
    """Return a mapping with text for keys, all of them among ``allowed`` if that is not empty."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(
            f"a mapping is missing ({where_in_file}).", got=repr(value), allowed="KEY: VALUE, one per line"
        )
    for key in value:
        if not isinstance(key, str):
            raise ConfigError(
                f"a key is not a string ({where_in_file}).", got=repr(key), fix=f"write it in quotes: '{key}'"
            )
        if allowed and key not in allowed:
            close = nearest(key, allowed, count=1)
            raise ConfigError(
                f"{key!r} is not a key of a plan ({where_in_file}).",
                got=key,
                allowed=", ".join(allowed),
                fix=did_you_mean(map(repr, close)) or "see docs/compare.md",
            )
    return value


def read_settings(tree: object, where_in_file: str) -> Settings:
    """Return settings by dotted key, from a file that has them so or nested in groups; each in its type."""
    settings_by_key: dict[str, Any] = {}
    for key, value in read_mapping(tree, where_in_file).items():
        members = {key: value}
        if key in GROUPS:
            nested = read_mapping(value, f"{where_in_file}.{key}")
            members = {f"{key}.{name}": member for name, member in nested.items()}
        for full, member in members.items():
            # `train: {lr: 0.1}` and `train.lr: 0.1` are one setting, which a YAML reader does not notice
            if full in settings_by_key:
                raise ConfigError(f"{full!r} is set twice ({where_in_file}).", fix="leave one of them out")
            settings_by_key[full] = _typed(full, member, where_in_file)
    return tuple(settings_by_key.items())


def _typed(key: str, value: object, where_in_file: str) -> Any:
    if key in _NOT_HERE:
        raise ConfigError(f"{key!r} cannot be set in a plan ({where_in_file}).", fix=_NOT_HERE[key])
    if open_setting(key) is not None:
        return value
    if key not in settings():
        raise unknown_key(key, where_in_file)
    return typed(key, value, where_in_file)


def read_factors(tree: object, where_in_file: str) -> Settings:
    """Return factors above 0 by setting."""
    factors = []
    for key, factor in read_mapping(tree, where_in_file).items():
        if key not in settings():
            raise unknown_key(key, where_in_file)
        # True is an int to Python
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < math.inf:
            raise ConfigError(f"a factor is not a number above 0 ({where_in_file}.{key}).", got=repr(factor))
        factors.append((key, factor))
    return tuple(factors)


def read_grid(tree: object, where_in_file: str) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    """Return the values to choose from by setting, each in its type, all different."""
    grid = []
    for key, values in read_mapping(tree, where_in_file).items():
        if not isinstance(values, list) or not values:
            raise ConfigError(
                f"the values to choose from must be a list ({where_in_file}.{key}).",
                got=repr(values),
                allowed="[0.1, 0.2]",
            )
        choices = [_typed(key, value, f"{where_in_file}.{key}") for value in values]
        if any(choices.count(choice) > 1 for choice in choices):
            raise ConfigError(f"a value is listed twice ({where_in_file}.{key}).", got=repr(values))
        grid.append((key, tuple(choices)))
    return tuple(grid)
